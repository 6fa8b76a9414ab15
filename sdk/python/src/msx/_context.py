"""Which call is this code part of?

`runtime` answers for the whole process: plain mode by default (a script, pytest, a REPL), the worker's once a
worker has installed its own. A stub asks it for the current call and leaves the rest to that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ._errors import NoCallContext, UsageError

if TYPE_CHECKING:
    from ._fanout import Race
    from ._futures import Future
    from ._info import CallInfo
    from ._service import Service
    from ._streams import Stream


class LiveCall(Protocol):
    """What a stub needs of the call that it is used in."""

    @property
    def deadline(self) -> float | None:
        """When its caller stops waiting, by time.monotonic()."""

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls and waits, blocking."""

    def start(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Starts the call now."""
        ...

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """A call that starts when it is awaited, as a coroutine does."""
        ...

    def stream(
        self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stream[Any]:
        """The items of a generator."""
        ...

    def gather(self, futures: Sequence[Future[Any]]) -> Any:
        """All results: a list, or on an event loop an awaitable of one."""

    def race(self) -> Race:
        """For futures that are wanted in the order in which they are done."""
        ...

    def info(self) -> CallInfo:
        """What the code may know about its call."""
        ...

    def memo(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs a function once per call, however often the call is run again."""

    def summarise(self, text: str) -> None:
        """Says what the call is about."""


class Runtime(Protocol):
    def current(self) -> LiveCall:
        """The call that the running code is part of; raises NoCallContext."""
        ...


class NoRuntime:
    """Outside of any call in a worker: while it imports or stops, and in a process forked from it."""

    def __init__(self, when: str, fix: str) -> None:
        self._message = f"a service was called {when}, where there is no call that could wait for it; {fix}"

    def current(self) -> NoReturn:
        raise NoCallContext(self._message)


IMPORTING = NoRuntime(
    "while its module was imported or its hooks ran",
    "move it into the function of a service, or call the plain function with .local(…)",
)
FORKED = NoRuntime(
    "in a process that was forked from a worker",
    "make the call in the service's function and hand its result to the process",
)

runtime: Runtime


def install(new: Runtime) -> None:
    global runtime
    runtime = new


def running_loop() -> Any:
    """The event loop that runs in this thread, or None; does not import asyncio for the answer."""
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


def running_task() -> Any:
    """The task of asyncio that runs in this thread, or None."""
    loop = running_loop()
    return None if loop is None else sys.modules["asyncio.tasks"].current_task(loop)


def refuse_on_loop(service: str, instead: str = "await {short}.aio(…)") -> None:
    """A blocking call would stop everything else that the event loop does."""
    if running_loop() is not None:
        short = service.rpartition(".")[2]
        raise UsageError(f"{short}(…) would block the running event loop; use: {instead.format(short=short)}")
