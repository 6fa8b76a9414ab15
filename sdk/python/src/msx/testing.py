"""The pytest plugin of msx: the fixture `msx_hub` runs the services of a test in its process, as a hub would.

Installed with the package; from a checkout by `pytest -p msx.testing`.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import TimeoutError as WaitedTooLong
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pytest

from . import _context
from ._errors import NoCallContext, TimeoutError, UsageError
from ._futures import Future
from ._plain import PlainCall
from ._races import PlainRace
from ._registry import find
from ._replay import encode_arguments, read
from ._streams import NO_STREAMS

if TYPE_CHECKING:
    import asyncio

    from ._service import Service

Moment = Literal["start", "wait", "answer"]
LIMIT = 32 * 1024 * 1024


class Hub:
    """What `msx_hub` is: while it is there, calls of this process go through queues, slots and replay."""

    def __init__(self) -> None:
        from ._inprocess import Machine  # with the engines of workers, and asyncio
        from ._tasks import current_call
        from ._testloop import Loop

        self._machine = Machine()
        self._loops = Loop.runtimes
        self._call = current_call
        self._root = RootCall(self)
        self.timeout: float = 60.0
        """Seconds after which a test's call fails: it waits for something that does not come."""

    @property
    def replay(self) -> str:
        """`"always"`: every call is run again each time it waits, as by `MSX_REPLAY=always`. Else `""`."""
        return self._machine.replay

    @replay.setter
    def replay(self, mode: str) -> None:
        if mode not in ("", "always"):
            raise UsageError(f"msx_hub.replay is '' or 'always', not {mode!r}")
        self._machine.replay = mode

    @property
    def max_parked(self) -> int | None:
        """Calls that may wait in an instance before one is evicted; None: what the service says."""
        return self._machine.max_parked

    @max_parked.setter
    def max_parked(self, number: int | None) -> None:
        self._machine.max_parked = number

    @property
    def slots(self) -> int | None:
        """Calls that may run in an instance at once; None: what the service says. To be set first of all."""
        return self._machine.slots

    @slots.setter
    def slots(self, number: int | None) -> None:
        self._machine.slots = number

    @property
    def time(self) -> str:
        """`"skip"`: while the test waits, and so do all calls, the next timer of asyncio strikes at once.

        Else `"real"`.
        """
        return "skip" if self._machine.skips_time else "real"

    @time.setter
    def time(self, mode: str) -> None:
        if mode not in ("real", "skip"):
            raise UsageError(f"msx_hub.time is 'real' or 'skip', not {mode!r}")
        self._machine.skips_time = mode == "skip"

    @property
    def skipped(self) -> float:
        """Seconds that were skipped in this test."""
        return self._machine.skipped()

    def kill(self, service: Service[..., Any] | str, at: Moment = "wait") -> None:
        """The next call of the service loses its instance: before its first line, while it waits, or when it
        answers.

        What is parked there is replayed, also the call itself at "wait"; what runs there raises
        `InstanceDied` at its caller, also the call itself at "start" and "answer".
        """
        if at not in ("start", "wait", "answer"):
            raise UsageError(f"an instance is killed at 'start', 'wait' or 'answer', not at {at!r}")
        self._machine.faults.append((self._name(service), at))

    def runs(self, service: Service[..., Any] | str) -> int:
        """How often a call of it was begun, replays included."""
        return self._machine.runs[self._name(service)]

    def _name(self, service: Service[..., Any] | str) -> str:
        name = service if isinstance(service, str) else service.name
        found = find(name)
        if found is None:
            raise UsageError(f"{name!r} is not the name of one service in what this test has imported")
        return found.name

    # --- as the runtime of stubs ---

    def current(self) -> _context.LiveCall:
        loop = self._loops.get(threading.get_ident())
        if loop is not None:
            return loop.current()
        if self._call.get() is not None:  # a thread to which an `async def` has given work
            raise NoCallContext("a service was called on another thread than that of its call's event loop")
        threads = self._machine.threads
        return threads.current() if hasattr(threads.local, "lane") else self._root

    def submit(self, name: str, args: Any, kwargs: Any) -> Any:
        return self._machine.submit(name, encode_arguments(name, args, kwargs, LIMIT)[0])

    def awaited(self) -> AbstractContextManager[None]:
        return self._machine.awaited()

    def waited_in_vain(self, name: str) -> TimeoutError:
        return TimeoutError(
            f"{name} did not answer within {self.timeout:g} s (msx_hub.timeout); under way are: "
            f"{self._machine.under_way()}"
        )

    def close(self) -> None:
        left = [f"{name} at {at!r}" for name, at in self._machine.faults]
        self._machine.close()
        if left:
            raise UsageError(f"msx_hub.kill: no call came to {', '.join(left)}")


