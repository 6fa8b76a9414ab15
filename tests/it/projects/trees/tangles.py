"""Tasks of an async call that wait for each other in all the ways that asyncio has."""

import asyncio
import sys

import msx
from cases import Cases
from loops import atick, tick
from marks import mark
from msx import microservice

HOWS = Cases()


@microservice
async def fails(value: int, name: str) -> None:
    mark(f"{name}.failed")
    raise LookupError(f"no {value}")


@microservice
async def tangles(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return await HOWS[how](name)


@HOWS
async def gathers_errors(name):
    got = await asyncio.gather(atick(1, name), fails(2, name), atick(3, name), return_exceptions=True)
    return [got[0], str(got[1]), got[2], await atick(4, name)]


@HOWS
async def first_error_of_gather(name):
    calls = [atick.start(1, name), fails.start(2, name), fails.start(3, name), atick.start(4, name)]
    try:
        await msx.gather(*calls)
    except LookupError as error:
        return [str(error), await calls[0], await calls[3], await atick(5, name)]


@HOWS
async def takes_the_first(name):
    pending = {asyncio.create_task(chained(i, name)) for i in range(4)}
    got = []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        got += [task.result() for task in done]
        got.append(await atick(-1, name))
    return sorted(got)[got.count(-1) :]


async def chained(i, name):
    total = 0
    for _ in range(i + 1):
        total += await atick(i, name)
    return total


@HOWS
async def as_completed(name):
    """Of tasks: from coroutines, asyncio makes them in the order of addresses, which no replay repeats."""
    got = []
    for step in asyncio.as_completed([asyncio.create_task(chained(i, name)) for i in range(4)]):
        value = await step
        got.append(await atick(value, name))
    return sorted(got)


@HOWS
async def produces_and_consumes(name):
    queue = asyncio.Queue(maxsize=1)

    async def produce():
        for i in range(5):
            await queue.put(await atick(i, name))
        await queue.put(None)

    async def consume():
        got = []
        while (value := await queue.get()) is not None:
            got.append(await tick.aio(value * 10, name))
        return got

    return (await asyncio.gather(produce(), consume()))[1]


@HOWS
async def takes_turns(name):
    lock, order = asyncio.Lock(), []

    async def turn(i):
        async with lock:
            order.append(await atick(i, name))
            order.append(await atick(i, name))

    await asyncio.gather(*[turn(i) for i in range(4)])
    return order


@HOWS
async def gives_up(name):
    """A task that is cancelled while it waits for a call."""
    task = asyncio.create_task(chained(3, name))
    first = await atick(7, name)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return [first, await atick(8, name)]


@HOWS
async def never_awaited(name):
    task = asyncio.create_task(chained(0, name))
    got = await atick(1, name)
    return [got, task is not None]


@HOWS
async def shielded(name):
    return await asyncio.shield(chained(2, name)) + await asyncio.wait_for(chained(1, name), 30)


@HOWS
async def awaited_by_many(name):
    future = atick(1, name)
    tasks = asyncio.ensure_future(future), asyncio.create_task(future)
    return await asyncio.gather(asyncio.shield(future), *tasks, asyncio.shield(future))


@HOWS
async def nested(name):
    async def level(n):
        if n == 0:
            return await atick(1, name)
        return sum(await asyncio.gather(level(n - 1), level(n - 1)))

    return await level(5)


@HOWS
async def generates(name):
    async def numbers():
        for i in range(4):
            yield await atick(i, name)

    return [await tick.aio(number, name) async for number in numbers()]


@HOWS
async def groups(name):
    if sys.version_info < (3, 11):
        return [3, 1, 6]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(chained(i, name)) for i in range(2)]
        tasks.append(group.create_task(atick(1, name)))
    total = sum(task.result() for task in tasks)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails(1, name))
            group.create_task(chained(30, name))
    except Exception as errors:
        return [total, len(errors.exceptions), await atick(6, name)]


@microservice
def mutates(values: list, name: str) -> list:
    """Changes its argument and the results that it got, between calls."""
    values.append(tick(len(values), name))
    got = tick([1], name)
    got.append(tick(len(got), name))
    values.append(tick(len(values), name))
    return [values, got, tick(got, name)]
