"""Calls that fail at first."""

import os
import time

import msx
from marks import mark, marks
from msx import microservice


@microservice
def fails(name: str, times: int) -> int:
    """Fails so often, then returns how often it was begun."""
    mark(name)
    if marks(name) <= times:
        raise ConnectionError(f"attempt {marks(name)}")
    return marks(name)


@microservice(retries={"max": 3, "backoff": "10ms"})
def stubborn(name: str, times: int) -> int:
    return fails.local(name, times)


@microservice(idempotent=True)
def dies(name: str) -> int:
    mark(name)
    if marks(name) == 1:
        os.kill(os.getpid(), 9)
    return marks(name)


@microservice(run_timeout="300ms", retries={"max": 1, "backoff": "10ms"})
def hangs(name: str) -> int:
    mark(name)
    while marks(name) == 1:
        time.sleep(0.005)
    return marks(name)


@microservice(retries={"max": 5, "backoff": "10ms"})
def hopeless(name: str) -> None:
    mark(name)
    raise msx.Fatal("no attempt can help")


@microservice
def asks(name: str, times: int, retries: int) -> int:
    return fails.options(retries=retries)(name, times)


@microservice
async def aasks(name: str, times: int, retries: int) -> int:
    return await fails.options(retries=retries, retry_on=(KeyError, OSError)).aio(name, times)


@microservice
def others(name: str) -> int:
    return fails.options(retries=5, retry_on=KeyError)(name, 1)


@microservice
def counts(name: str) -> int:
    mark(name)
    return marks(name)


@microservice(retries={"max": 2, "backoff": "10ms"})
def heals(name: str) -> list:
    """The first child is kept by the retry, the one that failed and the one behind it are made again."""
    first = counts(f"{name}.first")
    second = fails(f"{name}.second", 1)
    return [first, second, counts(f"{name}.third")]