class RootCall(PlainCall):
    """The test itself, as what its stubs are used in."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _context.refuse_on_loop(service.name)
        return self.start(service, args, kwargs).result()

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return RootFuture(self._hub, service.name, args, kwargs)

    def stream(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        raise UsageError(NO_STREAMS.format(service=service.name))

    def race(self) -> RootRace:
        return RootRace()


class RootRace(PlainRace):
    """Calls that are wanted in the order in which they are answered."""

    def settle_blocking(self) -> None:
        futures = list(self.waiting.values())
        with futures[0].awaited():
            done, _ = concurrent.futures.wait(
                [future.waiting for future in futures],
                timeout=min(future.timeout for future in futures),
                return_when=concurrent.futures.FIRST_COMPLETED,
            )
        for future in [future for future in self.waiting.values() if not done or future.waiting in done]:
            future.wait()


class RootFuture(Future[Any]):
    __slots__ = ("_args", "_hub", "_kwargs", "_task", "seq", "waiting")

    def __init__(self, hub: Hub, name: str, args: Any, kwargs: Any) -> None:
        super().__init__(name)
        self._hub, self._args, self._kwargs = hub, args, kwargs
        self.waiting: Any = None
        self._task: asyncio.Task[None] | None = None

    @property
    def timeout(self) -> float:
        return self._hub.timeout

    def awaited(self) -> AbstractContextManager[None]:
        return self._hub.awaited()

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.waiting = self._hub.submit(self.__name__, self._args, self._kwargs)

    def wait(self) -> None:
        if not self.done:
            with self.awaited():
                self._settle(lambda: self.waiting.result(self._hub.timeout))

    def _settle(self, outcome: Callable[[], Any]) -> None:
        try:
            self.settle(True, read(outcome()))
        except WaitedTooLong:
            self.settle(False, self._hub.waited_in_vain(self.__name__))
        except Exception as error:
            self.settle(False, error)

    @property
    def task(self) -> asyncio.Task[None]:
        """What settles it on the running event loop."""
        if self._task is None:
            task: asyncio.Task[None] = _context.running_loop().create_task(self._settle_on_loop())
            self._task = task
        return self._task

    async def _settle_on_loop(self) -> None:
        import asyncio

        with self.awaited():
            await asyncio.wait([asyncio.wrap_future(self.waiting)], timeout=self._hub.timeout)
        self._settle(lambda: self.waiting.result(0))

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.done:
            self.begin()
            yield from self.task.__await__()
        return self.outcome()


def pytest_configure(config: pytest.Config) -> None:
    settings = "replay='always', max_parked=2, slots=1, timeout=60, time='skip'"
    config.addinivalue_line("markers", f"msx({settings}): settings of the fixture msx_hub")


@pytest.fixture
def msx_hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    """Services run in the test's process as under a hub; see `msx.testing.Hub`."""
    hub = Hub()
    marker = request.node.get_closest_marker("msx")
    before = _context.runtime
    try:
        for name, value in (marker.kwargs if marker else {}).items():
            if name not in ("replay", "max_parked", "slots", "timeout", "time"):
                raise UsageError(f"pytest.mark.msx has no setting {name!r}")
            setattr(hub, name, value)
        _context.install(hub)
        yield hub
    finally:
        _context.install(before)
        hub.close()
