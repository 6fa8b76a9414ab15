"""Checked by mypy --strict (and meant to pass pyright): what the stub says about arguments and results."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from typing_extensions import assert_type

import msx
from msx import Future, Service, microservice, orchestrator, services


@microservice
def text(x: int, *, times: int = 1) -> str:
    """Documented."""
    return str(x) * times


@microservice(threads=4)
async def number(x: str) -> float:
    return float(x)


class Model:
    def __init__(self, path: str = "model.bin") -> None:
        self.path = path

    def __call__(self, x: int, *, times: int = 1) -> str:
        return self.path * x * times


class Loop:
    async def __call__(self, x: str) -> float:
        return float(x)


# Not by `@microservice`: mypy does not look at decorators of classes; pyright does.
model = microservice(Model)
loop = microservice(threads=4)(Loop)
assert_type(model(1, times=2), str)
assert_type(model.start(1).result(), str)
assert_type(model.local(1), str)
assert_type(loop("1"), Future[float])
by_name: Service[..., Any] = services.anything
assert_type(services.anything(1), Any)
assert_type(services.anything.start(1).result(), Any)


@microservice
def pair(x: int, y: str) -> tuple[int, str]:
    return x, y


assert_type(text(1, times=2), str)
assert_type(text.start(1), Future[str])
assert_type(text.start(1).result(), str)
assert_type(text.local(1), str)
assert_type(text.aio(1), Future[str])
assert_type(number("1"), Future[float])
assert_type(number.start("1").result(), float)

assert_type(text.options(timeout=1)(1), str)
assert_type(text.options(timeout=1).start(1), Future[str])
assert_type(number.options(timeout=1)("1"), Future[float])

service: Service[[str], Coroutine[Any, Any, float]] = number
assert_type(orchestrator.access("a"), str)
assert_type(orchestrator.services.start().result(), list[orchestrator.ServiceInfo])
assert_type(orchestrator.services()[0]["instances"], int)
assert_type(orchestrator.health()["services"]["m.a"]["ready"], int)

one, two = msx.gather(text.start(1), number.start("2"))
assert_type(one, str)
assert_type(two, float)
a, b, c, d, e = msx.gather(text.start(1), number("2"), text.start(3), number("4"), text.start(5))
assert_type(c, str)
assert_type(d, float)
many = msx.gather(*[text.start(n) for n in range(9)])
assert_type(many[0], str)
assert_type(sorted(many), list[str])
assert_type(msx.run(str, 1), str)
inner, alone = msx.gather(msx.gather(text.start(1), text.start(2)), number.start("1"))
assert_type(inner, tuple[str, str])
assert_type(alone, float)
assert_type(list(text.map([1, 2])), list[str])
assert_type(list(number.map("123", limit=2)), list[float])
assert_type(next(pair.map([1], ["x"])), tuple[int, str])
assert_type(msx.first([text.start(1)]), Future[str])
assert_type(msx.first([text.start(1)]).result(), str)
for done in msx.as_completed([number.start("1"), number("2")]):
    assert_type(done.result(), float)
assert_type(msx.context().via, tuple[str, ...])
assert_type(msx.context().deadline, float | None)


async def main() -> None:
    assert_type(await number("1"), float)
    assert_type(await text.aio(1), str)
    assert_type(await number.aio("1"), float)
    assert_type(await text.start(1), str)
    one, two = await msx.gather(text.start(1), number("2"))
    assert_type(one, str)
    assert_type(two, float)
    assert_type(await msx.gather(*[number(str(n)) for n in range(9)]), list[float])
    assert_type(await asyncio.create_task(number("1")), float)
    assert_type(await text.map(range(3), limit=1), list[str])
    async for result in number.map(["1"]):
        assert_type(result, float)
    assert_type(await msx.first([number("1"), number("2")]), float)
    async for done in msx.as_completed([text.start(1)]):
        assert_type(await done, str)
    lists, last = await msx.gather(msx.gather(*[text.start(1)]), msx.first([number("1")]))
    assert_type(lists, list[str])
    assert_type(last, float)
    both = await asyncio.gather(number("1"), text.aio(2))
    assert_type(both, tuple[float, str])
    assert_type(await msx.run(number.local, "1"), float)


@microservice
def counted(n: int) -> Iterator[int]:
    yield from range(n)


@microservice
async def acounted(n: int) -> AsyncIterator[str]:
    yield str(n)


def iterates() -> None:
    assert_type(counted(1), msx.Stream[int])
    for item in acounted(1):
        assert_type(item, str)


async def aiterates() -> None:
    async for item in counted(1):
        assert_type(item, int)


counted("1")  # type: ignore[call-overload]
text("1")  # type: ignore[arg-type]
model("1")  # type: ignore[arg-type]
text()  # type: ignore[call-arg]
text(1, time=2)  # type: ignore[call-arg]
text.options(timeout=1)("1")  # type: ignore[arg-type]
text.options(patience=1)  # type: ignore[call-arg]
text.start("1")  # type: ignore[arg-type]
number(1)  # type: ignore[call-overload]
text.map(["1"])  # type: ignore[list-item]
text.map([1], limits=2)  # type: ignore[call-arg]
msx.first([1])  # type: ignore[arg-type]
msx.context().attempt = 2  # type: ignore[misc]
microservice(thread=4)  # type: ignore[call-overload]


@microservice(batch=32, within="5ms")
def embeds(texts: list[str]) -> list[bytes]:
    return [text.encode() for text in texts]


@microservice(batch=32, threads=4)
async def joins(texts: list[str], times: list[int]) -> list[bytes]:
    return [text.encode() * count for text, count in zip(texts, times, strict=True)]


@microservice(batch=8)
def judges(xs: list[int]) -> list[int | Exception]:
    return [x if x > 0 else ValueError(x) for x in xs]


class Embedder:
    def __call__(self, texts: list[str]) -> list[bytes]:
        return [text.encode() for text in texts]


class Joiner:
    async def __call__(self, texts: list[str], times: list[int]) -> list[bytes]:
        return [text.encode() * count for text, count in zip(texts, times, strict=True)]


embedder = microservice(batch=32)(Embedder)
joiner = microservice(batch=32)(Joiner)
assert_type(embeds("x"), bytes)
assert_type(embeds.start("x"), Future[bytes])
assert_type(embeds.local("x"), bytes)
assert_type(list(embeds.map(["x"])), list[bytes])
assert_type(joins("x", 2), Future[bytes])
assert_type(judges(1), int | Exception)
assert_type(embedder("x"), bytes)
assert_type(joiner("x", 2), Future[bytes])
embeds(["x"])  # type: ignore[arg-type]
joins("x")  # type: ignore[call-overload]
microservice(within="5ms")  # type: ignore[call-overload]
