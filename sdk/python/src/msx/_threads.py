"""Workers of `def` services: a lane is a thread, and a call runs in it from its first line to its last.

A call that waits for another blocks reading its lane; that is all there is to parking. Replies are gathered
and go out when the lane has nothing more to do, before it reads; a call that is started goes out at once.

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
from collections.abc import Generator, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from . import _context, _hooks
from ._errors import Cancelled, NoCallContext
from ._futures import Future, all_outcomes
from ._interrupts import Kept
from ._options import CallOptions
from ._process import die, die_of_lanes
from ._protocol import (
    WAIT_ALL,
    Calls,
    Decoder,
    Entry,
    Evict,
    Interrupt,
    Memo,
    Message,
    ProtocolError,
    Reader,
    Resume,
    Run,
    frame,
)
from ._replay import Call, read
from ._traceback import format_frame

if TYPE_CHECKING:
    from ._main import WorkerProcess
    from ._service import Service

# What Python's recursion limit is made for; only what a thread touches costs memory.
STACK_BYTES = 8 * 1024 * 1024


class ThreadCall(Call):
    """A call in a lane's thread (`_context.LiveCall`)."""

    __slots__ = ("_lane",)

    def __init__(self, run: Run, lane: Lane) -> None:
        super().__init__(run, lane.service.name)
        self._lane = lane

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _context.refuse_on_loop(service.name)
        entry = self.claim(service.name, args, kwargs, service.call_options)
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

    def gather(self, futures: Sequence[Future[Any]]) -> Any:
        """On an event loop that the function runs for itself, it blocks that loop: the thread is parked."""
        for future in futures:
            future.begin()
        self.wait([future for future in futures if isinstance(future, ThreadFuture)])
        for future in futures:
            future.wait()
        return all_outcomes(futures) if _context.running_loop() is None else _ready(futures)

    def send_entry(self, entry: Entry) -> None:
        self._lane.send_now(self, Calls(self.id, self.attempt, [entry], None))

    def send_memo(self, memo: Memo) -> None:
        self._lane.send_now(self, memo)

    def wait(self, futures: Sequence[ThreadFuture]) -> None:
        """Parks until all of them are answered."""
        if self.suspended:
            self.unwind()
        missing = [future.seq for future in futures if not future.done and future.seq not in self.inbox]
        if missing:
            self._lane.park(self, [], missing)


async def _ready(futures: Sequence[Future[Any]]) -> list[Any]:
    return all_outcomes(futures)


class ThreadFuture(Future[Any]):
    __slots__ = ("_args", "_call", "_kwargs", "_options", "seq")

    def __init__(
        self, call: ThreadCall, name: str, args: Any, kwargs: Any, options: CallOptions | None
    ) -> None:
        super().__init__(name, call.new_identity())
        self._call = call
        self._args, self._kwargs, self._options = args, kwargs, options
        self.seq = -1

    def begin(self) -> None:
        if self.begun:
            return
        self._check()
        self.begun = True
        entry = self._call.claim(self.__name__, self._args, self._kwargs, self._options)
        self.seq = entry.seq
        self._args, self._kwargs = (), {}
        if entry.seq not in self._call.inbox:
            self._call.send_entry(entry)

    def wait(self) -> None:
        if not self.done:
            self._check()
            self._call.wait([self])
            try:
                self.settle(True, read(self._call.inbox.pop(self.seq)))
            except BaseException as error:  # Cancelled too: the result is taken all the same
                self.settle(False, error)

    def _check(self) -> None:
        if _context.runtime.current() is not self._call:
            raise NoCallContext(f"this call of {self.__name__} was started by a call that has ended")

    def __await__(self) -> Generator[Any, Any, Any]:
        self.begin()
        self.wait()
        return self.outcome()
        yield


class ThreadRuntime:
    """Knows the call of each lane's thread."""

    def __init__(self) -> None:
        self.local = threading.local()

    def current(self) -> ThreadCall:
        lane: Lane | None = getattr(self.local, "lane", None)
        if lane is None:
            raise NoCallContext(
                "a service was called on a thread that msx did not start; call it on the thread of the "
                "service's function (with a.start(x) and msx.gather) and hand the results to your threads"
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
    ) -> None:
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
        self._out: list[bytes] = []
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
        while (message := self._receive()) is not None:
            if isinstance(message, Run):
                self._serve(message)
            else:
                raise ProtocolError(f"{type(message).__name__} came on an idle lane")

    def _receive(self) -> Message | None:
        """The next message, None at the end of the lane."""
        reader = self._reader
        while (received := reader.take()) is None:
            if self._out:
                self._flush()
            if not reader.fill():
                return None
        return self._decode(*received)

    def _flush(self) -> None:
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._socket.sendall(data)

    def _serve(self, run: Run) -> None:
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
        self._out.append(frame(call.answer(error, value)))
        del error  # its traceback refers to this frame

    def _execute(self, call: ThreadCall, payload: bytes) -> Any:
        args, kwargs = self.service.decode_arguments(payload)
        try:
            self._enter(call)
            return self._base.copy().run(self.service.fn, *args, **kwargs)
        finally:
            self._running = None

    # --- what a call does on its lane ---

    def park(self, call: ThreadCall, entries: list[Entry], seqs: list[int]) -> None:
        """Returns when all the seqs are answered; raises Suspend when the call has to give up its place."""
        self._leave(call)
        self._out.append(frame(Calls(call.id, call.attempt, entries, (WAIT_ALL, seqs))))
        while not (call.suspended or all(seq in call.inbox for seq in seqs)):
            self._hear(call)
        if call.suspended:
            call.unwind()
        self._enter(call)

    def _hear(self, call: ThreadCall) -> None:
        try:
            message = self._receive()
            if message is None:
                call.suspended = True
            else:
                self._take(call, message)
        except OSError:
            call.suspended = True
        except ProtocolError as error:  # the user's code must not get to see this
            die(f"{self._thread.name}: {error!r}")

    def _take(self, call: ThreadCall, message: Message) -> None:
        if not isinstance(message, (Resume, Evict)):
            raise ProtocolError(f"{type(message).__name__} came on the lane of a parked call")
        if (message.call, message.attempt) != (call.id, call.attempt):
            return
        if isinstance(message, Evict):
            call.suspended = True
        else:
            call.learn(message)

    def send_now(self, call: ThreadCall, message: Message) -> None:
        self._leave(call)
        self._out.append(frame(message))
        self._flush()
        self._enter(call)

    # --- interrupts ---

    def stack_of(self, interrupt: Interrupt) -> str | None:
        """The stack of a call, if its code is running here."""
        call = self._running
        if call is None or (call.id, call.attempt) != (interrupt.call, interrupt.attempt):
            return None
        return format_frame(sys._current_frames().get(self._thread.ident or 0))

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

    def add_lane(self, number: int, sock: socket.socket) -> None:
        lane = Lane(number, sock, self._service, self._runtime, self._base, self._kept)
        self._lanes = [known for known in self._lanes if known.is_alive()]
        try:
            lane.start()
        except RuntimeError as error:
            die_of_lanes(str(error))
        self._lanes.append(lane)

    def stack_of(self, interrupt: Interrupt) -> str:
        return next((stack for lane in self._lanes if (stack := lane.stack_of(interrupt)) is not None), "")

    def interrupt(self, interrupt: Interrupt) -> None:
        self._kept.keep(interrupt)
        for lane in self._lanes:
            lane.interrupt(interrupt)

    def drain(self) -> None:
        self._drained.set()
