"""Workers of `def` services: a lane is a thread, and a call runs in it from its first line to its last.

A call that waits for another blocks reading its lane; that is all there is to parking. The hub sends short
calls before the lane is free: they are `_pending`, and their replies are gathered for a moment and go out
before the lane reads. What is pending when a call parks goes back to the hub, and when a call takes long,
the hub asks for it: then the control thread gives it back, and sends the replies that it finds.

`interrupt` raises `Cancelled` inside of a thread, at whatever instruction it is. It must only ever hit the
user's code: `_running` says whether the thread is there, `_leave` and `_enter` are its ways out and in. The
control thread first keeps an interrupt and then looks for the thread; the thread first says that it runs and
then looks for what is kept. So at least one of them sees the other, and who takes it out of `kept` raises it.
"""

from __future__ import annotations

import ctypes
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from . import _context, _hooks
from ._errors import Cancelled, NoCallContext
from ._futures import Future, all_outcomes, ready
from ._guests import Guests, check_all_asked
from ._interrupts import Kept
from ._lines import source_line
from ._options import CallOptions
from ._process import die, die_of_lanes
from ._protocol import (
    WAIT_ALL,
    WAIT_ANY,
    Calls,
    Close,
    Decoder,
    Entry,
    Evict,
    GiveBack,
    Interrupt,
    Item,
    Memo,
    Message,
    ProtocolError,
    Reader,
    Resume,
    Return,
    Run,
    Summary,
    TaskStack,
    Wait,
    frame,
)
from ._races import ThreadRace
from ._replay import Call, read
from ._streams import Stream, ThreadStream, yield_all
from ._tally import Numbers
from ._traceback import format_frame, stack_of_thread

if TYPE_CHECKING:
    from ._main import WorkerProcess
    from ._service import Service

# What Python's recursion limit is made for; only what a thread touches costs memory.
STACK_BYTES = 8 * 1024 * 1024
# How long a reply waits for others that go out with it.
GATHER_NS = 100_000

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


