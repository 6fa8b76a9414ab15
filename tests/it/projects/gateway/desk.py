"""Services that are called over HTTP."""

import time
from pathlib import Path

import msx
from msx import microservice


@microservice
def add(x: int, y: int = 0) -> int:
    """Adds two numbers.

    Not shown in the index.
    """
    return x + y


@microservice
def join(*words: str, by: str = " ") -> str:
    return by.join(words)


@microservice
def fail(text: str) -> None:
    raise ValueError(text)


@microservice
def hidden() -> str:
    return "seen"


@microservice
def size(text: str) -> int:
    return len(text)


@microservice
def narrow(mark: str) -> str:
    return linger.local(mark)


@microservice
def linger(mark: str) -> str:
    """Runs until the file says `go on`, or until it is cancelled."""
    file = Path(mark)
    file.write_text("begun")
    try:
        while file.read_text() != "go on":
            time.sleep(0.01)
    except msx.Cancelled:
        file.write_text("cancelled")
        raise
    return "done"
