"""Streams that end early, or whose ends die."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msx
from marks import mark, marks
from msx import microservice


@microservice(threads=1)
def endless(name: str, pause: float = 0) -> Iterator[int]:
    number = 0
    try:
        while True:
            mark(f"{name}.made")
            yield number
            number += 1
            if pause:
                time.sleep(pause)
    except msx.Cancelled:
        mark(f"{name}.cancelled")
        raise
    finally:
        mark(f"{name}.left")


@microservice
async def aendless(name: str, size: int = 0) -> AsyncIterator[Any]:
    number = 0
    try:
        while True:
            mark(f"{name}.made")
            yield "x" * size if size else number
            number += 1
    finally:
        mark(f"{name}.left")


@microservice(threads=1)
def one_long_item(name: str) -> Iterator[int]:
    yield 0
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            time.sleep(0.005)
    finally:
        mark(f"{name}.cancelled")
    yield 1


def wait_for(name: str, count: int = 1) -> None:
    end = time.monotonic() + 60
    while marks(name) < count and time.monotonic() < end:
        time.sleep(0.005)


@microservice
def looks_at_the_first(name: str) -> int:
    """Then it waits, without using msx, until the test says that it may go on."""
    stream = endless(name)
    first = next(stream)
    mark(f"{name}.looked")
    wait_for(f"{name}.go")
    rest = [next(stream) for _ in range(500)]
    return first + sum(rest)


@microservice
async def alooks_at_the_first(name: str) -> int:
    stream = aendless(name)
    first = await stream.__anext__()
    mark(f"{name}.looked")
    while not marks(f"{name}.go"):
        await asyncio.sleep(0.005)
    rest = [await stream.__anext__() for _ in range(500)]
    return first + sum(rest)


@microservice
def breaks(name: str) -> list[int]:
    got = []
    for item in endless(name):
        got.append(item)
        if len(got) == 3:
            break
    wait_for(f"{name}.left")
    return got


@microservice
async def abreaks(name: str) -> list[int]:
    got = []
    async for item in aendless(name):
        got.append(item)
        if len(got) == 3:
            break
    while not marks(f"{name}.left"):
        await asyncio.sleep(0.005)
    return got


@microservice
def breaks_in_a_long_item(name: str) -> list[int]:
    got = [next(one_long_item(name))]
    wait_for(f"{name}.cancelled")
    return got


@microservice
def takes_for_ever(name: str) -> int:
    total = 0
    for item in endless(name, 0.01):
        total += item
        mark(f"{name}.taken")
    return total


@microservice(threads=1)
def dying(n: int, at: int, name: str) -> Iterator[int]:
    yield from dies(n, at, name)


@microservice(threads=1, idempotent=True)
def dying_again(n: int, at: int, name: str) -> Iterator[int]:
    yield from dies(n, at, name)


def dies(n: int, at: int, name: str) -> Iterator[int]:
    for number in range(n):
        if number == at and not marks(f"{name}.died"):
            wait_for(f"{name}.taken", at)
            mark(f"{name}.died")
            os.kill(os.getpid(), 9)
        yield number


@microservice
def outlives(service: str, n: int, at: int, name: str) -> list[Any]:
    got: list[Any] = []
    try:
        for item in {"dying": dying, "dying_again": dying_again}[service](n, at, name):
            got.append(item)
            mark(f"{name}.taken")
    except msx.InstanceDied:
        got.append("died")
    return got


@microservice(idempotent=True)
def retried(n: int, at: int, name: str) -> list[int]:
    """Is killed with some items taken; its next attempt gets each item once."""
    got = []
    for item in numbers(n, name):
        got.append(item)
        if item == at and not marks(f"{name}.killed"):
            mark(f"{name}.killed")
            os.kill(os.getpid(), 9)
    return got


@microservice
def numbers(n: int, name: str) -> Iterator[int]:
    mark(f"{name}.begun")
    yield from range(n)


@microservice(retries=3)
def fails_once(n: int, name: str) -> list[int]:
    """Its second attempt has the items of before, and gets the rest from a new stream."""
    got = []
    for item in numbers(n, name):
        got.append(item)
        if item == n // 2:
            fails_at_first(name)
    return got


@microservice
def fails_at_first(name: str) -> None:
    if not marks(f"{name}.failed"):
        mark(f"{name}.failed")
        raise ConnectionError(name)


@microservice
def large(n: int, size: int) -> Iterator[bytes]:
    for _ in range(n):
        yield b"x" * size


@microservice
def weighs(n: int, size: int) -> int:
    return sum(len(item) for item in large(n, size))


@microservice
def cannot_travel() -> Iterator[Any]:
    yield 1
    yield Path
    yield object()


@microservice(run_timeout="1s")
def slow(name: str) -> Iterator[int]:
    """Longer in all than a run may be, but not between two items."""
    for number in range(5):
        time.sleep(0.6)
        mark(f"{name}.made")
        yield number


@microservice
def late(name: str) -> list[Any]:
    got: list[Any] = []
    try:
        for item in endless.options(timeout=0.5)(name, 0.05):
            got.append(item)
    except msx.TimeoutError as error:
        return [len(got) > 1, str(error)]
    return got
