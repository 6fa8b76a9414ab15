"""Workers of `async def` services: one lane, one event loop, a task per call (`_tasks`).

Once per turn of the loop, each call that did something tells so in one message, and all messages go out in
one write.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from . import _context, _hooks, _timers
from ._errors import Cancelled
from ._interrupts import Kept
from ._loopstreams import yield_all
from ._process import die
from ._protocol import Decoder, Evict, Interrupt, Message, Reader, Resume, Run, TaskStack, frame
from ._tally import Numbers
from ._tasks import CallTask, LoopCall, LoopRuntime, call_of, current_call, stack_of_steps, task_factory
from ._watchdog import Watchdog

if TYPE_CHECKING:
    from ._main import WorkerProcess
    from ._service import Service


STOP_SECONDS = 5  # for tasks that are left when the hooks have run


class LoopEngine:
    """Runs an `async def` service (`_main.Engine`)."""

    def __init__(self, service: Service[..., Any]) -> None:
        self.service = service
        self.loop = self.new_loop()
        self._out: list[bytes] = []
        self._calls: dict[tuple[int, int], LoopCall] = {}
        self._dirty: list[LoopCall] = []
        self._flushing = False
        self.reading = False
        self._base = Context()
        self._kept = Kept()
        self._drained = asyncio.Event()
        self._thread = threading.get_ident()
        self._lane: Lane | None = None
        self._watchdog = Watchdog(self.loop, service.name, self._is_busy)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return _new_loop()

    def run(self, worker: WorkerProcess) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.set_task_factory(task_factory)
        _timers.watch(self.loop, call_of)
        _run_until_done(self.loop, self.loop.create_task(self._main(worker)))
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            _run_until_done(self.loop, self.loop.create_task(asyncio.wait(left, timeout=STOP_SECONDS)))

    async def _main(self, worker: WorkerProcess) -> None:
        await _hooks.run_async(_hooks.starting)
        self._base = copy_context()
        _context.install(LoopRuntime())
        worker.ready(self.service, self)
        await self._drained.wait()
        _context.install(_context.IMPORTING)
        await _hooks.run_async(_hooks.stopping)

    # --- for the control thread ---

    def add_lane(self, number: int, sock: socket.socket, numbers: Numbers) -> None:
        self.loop.call_soon_threadsafe(self._open, number, sock, numbers)

    def give_back(self, number: int) -> None:
        """Nothing waits for its turn here."""

    def stack_of(self, interrupt: Interrupt) -> str:
        call = self._calls.get((interrupt.call, interrupt.attempt))
        return call.stack(self._thread) if call is not None else ""

    def stacks(self) -> list[TaskStack]:
        """Of each call its main task, then those that it made."""
        calls = list(self._calls.items())
        tasks: set[asyncio.Task[Any]] = set()
        with suppress(RuntimeError):  # the loop makes tasks faster than they can be looked at
            tasks = asyncio.all_tasks(self.loop)
        of_calls = [task for task in tasks if isinstance(task, CallTask)]
        stacks: list[TaskStack] = []
        for key, call in calls:
            state = "parked" if call.parked else "running"
            stacks.append(TaskStack("call", *key, state, call.stack(self._thread)))
            for task in of_calls:
                if task.msx_call == key:
                    text = stack_of_steps(task.get_coro(), self._thread)
                    stacks.append(TaskStack(task.get_name(), *key, state, text))
        return stacks

    def interrupt(self, interrupt: Interrupt) -> None:
        self.loop.call_soon_threadsafe(self._interrupt, interrupt)

    def drain(self) -> None:
        self.loop.call_soon_threadsafe(self._drained.set)

    # --- on the loop ---

    def _open(self, number: int, sock: socket.socket, numbers: Numbers) -> None:
        if self._lane is not None:
            die(f"lane {number}: an async def worker has one lane")
        self._lane = Lane(number, sock, self, numbers)

    def take(self, message: Message) -> None:
        if isinstance(message, Run):
            self._start(message)
        elif isinstance(message, (Resume, Evict)):
            call = self._calls.get((message.call, message.attempt))
            if call is not None:
                call.resume(message) if isinstance(message, Resume) else call.evict()
        if not self._watchdog.awake:
            self._watchdog.wake()

    def _is_busy(self) -> bool:
        return any(not call.parked for call in self._calls.values())

    def _start(self, run: Run) -> None:
        call = LoopCall(run, self.service.name, self)
        call.reason = self._kept.take(call.id, call.attempt)
        context = self._base.copy()
        context.run(current_call.set, call)
        call.steps = self._serve(call, run.payload)
        self._calls[call.id, call.attempt] = call
        call.task = context.run(lambda: asyncio.Task(call.steps, loop=self.loop))

    async def _serve(self, call: LoopCall, payload: bytes) -> None:
        value: Any = None
        error: BaseException | None = None
        call.begun = True
        try:
            if call.reason is not None:
                raise asyncio.CancelledError
            args, kwargs = call.arguments(self.service, payload)
            result = self.service.fn(*args, **kwargs)
            value = await (yield_all(call, result) if self.service.streams else result)
        except asyncio.CancelledError as raised:
            error = raised
            if call.reason is not None:
                error = Cancelled(call.reason).with_traceback(raised.__traceback__)
        except BaseException as raised:
            error = raised
        await call.end_memos()
        self._calls.pop((call.id, call.attempt), None)
        call.end(error, value)
        del error  # its traceback refers to this frame

    def _interrupt(self, interrupt: Interrupt) -> None:
        call = self._calls.get((interrupt.call, interrupt.attempt))
        if call is None or call.task is None:
            self._kept.keep(interrupt)
        elif not call.suspended:  # else it ends anyway, and `_serve` must go on to answer
            call.reason = interrupt.reason
            if call.begun:  # else cancelling would keep `_serve` from ever running, and answering
                call.task.cancel()

    def send(self, message: Message) -> None:
        self._out.append(frame(message))

    def flush_later(self, call: LoopCall) -> None:
        self._dirty.append(call)
        self.flush_soon()

    def flush_soon(self) -> None:
        if not (self._flushing or self.reading):
            self._flushing = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """At the end of a turn: one message per call that did something, and one write."""
        self._flushing = False
        dirty, self._dirty = self._dirty, []
        for call in dirty:
            call.flush()
        if self._out and self._lane is not None:
            out, self._out = self._out, []
            self._lane.write(b"".join(out))


class Lane:
    """The lane's socket on the loop."""

    def __init__(self, number: int, sock: socket.socket, engine: LoopEngine, numbers: Numbers) -> None:
        sock.setblocking(False)
        loop = engine.loop
        self._loop, self._socket, self._engine = loop, sock, engine
        self._number, self._numbers, self._ordinal = number, numbers, 0
        self._reader = Reader(sock)
        self._decode = Decoder(Run, Resume, Evict)
        self._unsent: deque[memoryview] = deque()
        loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        """What is read goes out again behind the first steps of all tasks that it has started or woken."""
        self._engine.reading = True
        try:
            if not self._reader.fill():
                self._close()
            while (message := self._reader.take()) is not None:
                self._take(self._decode(*message))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._close()
        except Exception as error:  # a ProtocolError, or a mistake of ours: calls would hang
            die(f"lane: {error!r}")
        self._engine.reading = False
        self._engine.flush_soon()

    def _take(self, message: Message) -> None:
        if not isinstance(message, Evict):
            self._ordinal += 1
            self._numbers[self._number] = self._ordinal
        self._engine.take(message)

    def write(self, data: bytes) -> None:
        self._unsent.append(memoryview(data))
        if len(self._unsent) == 1:
            self._writable()
            if self._unsent:
                self._loop.add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            while self._unsent:
                data = self._unsent[0]
                sent = self._socket.send(data)
                if sent < len(data):
                    self._unsent[0] = data[sent:]
                    return
                self._unsent.popleft()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
        else:
            self._loop.remove_writer(self._socket.fileno())

    def _close(self) -> None:
        """The hub has closed the lane; whether it is gone, the control channel tells."""
        self._unsent.clear()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _run_until_done(loop: asyncio.AbstractEventLoop, done: asyncio.Future[Any]) -> None:
    """`sys.exit` in some task ends the task, not the worker; asyncio would stop the loop."""
    while not done.done():
        with suppress(SystemExit, KeyboardInterrupt):
            loop.run_until_complete(done)
    if not done.cancelled():
        done.result()
