"""Calls that last as long as a test wants: until a file is there."""

import os
import time
from pathlib import Path

from msx import microservice


def wait_at(name):
    Path(f"{name}.waits").touch()
    while not Path(name).exists():
        time.sleep(0.01)


@microservice
def pid():
    return os.getpid()


@microservice
def gate(name: str):
    wait_at(name)
    return os.getpid()


@microservice
def parks(name: str):
    """Waits for another service, and so gives its slot back."""
    gate(name)
    return os.getpid()


@microservice
def asks_late(name: str):
    """Runs, and calls another service only at the end."""
    wait_at(name)
    return pid()
