"""Many calls of one `async def`: by msx, and by what asyncio has."""

import asyncio
import sys
import time

import msx
from cases import Cases
from leaves import atick, double, fails, slow, tick
from marks import mark
from msx import microservice

HOWS = Cases()


@microservice
async def afans(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return await HOWS[how](name)


@microservice
async def adoubles(n: int, limit: int) -> int:
    return sum(await double.map(range(n), limit=limit))


@HOWS
async def maps(name):
    got = []
    async for value in tick.map(range(12), [name] * 12, limit=3):
        got.append(value)
        await atick(value, name)
    return got


@HOWS
async def map_fails(name):
    try:
        return await fails.map(["a", "b", "c"], [name] * 3, limit=2)
    except LookupError as error:
        return [str(error), await atick(1, name)]


@HOWS
async def as_completed(name):
    order = []
    async for call in msx.as_completed([(tick if i % 2 else atick).start(i, name) for i in range(8)]):
        order.append(await call)
        await atick(order, name)
    return sorted(order)


@HOWS
async def first(name):
    calls = [tick.start(1, name), atick.start(2, name)]
    value = await tick.aio(await msx.first(calls), name)
    return [value in (1, 2), [await call for call in calls]]


@HOWS
async def nested(name):
    ones, twos = [tick.start(1, name) for _ in range(3)], [atick.start(2, name) for _ in range(3)]
    return await msx.gather(msx.gather(*ones), msx.gather(*twos), msx.first(ones))


@HOWS
async def beside_each_other(name):
    """Tasks that each fan out."""

    async def mapping(i):
        return sum([await atick(y, name) async for y in tick.map([i] * 4, [name] * 4, limit=2)])

    async def racing(i):
        value = await msx.first([tick.start(i, name), atick.start(i, name)])
        return await atick(value, name)

    return await asyncio.gather(mapping(1), mapping(2), racing(3), racing(4))


@HOWS
async def in_a_group(name):
    if sys.version_info < (3, 11):
        return [[1, 2], 3]
    async with asyncio.TaskGroup() as group:
        both = group.create_task(msx.gather(atick(1, name), tick.aio(2, name)))
        one = group.create_task(msx.first([atick(3, name)]))
    return [both.result(), one.result()]


@HOWS
async def times_out(name):
    """What is called next depends on whether a timer struck."""
    got = []
    for _ in range(2):
        call = slow.start(name)
        try:
            got.append(await asyncio.wait_for(call, 0.05))
        except asyncio.TimeoutError:
            got.append(await atick("late", name))
        if sys.version_info >= (3, 11):
            async with asyncio.timeout(30):
                await tick.aio(0, name)
        else:
            await tick.aio(0, name)
    return [got, await call]


@HOWS
async def waits(name):
    tasks = [asyncio.create_task(slow.aio(name)), asyncio.create_task(atick(1, name))]
    done, pending = await asyncio.wait(tasks, timeout=0.2)
    first = sorted([await atick(task.result(), name) for task in done])
    done, pending = await asyncio.wait(pending)
    return [first, [task.result() for task in done], len(pending)]


@HOWS
async def knows_its_call(name):
    before = msx.context()
    await tick.aio(0, name)
    after = msx.context()
    left = after.deadline - time.time()
    return [before == after, list(after.via), after.is_replay, after.attempt, 0 < left < 200, after.id != ""]


@microservice
async def aasks(name: str) -> list:
    return await afans("knows_its_call", name)
