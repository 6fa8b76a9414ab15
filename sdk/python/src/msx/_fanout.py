"""Many calls of one call: `map`, `as_completed`, `first`.

All three stand on a *race*: futures of calls, handed out one by one in the order in which the hub recorded
their results. That order is part of the record, so a replay sees the same winners, and what is started
because of them has the same numbers.

Each step is a generator. In a `def` it blocks and never yields; on an event loop it is awaited.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import _context
from ._errors import UsageError
from ._futures import Composite, Future, drive

if TYPE_CHECKING:
    from ._service import Service

R = TypeVar("R")
T = TypeVar("T")

Steps = Generator[Any, Any, T]


class Race(Protocol):
    """Made by a call for its own futures (`_context.LiveCall.race`)."""

    def add(self, future: Future[Any]) -> None:
        """Begins it, if that has not been done."""

    def next(self) -> Steps[Future[Any]]:
        """The next one that is done: those that were when they were added, then by the record."""
        ...


def block(steps: Steps[T], name: str, instead: str) -> T:
    """For a `def`: there the steps do not yield."""
    if _context.running_loop() is not None:
        raise UsageError(f"{name} would block the event loop; use: {instead}")
    return drive(steps)


@types.coroutine
def awaited(steps: Steps[T]) -> Steps[T]:
    return (yield from steps)


def new_race(futures: Iterable[Future[Any]], taker: str) -> tuple[Race, int]:
    """A race of calls, each of them once."""
    race = _context.runtime.current().race()
    entered = dict.fromkeys(futures)
    for future in entered:
        if not isinstance(future, Future) or isinstance(future, Composite):
            kind = type(future).__name__
            raise UsageError(f"{taker} takes calls that were started, like a.start(x); this is a {kind}")
        race.add(future)
    return race, len(entered)


class Completed(Iterator[Future[R]], AsyncIterator[Future[R]]):
    """What `as_completed` returns."""

    def __init__(self, futures: Iterable[Future[R]]) -> None:
        self._race, self._left = new_race(futures, "as_completed")

    def __iter__(self) -> Completed[R]:
        return self

    def __next__(self) -> Future[R]:
        if self._left == 0:
            raise StopIteration
        future = block(self._race.next(), "for … in as_completed(…)", "async for … in as_completed(…)")
        self._left -= 1
        return future

    def __aiter__(self) -> Completed[R]:
        return self

    async def __anext__(self) -> Future[R]:
        if self._left == 0:
            raise StopAsyncIteration
        future: Future[R] = await awaited(self._race.next())
        self._left -= 1
        return future


def as_completed(futures: Iterable[Future[R]]) -> Completed[R]:
    """The calls, each when it is done: `for f in msx.as_completed(fs): f.result()`.

    In an `async def`: `async for f in msx.as_completed(fs): await f`. Their order is recorded: a replay
    gets them in the same one.
    """
    return Completed(futures)


class First(Composite[R]):
    """What `first` returns: it is done when one of its calls is."""

    __slots__ = ("_race",)

    def __init__(self, futures: Iterable[Future[R]]) -> None:
        super().__init__("first")
        self._race, count = new_race(futures, "first")
        if count == 0:
            raise ValueError("first needs at least one call")

    def complete(self) -> Steps[None]:
        if not self.done:
            winner = yield from self._race.next()
            self.settle_by(winner.outcome)


def first(futures: Iterable[Future[R]]) -> Future[R]:
    """The call that is done first, with a value or with an exception.

    `msx.first(fs).result()` in a `def`, `await msx.first(fs)` in an `async def`. The others are not
    cancelled: they go on as long as this call lasts, and can still be waited for. The winner is
    recorded: a replay gets the same one.
    """
    return First(futures)


class Mapped(Iterator[R], AsyncIterator[R], Awaitable[list[R]]):
    """What `a.map` returns: results in the order of the items."""

    def __init__(self, service: Service[..., Any], items: Iterator[tuple[Any, ...]], limit: int) -> None:
        if limit < 1:
            raise ValueError(f"map: limit is {limit}; it must be at least 1")
        self._service = service
        self._items = items
        self._race: Race = _context.runtime.current().race()
        self._ahead: deque[Future[R]] = deque()  # started, and not returned yet
        self._finished: set[Future[R]] = set()  # of these, what the race has handed out
        while len(self._ahead) < limit and self._start_next():
            pass

    def _start_next(self) -> bool:
        arguments = next(self._items, None)
        if arguments is None:
            return False
        future = self._service.start(*arguments)
        self._ahead.append(future)
        self._race.add(future)
        return True

    def _next(self) -> Steps[R]:
        """Whichever is done makes room for another one, until it is the next in order."""
        future = self._ahead[0]
        while future not in self._finished:
            finished = yield from self._race.next()
            self._finished.add(finished)
            self._start_next()
        self._finished.remove(future)
        self._ahead.popleft()
        try:
            return future.outcome()
        except BaseException:
            self._ahead.clear()  # an exception is the last that it gives
            raise

    def _all(self) -> Steps[list[R]]:
        results = []
        while self._ahead:
            result = yield from self._next()
            results.append(result)
        return results

    def __iter__(self) -> Mapped[R]:
        return self

    def __next__(self) -> R:
        if not self._ahead:
            raise StopIteration
        return block(self._next(), "for … in a.map(…)", "async for … in a.map(…), or await a.map(…)")

    def __aiter__(self) -> Mapped[R]:
        return self

    async def __anext__(self) -> R:
        if not self._ahead:
            raise StopAsyncIteration
        result: R = await awaited(self._next())
        return result

    def __await__(self) -> Steps[list[R]]:
        return self._all()
