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
        self._callback, self._args, self.context = callback, args, context
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
            loop.call_soon(self._callback, *self._args, context=self.context)


def watch(loop: asyncio.AbstractEventLoop, current: Callable[[Context], LoopCall | None]) -> None:
    """Numbers the timers that calls make on this loop."""
    real_at, real_later = loop.call_at, loop.call_later

    def timer_of(callback: Any, args: Any, context: Context | None) -> Timer | None:
        if getattr(callback, "__module__", None) not in _MAKERS:
            return None
        own = context if context is not None else copy_context()
        call = current(own)
        return None if call is None or call.ended else call.new_timer(callback, args, own)

    # Each loop has one of the two call the other: what is given on is a Timer, and not numbered again.
    def call_at(
        when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if (timer := timer_of(callback, args, context)) is None:
            return real_at(when, callback, *args, context=context)
        timer.handle = real_at(when, timer, context=timer.context)
        return timer.handle

    def call_later(
        delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if (timer := timer_of(callback, args, context)) is None:
            return real_later(delay, callback, *args, context=context)
        timer.handle = real_later(delay, timer, context=timer.context)
        return timer.handle

    loop.call_at = call_at  # type: ignore[method-assign, assignment]
    loop.call_later = call_later  # type: ignore[method-assign, assignment]
