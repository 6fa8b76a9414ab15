"""Many calls of one `def`. Each next call depends on which was done first: a replay that sees another order fails."""

import asyncio
import time

import msx
from cases import Cases
from leaves import atick, double, fails, tick
from marks import mark
from msx import microservice

HOWS = Cases()


@microservice
def fans(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return HOWS[how](name)


@microservice
def doubles(n: int, limit: int) -> int:
    return sum(double.map(range(n), limit=limit))


@HOWS
def maps(name):
    got = []
    for value in tick.map(range(12), [name] * 12, limit=3):
        got.append(value)
        tick(value, name)
    return got


@HOWS
def map_fails(name):
    try:
        return list(fails.map(["a", "b", "c"], [name] * 3, limit=2))
    except LookupError as error:
        return [str(error), tick(1, name)]


@HOWS
def as_completed(name):
    order = []
    for call in msx.as_completed([(tick if i % 2 else atick).start(i, name) for i in range(8)]):
        order.append(call.result())
        tick(order, name)
    return sorted(order)


@HOWS
def first(name):
    calls = [tick.start(1, name), atick.start(2, name)]
    value = tick(msx.first(calls).result(), name)
    return [value in (1, 2), [call.result() for call in calls]]


@HOWS
def nested(name):
    ones, twos = [tick.start(1, name) for _ in range(3)], [atick.start(2, name) for _ in range(3)]
    return msx.gather(msx.gather(*ones), msx.gather(*twos), msx.first(ones))


@HOWS
def on_its_own_loop(name):
    async def main():
        done = [await atick.aio(await call, name) async for call in msx.as_completed([tick.aio(1, name)])]
        return [done, await msx.first([atick(2, name)]), await tick.map([3, 4], [name] * 2)]

    return asyncio.run(main())


@HOWS
def knows_its_call(name):
    before = msx.context()
    tick(0, name)
    after = msx.context()
    left = after.deadline - time.time()
    return [before == after, list(after.via), after.is_replay, after.attempt, 0 < left < 200, after.id != ""]


@microservice
def asks(name: str) -> list:
    return fans("knows_its_call", name)
