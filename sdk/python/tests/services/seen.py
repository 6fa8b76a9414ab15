"""Calls that are looked at while they run."""

import asyncio
import threading

import msx
from msx import microservice

go_on = threading.Event()


@microservice
def child(x):
    return x


@microservice
def spins(turns):
    for _ in range(turns):
        pass
    return turns


@microservice
def waits(x):
    msx.summary(f"waits for {x}")
    return child(x), msx.context().id


@microservice
async def awaits(x):
    msx.summary("s" * 1000)

    async def part(y):
        return await child.aio(y)

    return [*await asyncio.gather(part(x), part(x + 1)), msx.context().id]


@microservice
async def blocks(turns):
    for _ in range(turns):
        pass
    return turns
