"""The races of `_fanout`, as each kind of call runs them.

A future tells the races that it is in when it is settled, by whomever. So each is handed out once, and in
the order in which that happened, which a replay repeats.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from . import _context
from ._errors import NoCallContext, UsageError
from ._futures import Future

if TYPE_CHECKING:
    import asyncio

    from ._guests import Guests
    from ._tasks import LoopCall
    from ._threadcalls import ThreadCall

Steps = Generator[Any, Any, Future[Any]]


class Race:
    """Its `waiting` is what a call is asked to settle one of."""

    def __init__(self) -> None:
        self.waiting: dict[int, Any] = {}
        self._done: deque[Future[Any]] = deque()

    def add(self, future: Any) -> None:
        future.begin()
        if future.done:
            self._done.append(future)
        else:
            self.waiting[future.seq] = future
            future.watch(self._settled)

    def _settled(self, future: Any) -> None:
        del self.waiting[future.seq]
        self._done.append(future)

    def next(self) -> Steps:
        while not self._done:
            yield from self.settle_one()
        return self._done.popleft()

    def settle_one(self) -> Generator[Any, Any, None]:
        raise NotImplementedError


class ThreadRace(Race):
    """In a `def`."""

    def __init__(self, call: ThreadCall | Guests) -> None:
        super().__init__()
        self._call = call

    def settle_one(self) -> Generator[Any, Any, None]:
        current = _context.runtime.current()
        if getattr(current, "root", None) is not self._call.root:
            raise NoCallContext("these calls were started by a call that has ended")
        current.settle_one(self.waiting)  # type: ignore[attr-defined]
        return
        yield


class LoopRace(Race):
    """On an event loop: a waiter of its futures (`_tasks.Waiter`) that stays, counted while a task waits."""

    def __init__(self, call: LoopCall) -> None:
        super().__init__()
        self._call = call
        self.futures = self.waiting.values()
        self.missing = 0
        self.woken: asyncio.Future[None] | None = None
        self.task: asyncio.Task[Any] | None = None

    def add(self, future: Any) -> None:
        super().add(future)
        if not future.done:
            future.waiters.append(self)

    def settle_one(self) -> Generator[Any, Any, None]:
        if self.missing > 0:
            raise UsageError("two tasks wait for one as_completed, first or map; give each its own")
        return self._call.settle_one(self)

    def wake(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)


class PlainRace(Race):
    """Outside of a worker: on a loop its futures are tasks; without one, they are done when they start."""

    def __init__(self) -> None:
        super().__init__()
        self._added = 0

    def add(self, future: Any) -> None:
        future.seq = self._added
        self._added += 1
        super().add(future)

    def settle_one(self) -> Generator[Any, Any, None]:
        if _context.running_loop() is None:
            return self.settle_blocking()
        import asyncio

        tasks = [future.task for future in self.waiting.values()]
        yield from asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED).__await__()

    def settle_blocking(self) -> None:
        """Outside of an event loop."""
        raise AssertionError("a call in plain mode is done when it has started")
