"""A server of the standard library alone, which counts what it works on at once."""

import asyncio
import base64
import hashlib
import os
import signal
import sys

PART = bytes(range(256)) * 256
running = most = answered = 0


def split(line):
    name, value = line.split(": ", 1)
    return name.lower(), value


async def read_head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = dict(split(line) for line in lines[1:] if line)
    return method, path, headers


async def read_body(reader, headers):
    """How long it is; nothing is kept of it."""
    if headers.get("transfer-encoding") == "chunked":
        total = 0
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
            total += size
        await reader.readline()
        return total
    left = total = int(headers.get("content-length", 0))
    while left:
        left -= len(await reader.read(min(left, 65536)))
    return total


def say(writer, body, *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body.encode())


async def answer(path, length, writer):
    path, _, argument = path.partition("?")
    if path == "/slow":
        await asyncio.sleep(int(argument) / 1000)
        say(writer, str(os.getpid()))
    elif path == "/most":
        say(writer, f"{os.getpid()} {most} {answered}")
    elif path == "/upload":
        say(writer, str(length))
    elif path == "/download":
        total = int(argument) * len(PART)
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n".encode())
        for _ in range(int(argument)):
            writer.write(PART)
            await writer.drain()
    elif path == "/events":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(int(argument)):
            event = f"data: {number}\n\n"
            writer.write(f"{len(event):x}\r\n{event}\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")
    else:
        say(writer, str(os.getpid()))
    await writer.drain()


async def echo(reader, writer, headers):
    """A WebSocket that sends back each message, up to 125 bytes, of which it is sent."""
    key = headers["sec-websocket-key"]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: " + accept + b"\r\n\r\n")
    while True:
        first, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(length & 127)))
        writer.write(bytes([first, len(data)]) + data)
        await writer.drain()
        if first & 15 == 8:
            return


async def serve(reader, writer):
    global running, most, answered
    try:
        while True:
            _, path, headers = await read_head(reader)
            if path == "/ready":
                say(writer, "")
                continue
            running += 1
            most = max(most, running)
            try:
                if headers.get("upgrade") == "websocket":
                    return await echo(reader, writer, headers)
                await answer(path, await read_body(reader, headers), writer)
                answered += 1
            finally:
                running -= 1
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    server.close()


asyncio.run(main())
