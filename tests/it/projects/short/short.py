"""A short call, which can also turn long: then it waits until a file is there."""

import time
from pathlib import Path

from msx import _context, microservice


def wait_at(name):
    Path(f"{name}.waits").touch()
    while not Path(name).exists():
        time.sleep(0.01)


@microservice
def gate(name: str):
    wait_at(name)


@microservice
def many(count: int):
    return sum(1 for _ in short.map([""] * count))


@microservice
def short(turns: str = "", name: str = ""):
    """How many calls its lane holds behind this one."""
    if turns == "long":
        wait_at(name)
    elif turns == "parked":
        gate(name)
    return len(_context.runtime.local.lane._pending)
