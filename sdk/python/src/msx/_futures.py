"""Futures: calls that are waited for later, and `gather`. What else waits for several: `_fanout`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Generator, Sequence
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
R_co = TypeVar("R_co", covariant=True)


class Joinable(Generic[R_co]):
    """What `gather` takes, for type checkers: a call, or another gather."""

    __slots__ = ()


class Future(Coroutine[Any, Any, R], Joinable[R]):
    """A call to a service. `result()` waits for it in a `def`, `await` in an `async def`.

    It is a coroutine to asyncio, so `create_task`, `TaskGroup` and `asyncio.gather` take it.
    """

    __slots__ = (
        "__name__", "__qualname__", "__weakref__", "_identity", "_outcome", "_steps", "begun", "watchers"
    )  # fmt: skip

    def __init__(self, name: str, identity: tuple[int, int] | None = None) -> None:
        """`identity`: the same on a replay, and so is the order of a set of futures."""
        self._identity = identity
        self.__name__: str = name
        self.__qualname__: str = name
        self.begun: bool = False
        self._outcome: tuple[bool, Any] | None = None
        self._steps: dict[Any, Generator[Any, Any, R]] | None = None  # by task
        self.watchers: list[Callable[[Future[R]], None]] | None = None  # hear when it is settled

    @property
    def done(self) -> bool:
        return self._outcome is not None

    def settle(self, ok: bool, value: Any) -> None:
        self._outcome = ok, value
        if self.watchers is not None:
            watchers, self.watchers = self.watchers, None
            for heard in watchers:
                heard(self)

    def watch(self, heard: Callable[[Future[R]], None]) -> None:
        self.watchers = [*(self.watchers or ()), heard]

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
        return self._drive(lambda steps: steps.send(value))

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        if value is None and trace is None:
            return self._drive(lambda steps: steps.throw(kind))
        return self._drive(lambda steps: steps.throw(kind, value, trace))

    def _drive(self, step: Callable[[Generator[Any, Any, R]], Any]) -> Any:
        """Each task to which asyncio has given it waits by itself: `shield(future)` twice makes two."""
        task = _context.running_task()
        if self._steps is None:
            self._steps = {}
        steps = self._steps.get(task)
        if steps is None:
            steps = self._steps[task] = self.__await__()
        try:
            return step(steps)
        except BaseException:
            del self._steps[task]  # they are at their end
            raise

    def close(self) -> None:
        self.begun = True
        for steps in list((self._steps or {}).values()):
            steps.close()

    def __hash__(self) -> int:
        return object.__hash__(self) if self._identity is None else hash(self._identity)

    def __repr__(self) -> str:
        state = "done" if self.done else "started" if self.begun else "not started"
        return f"<msx call of {self.__name__}, {state}>"

    def __del__(self) -> None:
        if not self.begun:
            warnings.warn(f"the call of {self.__name__} was never awaited", RuntimeWarning, stacklevel=2)


class Settled(Future[R]):
    """A result that is there."""

    __slots__ = ()

    def __init__(self, value: R) -> None:
        super().__init__("result")
        self.begun = True
        self.settle(True, value)

    def begin(self) -> None:
        """Nothing is to be done."""

    def wait(self) -> None:
        """Nor waited for."""

    def __await__(self) -> Generator[Any, Any, R]:
        return self.outcome()
        yield


class Composite(Future[R]):
    """Is done by what it is made of."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.begun = True

    def complete(self) -> Generator[Any, Any, None]:
        """Returns when it is done; yields on an event loop only."""
        raise NotImplementedError

    def settle_by(self, outcome: Callable[[], R]) -> None:
        try:
            self.settle(True, outcome())
        except BaseException as error:
            self.settle(False, error)

    def begin(self) -> None:
        """Its parts are begun when it is made."""

    def wait(self) -> None:
        drive(self.complete())

    def __await__(self) -> Generator[Any, Any, R]:
        yield from self.complete()
        return self.outcome()


def drive(steps: Generator[Any, Any, R]) -> R:
    """Steps that block instead of yielding: those of a `def`."""
    try:
        next(steps)
    except StopIteration as stop:
        value: R = stop.value
        return value
    raise AssertionError("only an event loop has something to yield to")


if TYPE_CHECKING:
    from collections.abc import Awaitable

    from typing_extensions import TypeVarTuple, Unpack

    Ts = TypeVarTuple("Ts")

    class Gathered(
        tuple[Unpack[Ts]], Awaitable[tuple[Unpack[Ts]]], Joinable[tuple[Unpack[Ts]]], Generic[Unpack[Ts]]
    ):
        """Results of several types: unpack it in a `def`, `await` it in an `async def`. Really a list."""

    class GatheredList(list[R], Awaitable[list[R]], Joinable[list[R]]):
        """Results of one type: a list in a `def`, `await` it in an `async def`."""


@overload
def gather(f1: Joinable[T1], /) -> GatheredList[T1]: ...
@overload
def gather(  # pyright: ignore[reportOverlappingOverload]
    f1: Joinable[T1], f2: Joinable[T2], /
) -> Gathered[T1, T2]: ...
@overload
def gather(f1: Joinable[T1], f2: Joinable[T2], f3: Joinable[T3], /) -> Gathered[T1, T2, T3]: ...
@overload
def gather(
    f1: Joinable[T1], f2: Joinable[T2], f3: Joinable[T3], f4: Joinable[T4], /
) -> Gathered[T1, T2, T3, T4]: ...
@overload
def gather(
    f1: Joinable[T1], f2: Joinable[T2], f3: Joinable[T3], f4: Joinable[T4], f5: Joinable[T5], /
) -> Gathered[T1, T2, T3, T4, T5]: ...
@overload
def gather(*futures: Joinable[R]) -> GatheredList[R]: ...
def gather(*futures: Any) -> Any:
    """Waits for all calls, then returns their results in this order, or raises the first exception in it.

    In a `def` it blocks and returns a list; in an `async def` it is awaited. A gather may be part of another
    one. In a `def` the inner one waits first: start the calls of both before.
    """
    return _context.runtime.current().gather([_joined(future) for future in futures])


def _joined(future: Any) -> Future[Any]:
    if isinstance(future, Future):
        return future
    if not isinstance(future, list):
        raise UsageError(
            f"gather takes calls that were started, like a.start(x); this is a {type(future).__name__}"
        )
    if any(isinstance(part, Future) for part in future):
        raise UsageError("gather takes calls one by one, not in a list; use: gather(*calls)")
    return Settled(future)  # what an inner gather has returned in a `def`


def all_outcomes(futures: Any) -> list[Any]:
    """The values of calls that are done, or the first exception in their order."""
    return [future.outcome() for future in futures]


async def ready(futures: Sequence[Future[Any]]) -> list[Any]:
    """The same for an event loop, of futures that were waited for."""
    return all_outcomes(futures)
