"""Functions that are given the arguments of several calls."""

import asyncio
import os
import time

import msx
from marks import mark, marks
from msx import microservice


@microservice(batch=32, within="50ms", threads=1)
def squares(xs: list[int]) -> list[list[int]]:
    """Of each its square, and how many calls were in the run."""
    mark("squares.runs")
    return [[x * x, len(xs)] for x in xs]


@microservice(batch=8, within="50ms")
async def joins(first: list[str], *, second: list[str]) -> list[str]:
    await asyncio.sleep(0)
    return [a + b for a, b in zip(first, second, strict=True)]


@microservice(batch=64, threads=1)
class Counted:
    """Takes what waits when its slot is free."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, xs: list[int]) -> list[int]:
        self.runs += 1
        time.sleep(0.01)
        return [self.runs for _ in xs]


@microservice(batch=16, within="50ms")
def judges(xs: list[int]) -> list[int | Exception]:
    return [ValueError(f"{x} is odd") if x % 2 else x for x in xs]


@microservice(batch=16, within="50ms")
def forgets(xs: list[int]) -> list[int]:
    return xs[1:]


@microservice(batch=16, within="50ms")
def explodes(xs: list[int]) -> list[int]:
    raise KeyError("all of them")


@microservice(batch=16, within="50ms", retries={"max": 3, "backoff": "10ms"})
def heals(names: list[str]) -> list[int | Exception]:
    """The first attempt of each fails, one by one."""
    for name in names:
        mark(name)
    return [marks(name) if marks(name) > 1 else ConnectionError(name) for name in names]


@microservice(batch=16, within="50ms", threads=1)
def dies(names: list[str]) -> list[int]:
    for name in names:
        mark(name)
    if marks(names[0]) == 1:
        os.kill(os.getpid(), 9)
    return [marks(name) for name in names]


@microservice(batch=4, within="20ms", threads=1)
def lasts(names: list[str]) -> list[str]:
    """Stays until the gate of one of its names is open."""
    mark("lasts.begun")
    try:
        while not any(marks(f"{name}.open") for name in names):
            time.sleep(0.005)
    except msx.Cancelled:
        mark(f"{names[0]}.cancelled")
        raise
    return [name.upper() for name in names]


def outcome(future: msx.Future) -> object:
    try:
        return future.result()
    except Exception as error:
        return [type(error).__name__, str(error)]


@microservice
def many(count: int) -> list:
    return list(squares.map(range(count), limit=count))


@microservice
def joined() -> list:
    calls = [joins.start("a", second=str(n)) for n in range(20)]
    return [call.result() for call in calls]


@microservice
def counted(count: int) -> list:
    """How many runs there were for so many calls."""
    return sorted(set(Counted.map(range(count), limit=count)))


@microservice
def judged() -> list:
    return [outcome(call) for call in [judges.start(n) for n in range(4)]]


@microservice
def refused() -> list:
    """One call whose arguments do not fit, between two that do."""
    good, bad, last = squares.start(2), squares.start(2, 3), squares.start(xs=3)
    return [outcome(call) if call is bad else call.result()[0] for call in (good, bad, last)]


@microservice
def forgotten() -> list:
    return [outcome(call) for call in [forgets.start(n) for n in range(3)]]


@microservice
def exploded() -> list:
    return [outcome(call) for call in [explodes.start(n) for n in range(2)]]


@microservice
def healed(name: str) -> list:
    return [call.result() for call in [heals.start(f"{name}.{n}") for n in range(3)]]


@microservice
def killed(name: str, retries: int) -> list:
    call = dies.options(retries=retries)
    return [outcome(call) for call in [call.start(f"{name}.{n}") for n in range(3)]]


@microservice
def leaves(name: str) -> list:
    """One of two waits no longer, and the other one gets its result all the same."""
    short = lasts.options(timeout=0.3).start(f"{name}.short")
    other = lasts.start(f"{name}.other")
    late = outcome(short)[0]
    mark(f"{name}.other.open")
    return [late, other.result()]


@microservice
def abandons(name: str) -> list:
    calls = [lasts.options(timeout=0.3).start(f"{name}.{n}") for n in range(3)]
    return [outcome(call)[0] for call in calls]
