"""Calls from threads that a `def` service has started itself, with the context of its call handed over.

The lane belongs to the call's own thread, which reads it while the call is parked. A guest must get results
while that thread runs: it asks the hub by `listen`, which does not park the call, and reads the lane itself.
At most one thread reads at a time; it takes what comes for all, and wakes the others. While the call's own
thread waits, too, one wait is told for everybody, and the call is parked as usual.

Threads are scheduled as they like, so what they ask cannot be numbered by its order. A guest's call has the
number that follows from what is asked and how often that was asked before. A replay that asks for the same
things gets the same results, in whatever order; what it does not ask for again is found at its end.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from zlib import crc32

from . import _context
from ._errors import NoCallContext, UsageError
from ._futures import Future, all_outcomes, ready
from ._options import CallOptions
from ._protocol import WAIT_ANY, Calls, Entry, Listen, Message, Summary
from ._races import ThreadRace
from ._replay import encode_arguments

if TYPE_CHECKING:
    from ._info import CallInfo
    from ._service import Service
    from ._threadcalls import ThreadCall, ThreadFuture
    from ._threads import Lane

FREE_SEQ = 1 << 31  # numbers from here on do not follow the order of creation


class Guests:
    """The guests of one call (`_context.LiveCall`)."""

    def __init__(self, call: ThreadCall, lane: Lane) -> None:
        self.root = call
        self._lane = lane
        self._changed = threading.Condition()
        self._awaited: dict[int, Collection[int]] = {}  # what each thread waits for
        self._is_read = False  # by one of the threads here
        self._told: Any = None  # what the hub knows that is waited for
        self._joined = False  # the call's own thread waits here
        self._ended = False
        self._asked: dict[tuple[str, int], int] = {}
        self._seqs: set[int] = set()
        self._woken, self._wake = socket.socketpair()
        self._poll = select.poll()
        self._poll.register(lane.fileno(), select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    @property
    def deadline(self) -> float | None:
        return self.root.deadline

    # --- for stubs, on any thread but the call's own ---

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.start(service, args, kwargs).result()

    def start(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        future = self.root.future(self, service, args, kwargs)
        future.begin()
        return future

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return self.root.future(self, service, args, kwargs)

    def gather(self, futures: Sequence[Future[Any]]) -> Any:
        for future in futures:
            future.begin()
        for future in futures:
            future.wait()
        return all_outcomes(futures) if _context.running_loop() is None else ready(futures)

    def stream(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        raise UsageError(
            f"{service.name} is a generator: iterate over it on the function's own thread, and hand its "
            "items to the threads that you have started"
        )

    def race(self) -> ThreadRace:
        return ThreadRace(self)

    def info(self) -> CallInfo:
        return self.root.info()

    def summarise(self, text: str) -> None:
        self._send(Summary(self.root.id, self.root.attempt, text))

    def memo(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        raise UsageError(
            "msx.run on a thread of your own has no place in the order of the record; use it on the "
            "function's own thread, or make a service of what must happen once"
        )

    # --- for futures ---

    def claim(
        self,
        service: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions | None,
        line: str | None,
    ) -> Entry:
        call = self.root
        call.check(service)
        payload, ident = encode_arguments(service, args, kwargs, call.limit)
        with self._changed:
            self._check_goes_on()
            seq = self._number(service, ident)
        entry = Entry(seq, service, ident, payload, options, line)
        call.identify(entry)
        return entry

    def _number(self, service: str, ident: int) -> int:
        times = self._asked[service, ident] = self._asked.get((service, ident), 0) + 1
        seq = FREE_SEQ | crc32(f"{service} {ident} {times}".encode())
        while seq in self._seqs:
            seq = FREE_SEQ | (seq + 1)
        self._seqs.add(seq)
        return seq

    def send_entry(self, entry: Entry) -> None:
        with self._changed:  # behind its end nothing more is sent
            self._check_goes_on()
            self._send(Calls(self.root.id, self.root.attempt, [entry], None))

    def wait(self, futures: Sequence[ThreadFuture]) -> None:
        missing = [future.seq for future in futures if not future.done]
        inbox = self.root.inbox
        self._await(missing, lambda: all(seq in inbox for seq in missing))

    def settle_one(self, waiting: Mapping[int, ThreadFuture]) -> None:
        inbox = self.root.inbox

        def next_known() -> int | None:
            return next(filter(waiting.__contains__, inbox), None)

        self._await(list(waiting), lambda: next_known() is not None)
        seq = next_known()
        assert seq is not None
        waiting[seq].take()

    # --- for the call's own thread ---

    def park(self, is_over: Callable[[], bool]) -> None:
        """Waits beside the guests; what it waits for is in `root.parked_for`."""
        with self._changed:
            self._joined = True
            self._told = None  # it may have heard of answers since
            self._changed.notify_all()
            while not (self.root.suspended or is_over()):
                self._tell_and_hear()
            self._joined = False

    def unparked(self) -> None:
        """It tells for the guests, too: the one that reads the lane does not hear of this."""
        with self._changed:
            self._told = None
            if not self.root.suspended:
                self._tell()
            self._changed.notify_all()

    def close(self) -> None:
        """The function has returned: from here on nobody else reads the lane."""
        with self._changed:
            self._ended = True
            self._wake.send(b"e")
            self._changed.notify_all()
            while self._is_read:
                self._changed.wait()
        self._woken.close()
        self._wake.close()

    # --- waiting ---

    def _await(self, seqs: list[int], is_over: Callable[[], bool]) -> None:
        me = threading.get_ident()
        with self._changed:
            self._awaited[me] = seqs
            try:
                while not is_over():
                    self._check_goes_on()
                    self._tell_and_hear()
            finally:
                del self._awaited[me]
                self._changed.notify_all()

    def _check_goes_on(self) -> None:
        if self.root.suspended:
            self.root.unwind()
        if self._ended:
            raise NoCallContext(
                "the call of this thread has ended: join the thread before the function returns"
            )

    def _tell_and_hear(self) -> None:
        self._tell()
        is_read_by_its_own = self.root.parked_for is not None and not self._joined
        if self._is_read or is_read_by_its_own:
            self._changed.wait()
        else:
            self._hear()

    def _tell(self) -> None:
        """What is waited for, if that is news to the hub."""
        inbox, parked_for = self.root.inbox, self.root.parked_for
        seqs = {seq: None for awaited in self._awaited.values() for seq in awaited if seq not in inbox}
        news: Any = list(seqs)
        if parked_for is not None:
            mode, wanted = parked_for
            own = [seq for seq in wanted if seq not in inbox]
            if not own or (mode == WAIT_ANY and len(own) < len(wanted)):
                return  # it goes on in a moment, and tells us
            news = (WAIT_ANY, [*own, *news]) if news else (mode, own)
        if news == self._told or not news:
            return
        self._told = news
        call = self.root
        if isinstance(news, tuple):
            self._send(Calls(call.id, call.attempt, [], news))
        else:
            self._send(Listen(call.id, call.attempt, news))

    def _hear(self) -> None:
        if not self._lane.hear_buffered(self.root):
            self._is_read = True
            self._changed.release()
            try:
                ready = {number for number, _ in self._poll.poll()}
            finally:
                self._changed.acquire()
                self._is_read = False
            if self._lane.fileno() in ready and not self._ended:
                self._lane.hear(self.root)
        self._told = None
        self._changed.notify_all()

    def _send(self, message: Message) -> None:
        try:
            self._lane.send_from_guest(message)
        except OSError:  # the hub has closed the lane
            self.root.suspended = True
            self.root.unwind()


def check_all_asked(call: ThreadCall) -> None:
    """A replay that has not made all calls of its guests again has done something else."""
    for known in (call.recorded or {}).values():
        if known.seq >= FREE_SEQ:
            call.differs(known, None)
            return