class Lane:
    """A lane and its thread."""

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        service: Service[..., Any],
        runtime: ThreadRuntime,
        base: Context,
        kept: Kept,
        numbers: Numbers,
    ) -> None:
        self.number = number
        self._thread = threading.Thread(target=self._live, name=f"lane-{number}", daemon=True)
        self.service = service
        self.call: ThreadCall | None = None
        self._running: ThreadCall | None = None  # the thread is inside of this call's code
        self._interrupt: Interrupt | None = None  # was raised there, perhaps did not strike yet
        self._kept = kept
        self._reason = ""
        self._interrupting = threading.Lock()
        self._socket = sock
        self._reader = Reader(sock)
        self._reading = threading.Lock()
        self._told = 0  # `run` and `resume` messages that were read; each is called by its number
        self._pending: deque[tuple[int, Message]] = deque()
        self._numbers = numbers
        self._out: deque[bytes] = deque()
        self._sending = threading.Lock()
        self._gathering = 0  # since when
        self._runtime = runtime
        self._base = base
        self._decode = Decoder(Run, Resume, Evict)

    # --- the thread ---

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _live(self) -> None:
        self._runtime.local.lane = self
        try:
            self._serve_all()
        except OSError:
            pass  # the hub has closed the lane; whether it is gone, the control channel tells
        except Exception as error:  # a ProtocolError, or a mistake of ours: calls would hang
            die(f"{self._thread.name}: {error!r}")
        self._socket.close()

    def _serve_all(self) -> None:
        while (received := self._receive()) is not None:
            ordinal, message = received
            if isinstance(message, (Resume, Evict)):
                continue  # a guest has asked for it, and it comes too late
            if not isinstance(message, Run):
                raise ProtocolError(f"{type(message).__name__} came on an idle lane")
            self._numbers[self.number] = ordinal
            self._serve(message)

    def _receive(self) -> tuple[int, Message] | None:
        """The next message and its number, None at the end of the lane."""
        pending = self._pending
        while True:
            while not pending:
                if self._out:
                    self._flush()
                if not self._fill():
                    return None
            try:
                return pending.popleft()
            except IndexError:  # the control thread was faster
                continue

    def _fill(self) -> bool:
        with self._reading:
            return bool(self._pending) or self._read_with(self._socket.recv_into)

    def _read_with(self, recv_into: Callable[[memoryview], int]) -> bool:
        if not self._reader.fill_from(recv_into):
            return False
        while (received := self._reader.take()) is not None:
            message = self._decode(*received)
            self._told += not isinstance(message, Evict)
            self._pending.append((self._told, message))
        return True

    def _flush(self) -> None:
        """Whoever finds the lock taken may rely on its owner, who looks again when it has let it go."""
        while self._out and self._sending.acquire(blocking=False):
            try:
                frames = []  # none, if it was all sent between the look and the lock
                while self._out:
                    frames.append(self._out.popleft())
                if frames:
                    self._socket.sendall(frames[0] if len(frames) == 1 else b"".join(frames))
            finally:
                self._sending.release()

    def _give_back(self, run: Run) -> None:
        self._out.append(frame(GiveBack(run.call, run.attempt)))

    def _serve(self, run: Run) -> None:
        began = perf_counter_ns()
        call = self.call = ThreadCall(run, self)
        value, error = None, None
        try:
            try:
                value = self._execute(call, run.payload)
            except BaseException as raised:
                error = raised
            if self._interrupt is not None:
                self._absorb()
        except Cancelled as raised:  # it struck on the way out
            error = raised
            self._absorb()
        if self._reason:
            if isinstance(error, Cancelled) and not error.args:
                error.args = (self._reason,)
            self._reason = ""
        self._kept.take(call.id, call.attempt)
        self.call = None
        if call.guests is not None:
            call.guests.close()
        if error is None and call.recorded and not call.suspended:
            check_all_asked(call)
        self._reply(call.answer(error, value), began)
        del error  # its traceback refers to this frame

    def _reply(self, answer: Message, began: int) -> None:
        now = perf_counter_ns()
        if isinstance(answer, Return):
            answer.micros = (now - began) // 1000
        if not self._out:
            self._gathering = now
        self._out.append(frame(answer))
        if now - self._gathering > GATHER_NS:
            self._flush()

    def _execute(self, call: ThreadCall, payload: bytes) -> Any:
        args, kwargs = call.arguments(self.service, payload)
        try:
            context = self._base.copy()
            context.run(current_call.set, call)
            self._enter(call)
            result = context.run(self.service.fn, *args, **kwargs)
            return context.run(yield_all, call, result) if self.service.streams else result
        finally:
            self._running = None

    # --- what a call does on its lane ---

    def park(self, call: ThreadCall, entries: list[Entry], seqs: list[int], mode: int = WAIT_ALL) -> None:
        """Returns when the seqs are answered; raises Suspend when the call has to give up its place."""
        is_enough = all if mode == WAIT_ALL else any

        def is_over() -> bool:
            return is_enough(seq in call.inbox for seq in seqs)

        self._leave(call)
        # Said before it looks for guests, as they come before they look for this.
        call.parked_for = (mode, seqs)
        self.give_back()
        if entries or call.guests is None:  # they tell what is waited for, together with what they do
            wait = call.parked_for if call.guests is None else None
            self._out.append(frame(Calls(call.id, call.attempt, entries, wait)))
        while not (call.suspended or is_over()):
            if call.guests is not None:
                self._flush()
                call.guests.park(is_over)
            else:
                self.hear(call)
        call.parked_for = None
        if call.guests is not None:
            call.guests.unparked()
        if call.suspended:
            call.unwind()
        self._enter(call)

    def hear(self, call: ThreadCall) -> None:
        try:
            received = self._receive()
            if received is None:
                call.suspended = True
            else:
                self._take(call, *received)
        except OSError:
            call.suspended = True
        except ProtocolError as error:  # the user's code must not get to see this
            die(f"{self._thread.name}: {error!r}")

    def _take(self, call: ThreadCall, ordinal: int, message: Message) -> None:
        if isinstance(message, Run):
            self._give_back(message)
            return
        if not isinstance(message, (Resume, Evict)):
            raise ProtocolError(f"{type(message).__name__} came on the lane of a parked call")
        if isinstance(message, Resume):
            self._numbers[self.number] = ordinal
        if (message.call, message.attempt) != (call.id, call.attempt):
            return
        if isinstance(message, Evict):
            call.suspended = True
        else:
            call.learn(message)

    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def interrupt_again(self, call: ThreadCall, reason: str) -> None:
        """An interrupt struck where it is lost: it strikes when the code uses msx next."""
        self._kept.keep(Interrupt(call.id, call.attempt, reason))

    # --- for guests ---

    def fileno(self) -> int:
        return self._socket.fileno()

    def hear_buffered(self, call: ThreadCall) -> bool:
        """Whether there was a message that needed no reading."""
        try:
            received = self._pending.popleft()
        except IndexError:
            return False
        self._take(call, *received)
        return True

    def send_from_guest(self, message: Message) -> None:
        self._out.append(frame(message))
        self._flush()

    def send_now(self, call: ThreadCall, message: Message) -> None:
        self._leave(call)
        self._out.append(frame(message))
        self._flush()
        self._enter(call)

    # --- what was sent ahead ---

    def give_back(self) -> None:
        """Gives back what has not begun. For the thread when it parks, and for the control thread."""
        if not self._reading.acquire(blocking=False):
            return  # the thread reads: it has begun with everything
        try:
            kept = []
            while self._pending:
                with suppress(IndexError):  # the thread was faster
                    received = self._pending.pop()
                    if isinstance(received[1], Run):
                        self._give_back(received[1])
                    else:
                        kept.append(received)
            self._pending.extend(reversed(kept))
        finally:
            self._reading.release()

    def ask_back(self) -> None:
        """Gives back what waits behind a long call, and sends replies that wait. For the control thread."""
        if self._reading.acquire(blocking=False):
            try:
                with suppress(OSError):  # BlockingIOError: that is all; the thread finds out about any other
                    while self._read_with(self._read_now):
                        pass
            finally:
                self._reading.release()
        self.give_back()
        with suppress(OSError):
            self._flush()

    def _read_now(self, view: memoryview) -> int:
        return self._socket.recv_into(view, 0, socket.MSG_DONTWAIT)

    # --- interrupts ---

    def stack_of(self, interrupt: Interrupt) -> str | None:
        """The stack of a call, if its code is running here."""
        call = self._running
        if call is None or (call.id, call.attempt) != (interrupt.call, interrupt.attempt):
            return None
        return format_frame(sys._current_frames().get(self._thread.ident or 0))

    def stack(self) -> TaskStack:
        """Where the thread is, whatever it does. For the control thread."""
        call, running = self.call, self._running
        if call is None:
            return TaskStack(self._thread.name, 0, 0, "idle", "")
        state = "parked" if running is None else "running"
        text = stack_of_thread(self._thread)
        return TaskStack(self._thread.name, call.id, call.attempt, state, text)

    def interrupt(self, interrupt: Interrupt) -> None:
        """Raises Cancelled in a call, if its code is running here. For the control thread."""
        call = self._running
        if call is None or (call.id, call.attempt) != (interrupt.call, interrupt.attempt):
            return
        with self._interrupting:
            before, self._interrupt = self._interrupt, interrupt
            # From here on, if the thread leaves, it finds `_interrupt` and waits for the lock.
            if self._running is call and self._kept.take(call.id, call.attempt) is not None:
                _raise_in_thread(self._thread.ident, ctypes.py_object(Cancelled))
            else:
                self._interrupt = before

    def _enter(self, call: ThreadCall) -> None:
        """The thread goes into the user's code; raises Cancelled if the call was interrupted before."""
        self._running = call
        reason = self._kept.take(call.id, call.attempt)
        if reason is not None:
            raise Cancelled(reason)

    def _leave(self, call: ThreadCall) -> None:
        """The thread goes from the user's code into ours."""
        self._running = None
        if self._interrupt is not None:
            interrupt = self._absorb()
            if interrupt is not None and (interrupt.call, interrupt.attempt) == (call.id, call.attempt):
                self._running = call
                raise Cancelled(interrupt.reason)

    def _absorb(self) -> Interrupt | None:
        """Takes back an interrupt that has not struck, or takes it here."""
        interrupt: Interrupt | None = None
        while self._interrupt is not None:
            try:
                with self._interrupting:
                    _raise_in_thread(self._thread.ident, ctypes.py_object())
                    interrupt, self._interrupt = self._interrupt, None
            except Cancelled:
                continue
        if interrupt is not None:
            self._reason = interrupt.reason
        return interrupt


