"""Calls of `def` services: what stubs ask of them, their futures, and which call a thread belongs to.

How a call waits is its lane's business (`_threads`).
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from . import _context
from ._errors import Cancelled, NoCallContext
from ._futures import Future, all_outcomes, ready
from ._guests import Guests
from ._lines import source_line
from ._options import CallOptions
from ._protocol import WAIT_ANY, Calls, Close, Entry, Item, Memo, Run, Summary, Wait
from ._races import ThreadRace
from ._replay import Call, read
from ._streams import Stream, ThreadStream

if TYPE_CHECKING:
    from ._service import Service
    from ._threads import Lane

# For the threads that a call starts and hands its context to.
current_call: ContextVar[ThreadCall | None] = ContextVar("msx_call", default=None)
_making_guests = threading.Lock()


class ThreadCall(Call):
    """A call in a lane's thread (`_context.LiveCall`)."""

    __slots__ = ("_lane", "guests", "parked_for")

    def __init__(self, run: Run, lane: Lane) -> None:
        super().__init__(run, lane.service.name)
        self._lane = lane
        self.guests: Guests | None = None  # made when the first thread of the user's comes
        self.parked_for: Wait | None = None  # what its own thread waits for

    @property
    def root(self) -> ThreadCall:
        return self

    @property
    def ended(self) -> bool:
        return self._lane.call is not self

    def for_guest(self) -> Guests:
        """The call, for a thread that is not its own."""
        with _making_guests:
            if self.guests is None:
                self.guests = Guests(self, self._lane)
        if self.ended:  # its thread first says so, and then looks for guests
            raise NoCallContext(
                "the call of this thread has ended: join the thread before the function returns"
            )
        return self.guests

    def future(
        self, asking: ThreadCall | Guests, service: Service[..., Any], args: Any, kwargs: Any
    ) -> ThreadFuture:
        return ThreadFuture(asking, service.name, args, kwargs, service.call_options)

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _context.refuse_on_loop(service.name)
        entry = self.claim(service.name, args, kwargs, service.call_options, source_line())
        seq = entry.seq
        if seq not in self.inbox:
            self._lane.park(self, [entry], [seq])
        return read(self.inbox.pop(seq))

    def start(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        future = ThreadFuture(self, service.name, args, kwargs, service.call_options)
        future.begin()
        return future

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return ThreadFuture(self, service.name, args, kwargs, service.call_options)

    def stream(
        self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stream[Any]:
        return ThreadStream(self, service, args, kwargs)

    def check_own(self, service: str) -> None:
        """A stream belongs to the thread and the call that it was made in."""
        if _context.runtime.current() is not self:
            raise NoCallContext(f"the stream of {service} belongs to another call, or to another thread")

    def park(self, entries: list[Entry], seq: int) -> None:
        self._lane.park(self, entries, [seq])

    def send_item(self, item: Item) -> None:
        self._lane.send_now(self, item)

    def send_close(self, seq: int) -> None:
        self._lane.send_now(self, Close(self.id, self.attempt, seq))

    def close_left(self, seq: int) -> None:
        """The same from a destructor, where no exception comes through."""
        if self.suspended or self._lane.call is not self or not self._lane.is_here():
            return
        try:
            self.send_close(seq)
        except Cancelled as raised:
            self._lane.interrupt_again(self, str(raised))
        except OSError:
            pass  # the hub has closed the lane; the call finds out when it waits

    def gather(self, futures: Sequence[Future[Any]]) -> Any:
        """On an event loop that the function runs for itself, it blocks that loop: the thread is parked."""
        for future in futures:
            future.begin()
        self.wait([future for future in futures if isinstance(future, ThreadFuture)])
        for future in futures:
            future.wait()
        return all_outcomes(futures) if _context.running_loop() is None else ready(futures)

    def race(self) -> ThreadRace:
        return ThreadRace(self)

    def send_entry(self, entry: Entry) -> None:
        self._lane.send_now(self, Calls(self.id, self.attempt, [entry], None))

    def send_memo(self, memo: Memo) -> None:
        self._lane.send_now(self, memo)

    def send_summary(self, text: str) -> None:
        self._lane.send_now(self, Summary(self.id, self.attempt, text))

    def wait(self, futures: Sequence[ThreadFuture]) -> None:
        """Parks until all of them are answered."""
        if self.suspended:
            self.unwind()
        missing = [future.seq for future in futures if not future.done and future.seq not in self.inbox]
        if missing:
            self._lane.park(self, [], missing)

    def settle_one(self, waiting: Mapping[int, ThreadFuture]) -> None:
        """Parks until one of them is answered, and settles the one whose result was recorded first."""
        if self.suspended:
            self.unwind()
        while (seq := next(filter(waiting.__contains__, self.inbox), None)) is None:
            self._lane.park(self, [], list(waiting), WAIT_ANY)
        waiting[seq].take()


class ThreadFuture(Future[Any]):
    __slots__ = ("_args", "_call", "_kwargs", "_line", "_options", "seq")

    def __init__(
        self, call: ThreadCall | Guests, name: str, args: Any, kwargs: Any, options: CallOptions | None
    ) -> None:
        super().__init__(name, call.root.new_identity() if call is call.root else None)
        self._call = call
        self._args, self._kwargs, self._options = args, kwargs, options
        self._line = source_line()
        self.seq = -1

    def begin(self) -> None:
        if self.begun:
            return
        self._check()
        self.begun = True
        entry = self._call.claim(self.__name__, self._args, self._kwargs, self._options, self._line)
        self.seq = entry.seq
        self._args, self._kwargs = (), {}
        if entry.seq not in self._call.root.inbox:
            self._call.send_entry(entry)

    def wait(self) -> None:
        if not self.done:
            self._check().wait([self])
            self.take()

    def take(self) -> None:
        """Its result is in the inbox."""
        try:
            self.settle(True, read(self._call.root.inbox.pop(self.seq)))
        except BaseException as error:  # Cancelled too: the result is taken all the same
            self.settle(False, error)

    def _check(self) -> ThreadCall | Guests:
        """The call as this thread may use it: a call's own thread and its guests share futures."""
        current: ThreadCall | Guests = _context.runtime.current()  # type: ignore[assignment]
        if current.root is not self._call.root:
            raise NoCallContext(f"this call of {self.__name__} was started by a call that has ended")
        return current

    def __await__(self) -> Generator[Any, Any, Any]:
        self.begin()
        self.wait()
        return self.outcome()
        yield


class ThreadRuntime:
    """Knows the call of each lane's thread."""

    def __init__(self) -> None:
        self.local = threading.local()

    def current(self) -> ThreadCall | Guests:
        lane: Lane | None = getattr(self.local, "lane", None)
        if lane is None:
            call = current_call.get()
            if call is not None:
                return call.for_guest()
            raise NoCallContext(
                "a service was called on a thread that msx did not start, and that has no call; hand it the "
                "context of the call: Thread(target=contextvars.copy_context().run, args=(fn, …)), a copy "
                "for each thread"
            )
        if lane.call is None:
            raise NoCallContext("a service was called when the call on this thread had ended")
        return lane.call
