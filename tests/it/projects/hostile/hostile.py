"""A service that does to its own process what no service should."""

import os
import socket
import time

from msx import microservice

GARBAGE = b"\x10\0\0\0not a message at all"
CONTROL = 3


def lanes():
    for entry in os.listdir("/proc/self/fd"):
        fd = int(entry)
        if fd > CONTROL and is_socket(fd):
            yield fd


def is_socket(fd):
    try:
        socket.socket(fileno=os.dup(fd)).close()
    except OSError:
        return False
    return True


@microservice
def hostile(deed: str):
    """Does its deed and would then go on for ever."""
    if deed == "nothing":
        return os.getpid()
    if deed == "garbage on the control channel":
        os.write(CONTROL, GARBAGE)
    elif deed == "garbage on its lanes":
        for lane in lanes():
            os.write(lane, GARBAGE)
    elif deed == "an endless message":
        os.write(CONTROL, b"\xff\xff\xff\xff")
    elif deed == "close everything":
        os.closerange(0, 1024)
    elif deed == "exit":
        os._exit(7)
    elif deed == "abort":
        os.abort()
    time.sleep(3600)
