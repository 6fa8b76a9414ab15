"""Recursion across two services: as `def`, as `async def`, and from one kind to the other."""

import msx
from msx import microservice


@microservice
def fib(n: int, gathered: bool = False) -> int:
    return two(bif, n, gathered)


@microservice
def bif(n: int, gathered: bool = False) -> int:
    return two(fib, n, gathered)


def two(other, n, gathered):
    if n < 2:
        return n
    if gathered:
        return sum(msx.gather(other.start(n - 1, gathered), other.start(n - 2, gathered)))
    return other(n - 1) + other(n - 2)


@microservice
async def afib(n: int, gathered: bool = False) -> int:
    return await atwo(abif, n, gathered)


@microservice
async def abif(n: int, gathered: bool = False) -> int:
    return await atwo(afib, n, gathered)


async def atwo(other, n, gathered):
    if n < 2:
        return n
    if gathered:
        return sum(await msx.gather(other.start(n - 1, gathered), other.start(n - 2, gathered)))
    return await other(n - 1) + await other(n - 2)


@microservice
def mix(n: int) -> int:
    return n if n < 2 else amix.start(n - 1).result() + amix.start(n - 2).result()


@microservice
async def amix(n: int) -> int:
    return n if n < 2 else await mix.aio(n - 1) + await mix.aio(n - 2)


@microservice
def solo(n: int) -> int:
    return n if n < 2 else solo(n - 1) + solo(n - 2)


@microservice
async def asolo(n: int) -> int:
    return n if n < 2 else await asolo(n - 1) + await asolo(n - 2)
