"""Calls that give up others."""

import asyncio

import msx
from msx import microservice


@microservice
def never(n):
    """The tests do not let it end while it is waited for."""
    return fast(n) + fast(n) + fast(n)


@microservice
def fast(n):
    return n


@microservice
def loses():
    winner = msx.first([never.start(1), fast.start(2)]).result()
    return [winner, fast(3)]


@microservice
def keeps():
    loser = never.start(1)
    winner = msx.first([loser, fast.start(2)]).result()
    return [winner, fast(3), loser.result()]


@microservice
async def aloses():
    winner = await msx.first([never.start(1), fast.start(2)])
    return [winner, await fast.aio(3)]


@microservice
async def akeeps():
    loser = never.start(1)
    winner = await msx.first([loser, fast.start(2)])
    return [winner, await fast.aio(3), await loser]


@microservice
async def cancels():
    task = asyncio.create_task(never.aio(1))
    await fast.aio(2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    del task
    return await fast.aio(3)


@microservice
async def forgets():
    never.start(1)
    return await fast.aio(2)
