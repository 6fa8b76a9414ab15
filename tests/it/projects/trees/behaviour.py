"""What a function does around a call changes neither its result nor the calls it makes."""

import asyncio
from contextlib import suppress

from loops import tick
from marks import mark
from msx import microservice


@microservice
def echo(value: object) -> object:
    return value


@microservice
def nothing() -> None:
    pass


@microservice
def swallows(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return HOWS[how](name)


def twice(name):
    return tick(1, name), tick(1, name)


def none_answers(name):
    return [nothing(), nothing(), tick(None, name)]


def except_exception(name):
    total = 0
    for i in range(5):
        try:
            total += tick(i, name)
        except Exception:
            mark(f"{name}.caught")
            total += 1000
    return total


def bare_except(name):
    total = 0
    for i in range(5):
        try:
            total += tick(i, name)
        except:  # noqa: E722
            total += 1000
    return total


def bare_except_returns(name):
    try:
        tick(1, name)
    except:  # noqa: E722
        return "swallowed"
    return tick(2, name)


def finally_returns(name):
    try:
        got = tick(7, name)
    finally:
        return f"finally {locals().get('got')}"  # noqa: B012


def finally_calls(name):
    """Calls in a `finally` that runs while the call unwinds."""
    try:
        return tick(1, name)
    finally:
        tick(2, name)


def calls_in_except(name):
    try:
        return tick(1, name)
    except BaseException:
        return tick(99, name)


def tries_for_ever(name):
    while True:
        try:
            return tick(1, name)
        except:  # noqa: E722
            continue


def owns_a_loop(name):
    """A `def` that runs an event loop of its own; while one of its tasks waits, so does the loop."""

    async def one(i):
        return await tick.aio(i, name) + await tick.aio(i, name)

    async def main():
        return await asyncio.gather(*[one(i) for i in range(3)])

    return asyncio.run(main())


def suppresses(name):
    got = []
    for i in range(3):
        with suppress(BaseException):
            got.append(tick(i, name))
    return got


def raises_instead(name):
    try:
        return tick(3, name)
    except BaseException:
        raise ValueError("in place of it") from None


def generator_closed(name):
    def numbers():
        try:
            yield tick(1, name)
            yield tick(2, name)
        except GeneratorExit:
            mark(f"{name}.closed")
            raise

    return list(numbers())


HOWS = {
    function.__name__: function
    for function in (
        twice, none_answers, except_exception, bare_except, bare_except_returns, finally_returns, finally_calls,
        calls_in_except, tries_for_ever, owns_a_loop, suppresses, raises_instead, generator_closed,
    )
}  # fmt: skip


@microservice
async def aswallows(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return await AHOWS[how](name)


async def a_bare_except(name):
    total = 0
    for i in range(5):
        try:
            total += await tick.aio(i, name)
        except:  # noqa: E722
            total += 1000
    return total


async def a_finally_returns(name):
    try:
        got = await tick.aio(7, name)
    finally:
        return f"finally {locals().get('got')}"  # noqa: B012


async def a_finally_calls(name):
    try:
        return await tick.aio(1, name)
    finally:
        await tick.aio(2, name)


AHOWS = {function.__name__: function for function in (a_bare_except, a_finally_returns, a_finally_calls)}
