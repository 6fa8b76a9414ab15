"""Services of the tests: many calls of one `async def`, with and without tasks beside them."""

import asyncio

from aio import plus
from basic import add, count

import msx
from msx import microservice


@microservice
async def completed(n):
    so_far, order = 0, []
    async for future in msx.as_completed([plus(i, 0) for i in range(n)]):
        order.append(await future)
        so_far = await plus(so_far * 2, order[-1])
    return sorted(order)


@microservice
async def completed_late(n):
    calls = [plus.start(i, 0) for i in range(n)]
    before = await calls[3]
    other = msx.first(calls[:2])
    order = []
    async for future in msx.as_completed([*calls, calls[0]]):
        order.append(await plus(await future, 0))
        if len(order) == 2:
            await calls[-1]
    return [before, order[0], sorted(order), await other in (0, 1)]


@microservice
async def first(n):
    calls = [plus(i, 0) for i in range(n)]
    winner = msx.first(calls)
    value = await winner
    return [await plus(value, 0) == value, await winner == value, sorted([await call for call in calls])]


@microservice
async def first_fails():
    try:
        await msx.first([plus(1, "x")])
    except TypeError:
        return await plus(1, 1)


@microservice
async def maps(n, limit):
    return await add.map(range(n), [1] * n, limit=limit)


@microservice
async def maps_and_calls(n, limit):
    return [await plus(y, 100) async for y in plus.map(range(n), range(n), limit=limit)]


@microservice
async def map_fails(n):
    got = []
    try:
        async for y in plus.map(range(n), ["x" if i == 3 else 0 for i in range(n)], limit=2):
            got.append(y)
    except TypeError:
        got.append(await plus(-1, 0))
    return got


@microservice
async def nested():
    one, two = [plus(1, i) for i in range(3)], [add.start(2, i) for i in range(3)]
    return await msx.gather(
        msx.gather(*one), msx.gather(msx.gather(*two)), plus(0, 0), msx.first([one[0]]), msx.gather()
    )


@microservice
async def asyncio_nested():
    return await asyncio.gather(msx.gather(plus(1, 1), plus(2, 2)), msx.first([plus(3, 3)]), plus(4, 4))


@microservice
async def maps_beside(n):
    """Tasks that each map, while others wait for the first of some."""

    async def mapping(i):
        return sum([await plus(y, 0) async for y in plus.map(range(n), [i] * n, limit=3)])

    async def racing(i):
        calls = [plus(j, i) for j in range(3)]
        value = await msx.first(calls)
        return await plus(value, -value)

    made = [mapping(i) for i in range(3)] + [racing(i) for i in range(3)]
    return await asyncio.gather(*made)


@microservice
async def settled_unseen(name):
    """A result that came along with another is no more there than on a replay."""
    early, late = plus.start(1, 0), plus.start(2, 0)
    await late
    order = []

    async def through(call):
        order.append(await call)
        return await plus(order[-1], 10)

    async def straight():
        order.append(0)
        return await plus(0, 10)

    got = await asyncio.gather(through(early), straight())
    return [got, await count.aio(name)]


@microservice
async def two_tasks_wait():
    done = msx.as_completed([plus(1, 0), plus(2, 0)])

    async def one():
        return await (await done.__anext__())

    try:
        await asyncio.gather(one(), one())
    except msx.UsageError as error:
        return str(error)


@microservice
async def about():
    before = msx.context()
    await plus(1, 1)
    after = msx.context()
    return [before == after, list(after.via), after.attempt, after.is_replay, after.deadline, bool(after.id)]


@microservice
async def about_child():
    return await about()
