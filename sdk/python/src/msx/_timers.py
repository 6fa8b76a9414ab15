"""Timers of asyncio inside of a call: `asyncio.timeout`, `wait_for`, `wait(timeout=…)`, `sleep`.

A timer that strikes while tasks wait for calls decides what the program does next. So that is recorded, at
its place among the results, as a memo whose value is the number of the timer in the call; a replay lets the
timer strike there, whatever the clock says. A timer that strikes while nothing waits for a call is not
recorded: it decides nothing that a replay would see otherwise.

Only timers of asyncio's own functions are looked at. Libraries make others, in an order of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from ._tasks import LoopCall

IDENT = crc32(b"asyncio timer")
_MAKERS = {"asyncio.timeouts", "asyncio.tasks", "asyncio.futures"}


class Timer:
    """One timer of a call."""

    def __init__(
        self,
        call: LoopCall,
        number: int,
        callback: Callable[..., Any],
        args: Any,
        context: Context,
        when: float,
    ) -> None:
        self.call, self.number, self.when = call, number, when
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

    def strike(self, loop: asyncio.AbstractEventLoop) -> None:
        """In its turn; the clock's own strike, if it is still to come, is none any more."""
        if self.handle is not None and not self.handle.cancelled():
            self.handle.cancel()
            loop.call_soon(self._callback, *self._args, context=self._context)


def watch(loop: asyncio.AbstractEventLoop, current: Callable[[Context], LoopCall | None]) -> None:
    """Numbers the timers that calls make on this loop.

    asyncio's `call_later` makes its timer by `call_at`, uvloop's the other way round: what comes the second
    time is a `Timer` already, and passes.
    """

    def watched(real: Callable[..., asyncio.TimerHandle], since: Callable[[], float]) -> Any:
        def schedule(
            when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
        ) -> asyncio.TimerHandle:
            if getattr(callback, "__module__", None) in _MAKERS:
                own = context if context is not None else copy_context()
                call = current(own)
                if call is not None and not call.ended:
                    timer = call.new_timer(callback, args, own, since() + when)
                    timer.handle = real(when, timer, context=own)
                    return timer.handle
            return real(when, callback, *args, context=context)

        return schedule

    loop.call_at = watched(loop.call_at, lambda: 0.0)  # type: ignore[method-assign]
    loop.call_later = watched(loop.call_later, loop.time)  # type: ignore[method-assign]
