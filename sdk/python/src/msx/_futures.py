"""Futures: calls that are waited for later, and `gather`."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from . import _context
from ._errors import UsageError

R = TypeVar("R")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")


class Future(Coroutine[Any, Any, R]):
    """A call to a service. `result()` waits for it in a `def`, `await` in an `async def`.

    It is a coroutine to asyncio, so `create_task`, `TaskGroup` and `asyncio.gather` take it.
    """

    __slots__ = ("__name__", "__qualname__", "__weakref__", "_identity", "_outcome", "_steps", "begun")

    def __init__(self, name: str, identity: tuple[int, int] | None = None) -> None:
        """`identity`: the same on a replay, and so is the order of a set of futures."""
        self._identity = identity
        self.__name__ = self.__qualname__ = name
        self.begun = False
        self._outcome: tuple[bool, Any] | None = None
        self._steps: Generator[Any, Any, R] | None = None

    @property
    def done(self) -> bool:
        return self._outcome is not None

    def settle(self, ok: bool, value: Any) -> None:
        self._outcome = ok, value

    def begin(self) -> None:
        """Makes the call, if that has not been done."""
        raise NotImplementedError

    def wait(self) -> None:
        """Blocks until there is an outcome."""
        raise NotImplementedError

    def result(self) -> R:
        """Waits for the call; returns its value or raises its exception."""
        if not self.done:
            if _context.running_loop() is not None:
                raise UsageError(f"{self.__name__}: .result() would block the event loop; use: await future")
            self.begin()
            self.wait()
        return self.outcome()

    def outcome(self) -> R:
        """The value or the exception of a call that is done."""
        assert self._outcome is not None
        ok, value = self._outcome
        if not ok:
            raise value
        returned: R = value
        return returned

    def send(self, value: Any, /) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        if value is None and trace is None:
            return self._steps.throw(kind)
        return self._steps.throw(kind, value, trace)

    def close(self) -> None:
        self.begun = True
        if self._steps is not None:
            self._steps.close()

    def __hash__(self) -> int:
        return object.__hash__(self) if self._identity is None else hash(self._identity)

    def __repr__(self) -> str:
        state = "done" if self.done else "started" if self.begun else "not started"
        return f"<msx call of {self.__name__}, {state}>"

    def __del__(self) -> None:
        if not self.begun:
            warnings.warn(f"the call of {self.__name__} was never awaited", RuntimeWarning, stacklevel=2)


if TYPE_CHECKING:
    from collections.abc import Awaitable

    from typing_extensions import TypeVarTuple, Unpack

    Ts = TypeVarTuple("Ts")

    class Gathered(tuple[Unpack[Ts]], Awaitable[tuple[Unpack[Ts]]], Generic[Unpack[Ts]]):
        """Results of several types: unpack it in a `def`, `await` it in an `async def`. Really a list."""

    class GatheredList(list[R], Awaitable[list[R]]):
        """Results of one type: a list in a `def`, `await` it in an `async def`."""


@overload
def gather(f1: Future[T1], /) -> GatheredList[T1]: ...
@overload
def gather(f1: Future[T1], f2: Future[T2], /) -> Gathered[T1, T2]: ...
@overload
def gather(f1: Future[T1], f2: Future[T2], f3: Future[T3], /) -> Gathered[T1, T2, T3]: ...
@overload
def gather(f1: Future[T1], f2: Future[T2], f3: Future[T3], f4: Future[T4], /) -> Gathered[T1, T2, T3, T4]: ...
@overload
def gather(
    f1: Future[T1], f2: Future[T2], f3: Future[T3], f4: Future[T4], f5: Future[T5], /
) -> Gathered[T1, T2, T3, T4, T5]: ...
@overload
def gather(*futures: Future[R]) -> GatheredList[R]: ...
def gather(*futures: Future[Any]) -> Any:
    """Waits for all calls, then returns their results in this order, or raises the first exception in it.

    In a `def` it blocks and returns a list; in an `async def` it is awaited.
    """
    for future in futures:
        if not isinstance(future, Future):
            raise UsageError(
                f"gather takes calls that were started, like a.start(x); this is a {type(future).__name__}"
            )
    return _context.runtime.current().gather(futures)


def all_outcomes(futures: Any) -> list[Any]:
    """The values of calls that are done, or the first exception in their order."""
    return [future.outcome() for future in futures]
