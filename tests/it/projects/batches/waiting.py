"""Runs that call others, and wait for them."""

import os
import time

import msx
from marks import mark, marks
from msx import microservice


@microservice
def doubles(x: int) -> int:
    return 2 * x


@microservice(batch=16, within="50ms", threads=1)
def sums(xs: list[int]) -> list[int]:
    """Calls one by one, and waits for each."""
    mark("sums.begun")
    return [doubles(x) + 1 for x in xs]


@microservice(batch=16, within="50ms")
async def asums(xs: list[int]) -> list[int]:
    doubled = await msx.gather(*[doubles.start(x) for x in xs])
    return [x + 1 for x in doubled]


@microservice(batch=4, within="20ms", threads=1)
def factorial(ns: list[int]) -> list[int]:
    """Calls itself, so that batches wait for batches."""
    below = msx.gather(*[factorial.start(n - 1) for n in ns if n > 1])
    results = iter(below)
    return [n * next(results) if n > 1 else 1 for n in ns]


@microservice
def gate(name: str) -> int:
    mark(f"{name}.asked")
    while not marks(f"{name}.open"):
        time.sleep(0.005)
    return os.getpid()


@microservice(batch=4, within="50ms", threads=1)
def holds(names: list[str]) -> list[list[int]]:
    """Waits for a gate; then the process in which it goes on."""
    mark(f"{names[0]}.pid.{os.getpid()}")
    gate(names[0])
    return [[os.getpid(), len(names)] for _ in names]


@microservice
def summed(count: int) -> list:
    return list(sums.map(range(count)))


@microservice
async def asummed(count: int) -> list:
    return await asums.map(range(count))


@microservice
def factorials(n: int) -> list:
    return list(factorial.map(range(1, n + 1)))


@microservice
def held(name: str) -> list:
    return msx.gather(*[holds.start(name) for _ in range(3)])
