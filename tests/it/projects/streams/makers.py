"""Generators of both kinds, and pipelines of them."""

from collections.abc import AsyncIterator, Iterator

from msx import microservice


class Odd(ValueError):
    pass


@microservice
def count(n: int, fails: bool = False) -> Iterator[int]:
    yield from range(n)
    if fails:
        raise Odd(n)


@microservice
async def acount(n: int, fails: bool = False) -> AsyncIterator[int]:
    for number in range(n):
        yield number
    if fails:
        raise Odd(n)


@microservice
def plus(x: int) -> int:
    return x + 1


@microservice
async def aplus(x: int) -> int:
    return x + 1


@microservice
def calling(n: int) -> Iterator[int]:
    """Waits for calls between its items."""
    for number in range(n):
        yield plus(number)


@microservice
async def acalling(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield await aplus(number)


@microservice
def squares(n: int) -> Iterator[int]:
    for number in count(n):
        yield number * number


@microservice
async def asquares(n: int) -> AsyncIterator[int]:
    async for number in acount(n):
        yield number * number


@microservice
def odd_squares(n: int) -> Iterator[int]:
    """The end of a pipeline across services and kinds."""
    for square in asquares(n):
        if square % 2:
            yield square


@microservice
def returning(n: int):  # type: ignore[no-untyped-def]
    yield from range(n)
    return f"{n} in all"


class Words:
    def __init__(self) -> None:
        self.words = ["to", "be", "or"]

    def __call__(self, times: int) -> Iterator[str]:
        for _ in range(times):
            yield from self.words


words = microservice(Words)
