"""What a function does around a call changes neither its result nor the calls it makes."""

import asyncio
from contextlib import suppress

from cases import Cases
from loops import tick
from marks import mark
from msx import microservice

HOWS = Cases()
AHOWS = Cases()


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


@HOWS
def twice(name):
    return tick(1, name), tick(1, name)


@HOWS
def none_answers(name):
    return [nothing(), nothing(), tick(None, name)]


@HOWS
def except_exception(name):
    total = 0
    for i in range(5):
        try:
            total += tick(i, name)
        except Exception:
            mark(f"{name}.caught")
            total += 1000
    return total


@HOWS
def bare_except(name):
    total = 0
    for i in range(5):
        try:
            total += tick(i, name)
        except:  # noqa: E722
            total += 1000
    return total


@HOWS
def bare_except_returns(name):
    try:
        tick(1, name)
    except:  # noqa: E722
        return "swallowed"
    return tick(2, name)


@HOWS
def finally_returns(name):
    try:
        got = tick(7, name)
    finally:
        return f"finally {locals().get('got')}"  # noqa: B012


@HOWS
def finally_calls(name):
    """Calls in a `finally` that runs while the call unwinds."""
    try:
        return tick(1, name)
    finally:
        tick(2, name)


@HOWS
def calls_in_except(name):
    try:
        return tick(1, name)
    except BaseException:
        return tick(99, name)


@HOWS
def tries_for_ever(name):
    while True:
        try:
            return tick(1, name)
        except:  # noqa: E722
            continue


@HOWS
def owns_a_loop(name):
    """A `def` that runs an event loop of its own; while one of its tasks waits, so does the loop."""

    async def one(i):
        return await tick.aio(i, name) + await tick.aio(i, name)

    async def main():
        return await asyncio.gather(*[one(i) for i in range(3)])

    return asyncio.run(main())


@HOWS
def suppresses(name):
    got = []
    for i in range(3):
        with suppress(BaseException):
            got.append(tick(i, name))
    return got


@HOWS
def raises_instead(name):
    try:
        return tick(3, name)
    except BaseException:
        raise ValueError("in place of it") from None


@HOWS
def generator_closed(name):
    def numbers():
        try:
            yield tick(1, name)
            yield tick(2, name)
        except GeneratorExit:
            mark(f"{name}.closed")
            raise

    return list(numbers())


@microservice
async def aswallows(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return await AHOWS[how](name)


@AHOWS
async def a_bare_except(name):
    total = 0
    for i in range(5):
        try:
            total += await tick.aio(i, name)
        except:  # noqa: E722
            total += 1000
    return total


@AHOWS
async def a_finally_returns(name):
    try:
        got = await tick.aio(7, name)
    finally:
        return f"finally {locals().get('got')}"  # noqa: B012


@AHOWS
async def a_finally_calls(name):
    try:
        return await tick.aio(1, name)
    finally:
        await tick.aio(2, name)
