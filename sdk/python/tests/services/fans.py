"""Services of the tests: many calls of one `def`. What they do next depends on which call is done first."""

import threading

from basic import add, count

import msx
from msx import microservice


def chained(futures):
    """The next call depends on the order of the results so far."""
    so_far = 0
    order = []
    for future in futures:
        value = future.result()
        order.append(value)
        so_far = add(so_far * 2, value)
    return [order, so_far]


@microservice
def completed(n):
    order, _ = chained(msx.as_completed([add.start(i, 0) for i in range(n)]))
    return sorted(order)


@microservice
def completed_late(n):
    """Some are waited for before, some in between, one is in two races."""
    calls = [add.start(i, 0) for i in range(n)]
    before = calls[3].result()
    other = msx.first(calls[:2])
    order = []
    for future in msx.as_completed([*calls, calls[0]]):
        order.append(add(future.result(), 0))
        if len(order) == 2:
            calls[-1].result()
    return [before, order[0], sorted(order), other.result() in (0, 1)]


@microservice
def first(n):
    calls = [add.start(i, 0) for i in range(n)]
    winner = msx.first(calls)
    value = winner.result()
    return [add(value, 0) == value, winner.result() == value, sorted(call.result() for call in calls)]


@microservice
def first_fails():
    calls = [add.start(1, "x")]
    try:
        msx.first(calls).result()
    except TypeError:
        return add(1, 1)


@microservice
def maps(n, limit):
    return list(add.map(range(n), [1] * n, limit=limit))


@microservice
def maps_and_calls(n, limit):
    """What is done between two results is numbered among the calls that are started."""
    return [add(y, 100) for y in add.map(range(n), range(n), limit=limit)]


@microservice
def map_fails(n):
    got = []
    try:
        for y in add.map(range(n), ["x" if i == 3 else 0 for i in range(n)], limit=2):
            got.append(y)
    except TypeError:
        got.append(add(-1, 0))
    return got


@microservice
def maps_lazily(name, limit):
    """The items come from calls."""
    return list(count.map((f"{name} {count(name)}" for _ in range(6)), limit=limit))


@microservice
def nested():
    one, two = [add.start(1, i) for i in range(3)], [add.start(2, i) for i in range(3)]
    return msx.gather(msx.gather(*one), msx.gather(*two), add.start(0, 0), msx.first([one[0]]))


@microservice
def own_loop(n):
    """On an event loop that the function runs for itself."""
    import asyncio

    async def main():
        calls = [add.start(i, 0) for i in range(n)]
        done = [await add.aio(await call, 0) async for call in msx.as_completed(calls)]
        one = await msx.first([add.aio(1, 1), add.start(1, 1)])
        return [sorted(done), one, await add.map([1, 2], [3, 4])]

    return asyncio.run(main())


@microservice
def about():
    before = msx.context()
    add(1, 1)
    after = msx.context()
    assert (before.attempt > 1) == before.is_replay
    return [before == after, list(after.via), after.attempt, after.is_replay, after.deadline, bool(after.id)]


@microservice
def about_child():
    return about()


@microservice
def slow(seconds):
    threading.Event().wait(seconds)
    return seconds
