"""Services that are called wrongly."""

import time
from pathlib import Path

import msx
from msx import microservice


@microservice
def add(x: int, y: int = 0) -> int:
    return x + y


@microservice
def greet(*, name: str) -> str:
    return f"hello {name}"


@microservice
def pack(item: int) -> str:
    return "shop"


@microservice
def order(item: int) -> str:
    return check(item)


@microservice
def check(item: int) -> str:
    raise LookupError(f"no item {item}")


@microservice
def strange() -> object:
    return object()


@microservice
def nothing() -> None:
    pass


@microservice
def idle() -> str:
    return "busy"


@microservice
def linger(mark: str) -> None:
    """Runs until it is cancelled."""
    Path(mark).write_text("begun")
    try:
        while True:
            time.sleep(0.01)
    except msx.Cancelled:
        Path(mark).write_text("cancelled")
        raise
