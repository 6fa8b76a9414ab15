"""`@msx.on_start` and `@msx.on_stop`: functions that run once per instance, around its calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Hook = TypeVar("Hook", bound=Callable[[], Any])

starting: list[Callable[[], Any]] = []
stopping: list[Callable[[], Any]] = []


def on_start(hook: Hook) -> Hook:
    """Runs before the instance takes calls: load models, open pools. It may be `async`."""
    starting.append(hook)
    return hook


def on_stop(hook: Hook) -> Hook:
    """Runs after the last call of the instance, in reverse order of decoration. It may be `async`."""
    stopping.insert(0, hook)
    return hook


async def run_async(hooks: list[Callable[[], Any]]) -> None:
    for hook in hooks:
        result = hook()
        if isinstance(result, Awaitable):
            await result


def run(hooks: list[Callable[[], Any]]) -> None:
    """Without an event loop; an `async` hook gets one of its own."""
    for hook in hooks:
        result = hook()
        if isinstance(result, Awaitable):
            import asyncio

            asyncio.run(_awaited(result))


async def _awaited(result: Awaitable[Any]) -> None:
    await result
