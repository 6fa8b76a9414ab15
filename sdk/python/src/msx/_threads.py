"""Workers of `def` services: a lane is a thread, and a call runs in it from its first line to its last.

A call that waits for another blocks reading its lane; that is all there is to parking. The hub sends short
calls before the lane is free: they are `_pending`, and their replies are gathered for a moment and go out
before the lane reads. What is pending when a call parks goes back to the hub, and when a call takes long,
the hub asks for it: then the control thread gives it back, and sends the replies that it finds.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from . import _context, _hooks
from ._errors import Cancelled
from ._guests import check_all_asked
from ._interrupts import Kept
from ._process import die, die_of_lanes
from ._protocol import (
    WAIT_ALL,
    Calls,
    Decoder,
    Entry,
    Evict,
    GiveBack,
    Interrupt,
    Message,
    ProtocolError,
    Reader,
    Resume,
    Return,
    Run,
    TaskStack,
    frame,
)
from ._streams import yield_all
from ._tally import Numbers
from ._threadcalls import ThreadCall, ThreadRuntime, current_call
from ._traceback import stack_of_thread
from ._usercode import UserCode

if TYPE_CHECKING:
    from ._main import WorkerProcess
    from ._service import Service

# What Python's recursion limit is made for; only what a thread touches costs memory.
STACK_BYTES = 8 * 1024 * 1024
# How long a reply waits for others that go out with it.
GATHER_NS = 100_000


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
        self.code = UserCode(self._thread, kept)
        self._kept = kept
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
            if self.code.pending is not None:
                self.code.absorb()
        except Cancelled as raised:  # it struck on the way out
            error = raised
            self.code.absorb()
        if self.code.reason:
            self.code.explain(error)
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
            self.code.enter(call)
            result = context.run(self.service.fn, *args, **kwargs)
            return context.run(yield_all, call, result) if self.service.streams else result
        finally:
            self.code.running = None

    # --- what a call does on its lane ---

    def park(self, call: ThreadCall, entries: list[Entry], seqs: list[int], mode: int = WAIT_ALL) -> None:
        """Returns when the seqs are answered; raises Suspend when the call has to give up its place."""
        is_enough = all if mode == WAIT_ALL else any

        def is_over() -> bool:
            return is_enough(seq in call.inbox for seq in seqs)

        self.code.leave(call)
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
        self.code.enter(call)

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
        self.code.leave(call)
        self._out.append(frame(message))
        self._flush()
        self.code.enter(call)

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

    # --- for the control thread ---

    def stack(self) -> TaskStack:
        """Where the thread is, whatever it does."""
        call, running = self.call, self.code.running
        if call is None:
            return TaskStack(self._thread.name, 0, 0, "idle", "")
        state = "parked" if running is None else "running"
        text = stack_of_thread(self._thread)
        return TaskStack(self._thread.name, call.id, call.attempt, state, text)


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
        stacks = (lane.code.stack_of(interrupt) for lane in self._lanes)
        return next((stack for stack in stacks if stack is not None), "")

    def stacks(self) -> list[TaskStack]:
        return [lane.stack() for lane in self._lanes]

    def interrupt(self, interrupt: Interrupt) -> None:
        self._kept.keep(interrupt)
        for lane in self._lanes:
            lane.code.interrupt(interrupt)

    def give_back(self, number: int) -> None:
        for lane in self._lanes:
            if lane.number == number:
                lane.ask_back()

    def drain(self) -> None:
        self._drained.set()
