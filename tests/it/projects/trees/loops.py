"""Many calls of one call: one after the other, and all at once."""

import asyncio

import msx
from marks import mark
from msx import microservice


@microservice
def tick(value: object, name: str) -> object:
    mark(f"{name}.tick")
    return value


@microservice
async def atick(value: object, name: str) -> object:
    mark(f"{name}.tick")
    return value


@microservice
def many(n: int, gathered: bool, name: str) -> int:
    mark(f"{name}.begun")
    if gathered:
        return sum(msx.gather(*[tick.start(i, name) for i in range(n)]))
    return sum(tick(i, name) for i in range(n))


@microservice
async def amany(n: int, how: str, name: str) -> int:
    """`tasks`: each task makes two calls, one after the other."""

    async def one(i: int) -> int:
        return await atick(i, name) + await tick.aio(i, name)

    mark(f"{name}.begun")
    if how == "gathered":
        return sum(await msx.gather(*[atick(i, name) for i in range(n)]))
    if how == "tasks":
        return sum(await asyncio.gather(*[one(i) for i in range(n)]))
    return sum([await atick(i, name) for i in range(n)])
