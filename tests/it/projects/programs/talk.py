"""Talks to the WebSocket at the address, which answers each message in capital letters."""

import sys

from websockets.sync.client import connect

with connect(f"ws://{sys.argv[1]}/talk") as socket:
    for length in [1, 125, 126, 70_000, 1_000_000]:
        socket.send("a" * length)
        assert socket.recv() == "A" * length, length
    print("closed with", end=" ")
print(socket.protocol.close_code)
