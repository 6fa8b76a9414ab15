"""Calls that somebody waits for only so long."""

import asyncio
import builtins
import time

import msx
from marks import mark
from msx import microservice


@microservice(threads=1)
def sleeps(seconds: float, name: str = "sleeps") -> str:
    mark(f"{name}.begun")
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.005)
    except msx.Cancelled:
        mark(f"{name}.cancelled")
        raise
    return "done"


@microservice
async def asleeps(seconds: float, name: str = "asleeps") -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        mark(f"{name}.cancelled")
        raise
    return "done"


@microservice
def passes(seconds: float, name: str) -> str:
    return sleeps(seconds, name)


@microservice
def gives(timeout: float, seconds: float, name: str) -> list:
    """What the call site gets, for each form of the call."""
    got = []
    for call in (
        lambda: passes.options(timeout=timeout)(seconds, name),
        lambda: passes.options(timeout=timeout).start(seconds, name).result(),
        lambda: asleeps.options(timeout=timeout).start(seconds, name).result(),
    ):
        try:
            got.append(call())
        except builtins.TimeoutError as error:
            got.append([isinstance(error, msx.TimeoutError), error.service, str(error)])
    return got


@microservice
async def agives(timeout: float, seconds: float, name: str) -> list:
    got = []
    for call in (
        lambda: passes.options(timeout=timeout).aio(seconds, name),
        lambda: asleeps.options(timeout=timeout)(seconds, name),
    ):
        try:
            got.append(await call())
        except builtins.TimeoutError as error:
            got.append([isinstance(error, msx.TimeoutError), error.service, str(error)])
    return got


@microservice
def longer(name: str) -> str:
    """Asks for more time than its own caller gives it."""
    return sleeps.options(timeout=60)(60, name)


@microservice
def behind(name: str) -> list:
    """The second call waits for the only slot of `sleeps`, and is not begun once its time is over."""
    first = sleeps.start(0.6, f"{name}.first")
    second = sleeps.options(timeout=0.1).start(0, f"{name}.second")
    try:
        second.result()
        late = "answered"
    except msx.TimeoutError:
        late = "late"
    return [late, first.result()]
