"""Services of the tests: `async def`, with timers of asyncio beside calls."""

import asyncio
import sys

from aio import plus
from fans import slow

import msx
from msx import microservice


async def within(seconds, awaitable):
    if sys.version_info >= (3, 11):
        async with asyncio.timeout(seconds):
            return await awaitable
    return await asyncio.wait_for(awaitable, seconds)


@microservice
async def times_out(n):
    """What is called next depends on it."""
    got = []
    for i in range(n):
        call = slow.start(0.3)
        try:
            got.append(await within(0.05, call))
        except asyncio.TimeoutError:
            got.append(await plus(-1, -i))
        got.append(await plus(i, 0))
    return [got, await call]


@microservice
async def in_time(x):
    return await within(30, plus(x, 1)) + await asyncio.wait_for(plus(x, 1), 30)


@microservice
async def waits_with_a_timeout():
    tasks = [asyncio.create_task(slow.aio(0.4)), asyncio.create_task(plus(1, 1))]
    done, pending = await asyncio.wait(tasks, timeout=0.1)
    first = [await plus(task.result(), 0) for task in done]
    done, pending = await asyncio.wait(pending, timeout=30)
    return [first, [await plus(task.result(), 1) for task in done], len(pending)]


@microservice
async def sleeps_beside(n):
    """A task that sleeps and calls, beside one that calls."""

    async def sleeping():
        got = []
        for i in range(n):
            await asyncio.sleep(0.02)
            got.append(await plus(i, 100))
        return got

    async def calling():
        return [await slow.aio(0.01) for _ in range(n)] + [await slow.aio(0.1)]

    return await asyncio.gather(sleeping(), calling())


@microservice
async def heartbeat():
    """Many timers that are cancelled, and one call that takes long."""
    beats = 0
    call = asyncio.create_task(slow.aio(0.2))
    while not call.done():
        beats = await plus(beats, 1)
        await asyncio.wait([call], timeout=0.03)
    for _ in range(600):
        await within(10, asyncio.sleep(0))
    return [await call, beats > 1, await plus(1, 1)]


@microservice
async def sleeps(x):
    await asyncio.sleep(0.01)
    y = await plus(x, 1)
    await asyncio.sleep(0.01)
    return y


@microservice
async def first_within():
    try:
        return await within(0.05, msx.first([slow.aio(0.3), slow.aio(0.3)]))
    except asyncio.TimeoutError:
        return await plus(1, 2)


@microservice
async def kind_of_loop():
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]
