"""Callers that iterate."""

import asyncio
from typing import Any

import msx
from makers import (
    Odd,
    acalling,
    acount,
    calling,
    count,
    odd_squares,
    plus,
    returning,
    squares,
    words,
)
from marks import mark
from msx import microservice


@microservice
def sums(n: int) -> list[int]:
    mark("sums")
    return [sum(count(n)), sum(acount(n)), sum(calling(n // 10)), sum(acalling(n // 10))]


@microservice
async def asums(n: int) -> list[int]:
    async def total(items: Any) -> int:
        return sum([item async for item in items])

    return [await total(items) for items in (count(n), acount(n), calling(n // 10), acalling(n // 10))]


@microservice
def zipped(n: int) -> list[list[int]]:
    return [list(pair) for pair in zip(count(n), acount(n))]


@microservice
async def azipped(n: int) -> list[list[int]]:
    one, other = count(n), acount(n)
    return [[item, await other.__anext__()] async for item in one]


@microservice
async def at_once(n: int) -> list[int]:
    """Streams in several tasks."""

    async def total(items: Any) -> int:
        result = 0
        async for item in items:
            result += item
        return result

    return list(await asyncio.gather(total(count(n)), total(acount(n)), total(acalling(n // 10))))


@microservice
def piped(n: int) -> list[int]:
    return list(odd_squares(n))


@microservice
def in_calls(n: int) -> int:
    """Calls between the items that it takes."""
    return sum(plus(item) for item in squares(n))


@microservice
def whole(n: int) -> list[Any]:
    def inner() -> Any:
        result = yield from returning(n)
        yield result

    return list(inner())


@microservice
def of_class(times: int) -> list[str]:
    return list(words(times))


@microservice
def up_to_the_error(n: int) -> list[Any]:
    got: list[Any] = []
    try:
        for item in count(n, fails=True):
            got.append(item)
    except Odd as error:
        got.append([type(error).__name__, str(error), isinstance(error, msx.RemoteError)])
    return got


@microservice
async def aup_to_the_error(n: int) -> list[Any]:
    got: list[Any] = []
    try:
        async for item in acount(n, fails=True):
            got.append(item)
    except Odd as error:
        got.append([type(error).__name__, str(error), isinstance(error, msx.RemoteError)])
    return got


def said(misuse: Any) -> str:
    try:
        misuse()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


@microservice
def misused() -> list[str]:
    from msx.services import count as named

    def by_name() -> Any:
        return named(3)

    return [
        said(lambda: count.start(3)),
        said(lambda: msx.gather(count(3))),  # type: ignore[arg-type]
        said(lambda: list(count.map([1, 2]))),
        said(by_name),
        said(lambda: list(count.options(idempotency_key="x")(3))),
    ]


@microservice
async def amisused() -> list[str]:
    async def awaited() -> str:
        try:
            await count(3)  # type: ignore[misc]
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "nothing"

    return [await awaited(), said(lambda: list(count(3)))]
