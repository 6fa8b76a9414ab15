"""The event loop of `async def` services in a test's process; the test can skip its time (`_clock`)."""

from __future__ import annotations

import math
import socket
import threading
from concurrent.futures import Future as Waiting
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from . import _clock
from ._loop import LoopEngine
from ._protocol import Message
from ._tasks import LoopRuntime

if TYPE_CHECKING:
    from ._service import Service


class Loop(LoopEngine):
    """The event loop of an `async def` service, in a thread; there is one per process, for all tests."""

    _all: dict[str, Loop] = {}  # noqa: RUF012
    clock = _clock.Clock()
    runtimes: dict[int, LoopRuntime] = {}  # noqa: RUF012  (by thread)

    @classmethod
    def of(cls, service: Service[..., Any]) -> Loop:
        known = cls._all.get(service.name)
        if known is None or known.service is not service:
            made: Waiting[Loop] = Waiting()
            threading.Thread(target=cls._live, args=(service, made), daemon=True).start()
            known = cls._all[service.name] = made.result()
        return known

    @classmethod
    def _live(cls, service: Service[..., Any], made: Waiting[Loop]) -> None:
        engine = cls(service)
        cls.runtimes[threading.get_ident()] = LoopRuntime()
        engine.run(made)  # type: ignore[arg-type]

    def new_loop(self) -> _clock.Loop:
        self._taken = 0
        return _clock.Loop(self.clock)

    async def _main(self, worker: Any) -> None:
        self._base = copy_context()
        worker.set_result(self)
        await self._drained.wait()

    def open(self, sock: socket.socket) -> None:
        self.loop.call_soon_threadsafe(self._reopen, sock)

    def _reopen(self, sock: socket.socket) -> None:
        self._lane, self._taken = None, 0  # that of an earlier test
        self._open(0, sock, {})

    def abandon(self) -> None:
        """Their hub is gone: its calls unwind."""
        self.loop.call_soon_threadsafe(self._abandon)

    def _abandon(self) -> None:
        for call in list(self._calls.values()):
            call.evict()

    def take(self, message: Message) -> None:
        self._taken += 1
        super().take(message)

    # --- for the thread of the hub ---

    def is_idle(self, sent: int) -> bool:
        """Whether all that was sent to it has been done, and only time can change something."""
        return self._taken == sent and self._own.is_idle()

    def next_timer(self) -> float:
        """Of those that calls made; only for one that is idle."""
        timers = [timer for call in self._calls.values() for timer in call.timers.values()]
        return min((timer.when for timer in timers if not timer.was_cancelled), default=math.inf)

    def wake(self) -> None:
        self._own.wake()

    @property
    def _own(self) -> _clock.Loop:
        assert isinstance(self.loop, _clock.Loop)
        return self.loop
