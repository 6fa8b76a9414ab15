"""The callers: each calls something so many times in one way, and says how many seconds that took.

The clock is read in a memo, so that a call that is replayed tells the time of its first attempt.
"""

import time

import msx
from leaves import (
    achain_a,
    adeep,
    afib,
    aleaf,
    aparent,
    asize_of,
    chain_a,
    deep,
    fib,
    leaf,
    parent,
    size_of,
)
from msx import microservice

IN_FLIGHT = 64
FAN = 100

CALLED = {"leaf": leaf, "data": size_of, "parent": parent, "chain": chain_a, "deep": deep, "fib": fib}
ACALLED = {"leaf": aleaf, "data": asize_of, "parent": aparent, "chain": achain_a, "deep": adeep, "fib": afib}


def argument(what: str, x: int) -> object:
    return bytes(x) if what == "data" else x


@microservice
def drive(how: str, what: str, times: int, x: int) -> float:
    began = msx.run(time.perf_counter)
    WAYS[how](CALLED[what], times, argument(what, x))
    return msx.run(time.perf_counter) - began


def alone(called, times, x):
    for _ in range(times):
        called(x)


def in_flight(called, times, x):
    for _ in called.map([x] * times, limit=IN_FLIGHT):
        pass


def fan(called, times, x):
    for _ in range(times // FAN):
        at_once(called, FAN, x)


def at_once(called, times, x):
    msx.gather(*[called.start(x) for _ in range(times)])


WAYS = {"alone": alone, "in flight": in_flight, "fan": fan, "at once": at_once}


@microservice
async def adrive(how: str, what: str, times: int, x: int) -> float:
    began = msx.run(time.perf_counter)
    await AWAYS[how](ACALLED[what], times, argument(what, x))
    return msx.run(time.perf_counter) - began


async def aalone(called, times, x):
    for _ in range(times):
        await called(x)


async def ain_flight(called, times, x):
    async for _ in called.map([x] * times, limit=IN_FLIGHT):
        pass


async def afan(called, times, x):
    for _ in range(times // FAN):
        await aat_once(called, FAN, x)


async def aat_once(called, times, x):
    await msx.gather(*[called.start(x) for _ in range(times)])


AWAYS = {"alone": aalone, "in flight": ain_flight, "fan": afan, "at once": aat_once}


@microservice
async def crowd(caller: str, kind: str, times: int) -> float:
    """64 callers at the same time, each of which calls a leaf of this kind so many times, one after the other."""
    one = acaller if caller == "async def" else defcaller
    began = msx.run(time.perf_counter)
    await msx.gather(*[one.aio(kind, times // IN_FLIGHT) for _ in range(IN_FLIGHT)])
    return msx.run(time.perf_counter) - began


@microservice
async def acaller(kind: str, times: int) -> None:
    called = leaf if kind == "def" else aleaf
    for _ in range(times):
        await called.aio(1)


@microservice
def defcaller(kind: str, times: int) -> None:
    called = leaf if kind == "def" else aleaf
    for _ in range(times):
        called.start(1).result()
