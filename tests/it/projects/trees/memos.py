"""`msx.run`: what happens once however often the call runs."""

import asyncio
import random
import time
import uuid

import msx
from cases import Cases
from loops import tick
from marks import mark
from msx import microservice

HOWS = Cases()
AHOWS = Cases()


def charge(name: str) -> int:
    mark(f"{name}.charged")
    return random.randrange(10**9)


async def acharge(name: str) -> int:
    return charge(name)


def fails(name: str) -> None:
    mark(f"{name}.failed")
    raise ValueError("the card was refused")


@microservice
def pays(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return HOWS[how](name)


@HOWS
def between_calls(name):
    first = msx.run(charge, name)
    same = tick(first, name) == first
    second = msx.run(charge, name)
    now, other = msx.run(time.time), msx.run(uuid.uuid4)
    return [same, first != second, tick(now, name) == now, tick(other, name) == other]


@HOWS
def failing(name):
    """Its exception is recorded as well."""
    try:
        msx.run(fails, name)
    except ValueError as error:
        return tick(str(error), name)


@HOWS
def behind_starts(name):
    early = [tick.start(i, name) for i in range(3)]
    paid = msx.run(charge, name)
    later = tick(paid, name)
    return [*msx.gather(*early), later == paid]


@HOWS
def calls_inside(name):
    try:
        msx.run(lambda: tick(1, name))
    except msx.UsageError as error:
        return str(error)
    return "no error"


@microservice
async def apays(how: str, name: str) -> list:
    mark(f"{name}.begun")
    return await AHOWS[how](name)


@AHOWS
async def behind_started(name):
    """Memos between calls that were started before and are awaited after them."""
    early = tick.start(0, name)
    first = await msx.run(acharge, name)
    same = await tick.aio(first, name) == first
    second = msx.run(charge, name)
    return [same, await tick.aio(second, name) == second, first != second, await early]


async def slow(name: str) -> int:
    await asyncio.sleep(0.02)
    return charge(name)


@AHOWS
async def beside_calls(name):
    """One task is in a memo while another makes calls."""

    async def paid():
        got = await msx.run(slow, name)
        return await tick.aio(got, name) == got

    async def ticks():
        return [await tick.aio(i, name) for i in range(5)]

    return await asyncio.gather(paid(), ticks())
