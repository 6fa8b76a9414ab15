"""Timers of asyncio inside of a call: `asyncio.timeout`, `wait_for`, `wait(timeout=…)`, `sleep`.

A timer that strikes while tasks wait for calls decides what the program does next. So that is recorded, at
its place among the results, as a memo whose value is the number of the timer in the call; a replay lets the
timer strike there, whatever the clock says. A timer that strikes while nothing waits for a call is not
recorded: it decides nothing that a replay would see otherwise.

Only timers of asyncio's own functions are looked at. Libraries make others, in an order of their own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from ._lines import source_line

if TYPE_CHECKING:
    from ._tasks import LoopCall

_MAKERS = {"asyncio.timeouts", "asyncio.tasks", "asyncio.futures"}


class Timer:
    """One timer of a call."""

    def __init__(
        self, call: LoopCall, number: int, callback: Callable[..., Any], args: Any, context: Context
    ) -> None:
        self.call, self.number = call, number
        self.line = source_line()
        self._callback, self._args, self._context = callback, args, context
        self.handle: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Its time has come."""
        if self.call.defers(self):
            return
        self.call.timers.pop(self.number, None)
        self._callback(*self._args)

    @property
    def was_cancelled(self) -> bool:
        return self.handle is not None and self.handle.cancelled()

    @property
    def when(self) -> float:
        return math.inf if self.handle is None else self.handle.when()

    def strike(self, loop: asyncio.AbstractEventLoop) -> None:
        """In its turn; the clock's own strike, if it is still to come, is none any more."""
        if self.handle is not None and not self.handle.cancelled():
            self.handle.cancel()
            loop.call_soon(self._callback, *self._args, context=self._context)


def watch(loop: asyncio.AbstractEventLoop, current: Callable[[Context], LoopCall | None]) -> None:
    """Numbers the timers that calls make on this loop."""
    real = loop.call_at if isinstance(loop, asyncio.BaseEventLoop) else _by_delay(loop)

    def call_at(
        when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if getattr(callback, "__module__", None) in _MAKERS:
            own = context if context is not None else copy_context()
            call = current(own)
            if call is not None and not call.ended:
                timer = call.new_timer(callback, args, own)
                timer.handle = real(when, timer, context=own)
                return timer.handle
        return real(when, callback, *args, context=context)

    def call_later(
        delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return call_at(loop.time() + delay, callback, *args, context=context)

    loop.call_at = call_at  # type: ignore[method-assign, assignment]
    loop.call_later = call_later  # type: ignore[method-assign, assignment]


def _by_delay(loop: asyncio.AbstractEventLoop) -> Callable[..., asyncio.TimerHandle]:
    """The `call_at` of a loop that makes it of its `call_later`, as uvloop does: that is watched, too."""
    later = loop.call_later

    def call_at(
        when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return later(max(0.0, when - loop.time()), callback, *args, context=context)

    return call_at