_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class ThreadEngine:
    """Runs a `def` service (`_main.Engine`)."""

    def __init__(self, service: Service[..., Any]) -> None:
        self._service = service
        self._runtime = ThreadRuntime()
        self._lanes: list[Lane] = []
        self._drained = threading.Event()
        self._base = Context()
        self._kept = Kept()

    def run(self, worker: WorkerProcess) -> None:
        _hooks.run(_hooks.starting)
        self._base = copy_context()
        threading.stack_size(STACK_BYTES)
        _context.install(self._runtime)
        worker.ready(self._service, self)
        self._drained.wait()
        _context.install(_context.IMPORTING)
        _hooks.run(_hooks.stopping)

    def add_lane(self, number: int, sock: socket.socket, numbers: Numbers) -> None:
        lane = Lane(number, sock, self._service, self._runtime, self._base, self._kept, numbers)
        self._lanes = [known for known in self._lanes if known.is_alive()]
        try:
            lane.start()
        except RuntimeError as error:
            die_of_lanes(str(error))
        self._lanes.append(lane)

    def stack_of(self, interrupt: Interrupt) -> str:
        return next((stack for lane in self._lanes if (stack := lane.stack_of(interrupt)) is not None), "")

    def stacks(self) -> list[TaskStack]:
        return [lane.stack() for lane in self._lanes]

    def interrupt(self, interrupt: Interrupt) -> None:
        self._kept.keep(interrupt)
        for lane in self._lanes:
            lane.interrupt(interrupt)

    def give_back(self, number: int) -> None:
        for lane in self._lanes:
            if lane.number == number:
                lane.ask_back()

    def drain(self) -> None:
        self._drained.set()
