"""The time of the event loops in a test, which jumps to the next timer when all else stands still."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any


def do_nothing() -> None:
    """Nobody wants to hear that a loop is idle."""


class Clock:
    """Monotonic seconds, `ahead` of the real ones by what was skipped."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.on_idle: Callable[[], None] = do_nothing  # a loop has nothing to do but to wait

    def time(self) -> float:
        return time.monotonic() + self.ahead


class Selector(selectors.DefaultSelector):
    """Knows when its loop has nothing to do but to wait."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.is_idle = False
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        self.is_idle = True
        self._clock.on_idle()
        ready = super().select(timeout)
        self.is_idle = False
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop on such a clock."""

    def __init__(self, clock: Clock) -> None:
        self._msx_clock, self._msx_selector = clock, Selector(clock)
        self._msx_threads = 0  # that work for it, as by `asyncio.to_thread`
        super().__init__(self._msx_selector)

    def time(self) -> float:
        return self._msx_clock.time()

    def is_idle(self) -> bool:
        return self._msx_selector.is_idle and not self._msx_threads

    def wake(self) -> None:
        """From another thread, so that it looks at the clock. It is idle again when it has done so."""
        self._msx_selector.is_idle = False
        self.call_soon_threadsafe(lambda: None)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self._msx_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_is_done)
        return future

    def _thread_is_done(self, _: Any) -> None:
        self._msx_threads -= 1
