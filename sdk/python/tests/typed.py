"""Checked by mypy --strict (and meant to pass pyright): what the stub says about arguments and results."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from typing_extensions import assert_type

import msx
from msx import Future, Service, microservice, orchestrator


@microservice
def text(x: int, *, times: int = 1) -> str:
    """Documented."""
    return str(x) * times


@microservice(threads=4)
async def number(x: str) -> float:
    return float(x)


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
    both = await asyncio.gather(number("1"), text.aio(2))
    assert_type(both, tuple[float, str])
    assert_type(await msx.run(number.local, "1"), float)


text("1")  # type: ignore[arg-type]
text()  # type: ignore[call-arg]
text(1, time=2)  # type: ignore[call-arg]
text.options(timeout=1)("1")  # type: ignore[arg-type]
text.options(patience=1)  # type: ignore[call-arg]
text.start("1")  # type: ignore[arg-type]
number(1)  # type: ignore[call-overload]
microservice(thread=4)  # type: ignore[call-overload]
