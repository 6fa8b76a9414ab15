"""Workers of `async def` services: one lane, one event loop, a task per call.

A call that awaits results which are not there parks: once per turn of the loop its new children and what it
waits for go out in one message, and all messages of a turn in one write.

**One task.** As long as a call has made no tasks, at most one thing of it waits, and results that are recorded
are there at once.

**Several tasks** (`create_task`, `TaskGroup`, `asyncio.gather`, which the task factory tells us). Children are
numbered in order of creation, so a replay must let the tasks make them in the same order as before. Therefore
results are handed over one at a time, in the order in which the hub recorded them, and the next one only when
the tasks have settled: when for `SETTLE_TURNS` turns none of them has used msx. Only then does such a call
park, on *any* of what its tasks wait for. A task that meanwhile waits for something else (a timer, a socket)
does not keep the call from parking: it gives its slot back a little early, and goes on while it is parked. What
such foreign waits decide cannot be replayed; that belongs into `msx.run`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, NoReturn

from . import _context, _hooks
from ._errors import Cancelled, NoCallContext, Suspend
from ._futures import Future, all_outcomes
from ._process import die
from ._protocol import (
    CALLS, EVICT, MEMO, RESUME, RUN, WAIT_ALL, WAIT_ANY,
    Calls, Entry, Evict, Interrupt, Memo, ProtocolError, Reader, Resume, Run, Wait, decoder, frame,
)  # fmt: skip
from ._replay import Call, read
from ._traceback import format_frame, user_frames

if TYPE_CHECKING:
    from ._main import WorkerProcess
    from ._service import Service

SETTLE_TURNS = (
    8  # a result passes a task, its callbacks, a gather and the task that awaits it in 4; nested, in more
)

_current: ContextVar[LoopCall | None] = ContextVar("msx_call", default=None)


class Waiter:
    """A task that waits for all of some futures."""

    __slots__ = ("futures", "missing", "task", "woken")

    def __init__(self, futures: list[LoopFuture], loop: asyncio.AbstractEventLoop) -> None:
        self.futures = futures
        self.missing = len(futures)
        self.woken = loop.create_future()
        self.task = asyncio.current_task(loop)

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class LoopCall(Call):
    """A call on the loop (`_context.LiveCall`)."""

    __slots__ = (
        "_asked", "_dirty", "_engine", "_entries", "_futures", "_quiet_turns", "_settling", "_tasks",
        "_waiters", "ended", "reason", "steps", "task",
    )  # fmt: skip

    def __init__(self, run: Run, engine: LoopEngine) -> None:
        super().__init__(run, engine.service.name)
        self._engine = engine
        self.task: asyncio.Task[None] | None = None
        self.steps: Any = None  # the coroutine of the task
        self.ended = False
        self._tasks = 0  # that it has made and that live
        self.reason: str | None = None  # why it was interrupted
        self._entries: list[Entry] = []  # not sent yet
        self._futures: dict[int, LoopFuture] = {}  # made, and not settled
        self._waiters: dict[Waiter, None] = {}
        self._asked: Wait | None = None  # what the hub knows that it waits for
        self._dirty = False
        self._settling = False
        self._quiet_turns = 0

    # --- for stubs ---

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        _context.refuse_on_loop(service.name)
        raise AssertionError("an event loop runs wherever a LoopCall is current")

    def start(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        future = LoopFuture(self, service.name, args, kwargs)
        future.begin()
        return future

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return LoopFuture(self, service.name, args, kwargs)

    def gather(self, futures: Sequence[Future[Any]]) -> Future[list[Any]]:
        for future in futures:
            future.begin()
        return GatherFuture(self, futures)

    def send_memo(self, memo: Memo) -> None:
        self._engine.out.append(frame(MEMO, memo))
        self._touch()

    # --- for futures ---

    def make(self, future: LoopFuture, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        entry = self.claim(future.__name__, args, kwargs)
        self._futures[entry.seq] = future
        if entry.seq not in self.inbox:
            self._entries.append(entry)
        self._touch()
        return entry.seq

    def until(self, futures: Sequence[LoopFuture]) -> Generator[Any, Any, None]:
        """Waits for all of them."""
        if self.suspended:
            raise Suspend
        if not self._tasks:
            for future in futures:
                self._deliver(future.seq)
        missing = [future for future in futures if not future.done]
        if missing:
            yield from self._wait(Waiter(missing, self._engine.loop))

    def _wait(self, waiter: Waiter) -> Generator[Any, Any, None]:
        self._waiters[waiter] = None
        for future in waiter.futures:
            future.waiters.append(waiter)
        self._touch()
        try:
            yield from waiter.woken.__await__()
        finally:
            del self._waiters[waiter]
            for future in waiter.futures:
                future.waiters.remove(waiter)
        if self.suspended:
            raise Suspend
        if self.ended:
            raise NoCallContext(
                "the call that this task belongs to has ended: await the task before returning"
            )

    def _deliver(self, seq: int) -> bool:
        """Settles a future whose result is known. True if that woke a task."""
        outcome = self.inbox.pop(seq, None) if seq in self._futures else None
        if outcome is None:
            return False
        future = self._futures.pop(seq)
        try:
            future.settle(True, read(outcome))
        except BaseException as error:
            future.settle(False, error)
        woke = False
        for waiter in future.waiters:
            waiter.missing -= 1
            if waiter.missing == 0:
                waiter.wake()
                woke = True
        return woke

    # --- for the engine ---

    def resume(self, resume: Resume) -> None:
        self._asked = None
        for result in resume.results:
            self.inbox[result.seq] = (result.ok, result.payload)
        if not self._tasks:
            for result in resume.results:
                self._deliver(result.seq)
        self._touch()

    def evict(self) -> None:
        """Whatever waits for results raises Suspend; a main task that waits for something else is cancelled."""
        self.suspended = True
        for waiter in self._waiters:
            waiter.wake()
        if self.task is not None and all(waiter.task is not self.task for waiter in self._waiters):
            self.task.cancel()

    def end(self, error: BaseException | None, value: Any) -> None:
        self.emit(None)
        self.ended = True
        for waiter in self._waiters:
            waiter.wake()
        self._engine.out.append(frame(*self.answer(error, value)))
        self._touch()

    def fork(self, task: asyncio.Task[Any]) -> None:
        self._tasks += 1
        self._touch()
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks -= 1
        if self.suspended and not task.cancelled():
            task.exception()  # a Suspend that nobody awaits is no news

    def _touch(self) -> None:
        self._quiet_turns = 0
        if not self._dirty:
            self._dirty = True
            self._engine.flush_later(self)

    def flush(self) -> None:
        """Once per turn in which the call did something."""
        self._dirty = False
        if self.ended:
            return
        if self._tasks:
            self.emit(None)
            if not self._settling:
                self._settling = True
                self._engine.loop.call_soon(self._settle)
        else:
            self.emit(self._wanted())

    def _settle(self) -> None:
        """Turn by turn, until the tasks are quiet: then one more result, or the call parks."""
        self._quiet_turns += 1
        if self.ended or self.suspended:
            self._settling = False
        elif self._quiet_turns <= SETTLE_TURNS:
            self._engine.loop.call_soon(self._settle)
        elif self._deliver_next():
            self._quiet_turns = 0
            self._engine.loop.call_soon(self._settle)
        else:
            self._settling = False
            self.emit(self._wanted())
            self._engine.flush()

    def _deliver_next(self) -> bool:
        """The next result that wakes a task, in the order of the record."""
        while (seq := next(filter(self._futures.__contains__, self.inbox), None)) is not None:
            if self._deliver(seq):
                return True
        return False

    def _wanted(self) -> Wait | None:
        if not self._waiters:
            return None
        missing = {
            future.seq: None for waiter in self._waiters for future in waiter.futures if not future.done
        }
        return (WAIT_ALL if len(self._waiters) == 1 else WAIT_ANY), list(missing)

    def emit(self, wait: Wait | None) -> None:
        """Tells the hub about new children, and what the call waits for if that is news."""
        if self.suspended or wait == self._asked:
            wait = None
        if self.suspended or not (self._entries or wait):
            return
        *full, last = _batches(self._entries, self.limit)
        self._entries = []
        for entries in full:
            self._engine.out.append(frame(CALLS, Calls(self.id, self.attempt, entries, None)))
        self._engine.out.append(frame(CALLS, Calls(self.id, self.attempt, last, wait)))
        self._asked = wait or self._asked

    def stack(self, thread: int) -> str:
        """Of its main task: where it runs, or what it awaits."""
        steps = self.steps
        if steps.cr_running:
            return format_frame(sys._current_frames().get(thread))
        frames: list[traceback.FrameSummary] = []
        while steps is not None and getattr(steps, "cr_frame", None) is not None:
            frames += traceback.extract_stack(steps.cr_frame, limit=1)
            steps = steps.cr_await
        return "".join(user_frames(frames).format())


def _batches(entries: list[Entry], limit: int) -> Iterator[list[Entry]]:
    """Parts that fit into a message each; at least one, if only an empty one."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.payload) + 64
        if batch and size > limit:
            yield batch
            batch, size = [], len(entry.payload) + 64
        batch.append(entry)
    yield batch


class LoopFuture(Future[Any]):
    __slots__ = ("_args", "_call", "_kwargs", "seq", "waiters")

    def __init__(self, call: LoopCall, name: str, args: Any, kwargs: Any) -> None:
        super().__init__(name)
        self._call = call
        self._args, self._kwargs = args, kwargs
        self.seq = -1
        self.waiters: list[Waiter] = []

    def begin(self) -> None:
        if not self.begun:
            self._check()
            self.begun = True
            self.seq = self._call.make(self, self._args, self._kwargs)
            self._args = self._kwargs = None

    def _check(self) -> None:
        if _context.runtime.current() is not self._call:
            raise NoCallContext(f"this call of {self.__name__} was started by another call")

    def __await__(self) -> Generator[Any, Any, Any]:
        self.begin()
        if not self.done:
            self._check()
            yield from self._call.until((self,))
        return self.outcome()


class GatherFuture(Future[list[Any]]):
    """What `msx.gather` returns on a loop."""

    __slots__ = ("_call", "_futures")

    def __init__(self, call: LoopCall, futures: Sequence[Future[Any]]) -> None:
        super().__init__("gather")
        self._call, self._futures = call, futures
        self.begun = True

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        yield from self._call.until([future for future in self._futures if isinstance(future, LoopFuture)])
        return all_outcomes(self._futures)


class LoopRuntime:
    """Knows the call of each task."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def current(self) -> LoopCall:
        call = _current.get()
        if call is None or threading.get_ident() != self._thread:
            raise NoCallContext(
                "a service was called outside of a call's tasks, or on another thread; await it in the service's "
                "function and hand the result to your thread"
            )
        if call.ended:
            raise NoCallContext(
                "a service was called by a task whose call has ended; await the task before returning"
            )
        return call


class LoopEngine:
    """Runs an `async def` service (`_main.Engine`)."""

    def __init__(self, service: Service[..., Any]) -> None:
        self.service = service
        self.loop = _new_loop()
        self.out: list[bytes] = []
        self._calls: dict[tuple[int, int], LoopCall] = {}
        self._dirty: list[LoopCall] = []
        self._flushing = False
        self._base = Context()
        self._drained = asyncio.Event()
        self._thread = threading.get_ident()
        self._lane: Lane | None = None
        self._handlers: dict[int, tuple[Callable[[memoryview], Any], Callable[[Any], None]]] = {
            RUN: (decoder(Run), self._start),
            RESUME: (decoder(Resume), self._resume),
            EVICT: (decoder(Evict), self._evict),
        }

    def run(self, worker: WorkerProcess) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.set_task_factory(_task_factory)
        _run_until_done(self.loop, self.loop.create_task(self._main(worker)))
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            _run_until_done(self.loop, self.loop.create_task(asyncio.wait(left)))

    async def _main(self, worker: WorkerProcess) -> None:
        await _hooks.run_async(_hooks.starting)
        self._base = copy_context()
        _context.install(LoopRuntime())
        worker.ready(self.service, self)
        await self._drained.wait()
        await _hooks.run_async(_hooks.stopping)

    # --- for the control thread ---

    def add_lane(self, number: int, sock: socket.socket) -> None:
        self.loop.call_soon_threadsafe(self._open, number, sock)

    def stack_of(self, interrupt: Interrupt) -> str:
        call = self._calls.get((interrupt.call, interrupt.attempt))
        return call.stack(self._thread) if call is not None else ""

    def interrupt(self, interrupt: Interrupt) -> None:
        self.loop.call_soon_threadsafe(self._interrupt, interrupt)

    def drain(self) -> None:
        self.loop.call_soon_threadsafe(self._drained.set)

    # --- on the loop ---

    def _open(self, number: int, sock: socket.socket) -> None:
        if self._lane is not None:
            die(f"lane {number}: an async def worker has one lane")
        self._lane = Lane(self.loop, sock, self)

    def take(self, tag: int, body: memoryview) -> None:
        if tag not in self._handlers:
            raise ProtocolError(f"unknown message with tag {tag}")
        decode, handle = self._handlers[tag]
        handle(decode(body))

    def _start(self, run: Run) -> None:
        call = LoopCall(run, self)
        context = self._base.copy()
        context.run(_current.set, call)
        call.steps = self._serve(call, run.payload)
        self._calls[call.id, call.attempt] = call
        call.task = _new_task(call.steps, self.loop, context)

    async def _serve(self, call: LoopCall, payload: bytes) -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            args, kwargs = self.service.decode_arguments(payload)
            value = await self.service.fn(*args, **kwargs)
        except asyncio.CancelledError as raised:
            error = raised
            if call.reason is not None:
                error = Cancelled(call.reason).with_traceback(raised.__traceback__)
        except BaseException as raised:
            error = raised
        self._calls.pop((call.id, call.attempt), None)
        call.end(error, value)

    def _resume(self, resume: Resume) -> None:
        call = self._calls.get((resume.call, resume.attempt))
        if call is not None:
            call.resume(resume)

    def _evict(self, evict: Evict) -> None:
        call = self._calls.get((evict.call, evict.attempt))
        if call is not None:
            call.evict()

    def _interrupt(self, interrupt: Interrupt) -> None:
        call = self._calls.get((interrupt.call, interrupt.attempt))
        if call is not None and call.task is not None:
            call.reason = interrupt.reason
            call.task.cancel()

    def flush_later(self, call: LoopCall) -> None:
        self._dirty.append(call)
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """At the end of a turn: one message per call that did something, and one write."""
        self._flushing = False
        dirty, self._dirty = self._dirty, []
        for call in dirty:
            call.flush()
        if self.out and self._lane is not None:
            out, self.out = self.out, []
            self._lane.write(b"".join(out))


class Lane:
    """The lane's socket on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, engine: LoopEngine) -> None:
        sock.setblocking(False)
        self._loop, self._socket, self._engine = loop, sock, engine
        self._reader = Reader(sock)
        self._unsent = b""
        loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            if not self._reader.fill():
                self._close()
            while (message := self._reader.take()) is not None:
                self._engine.take(*message)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
        except ProtocolError as error:
            die(f"lane: {error}")
        self._engine.flush()

    def write(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        self._unsent = data
        self._writable()
        if self._unsent:
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        if not self._unsent and self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket.fileno())

    def _close(self) -> None:
        """The hub has closed the lane; whether it is gone, the control channel tells."""
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


if sys.version_info >= (3, 12):

    def _new_task(steps: Any, loop: asyncio.AbstractEventLoop, context: Context) -> asyncio.Task[None]:
        return asyncio.Task(steps, loop=loop, context=context, eager_start=True)

else:

    def _new_task(steps: Any, loop: asyncio.AbstractEventLoop, context: Context) -> asyncio.Task[None]:
        return context.run(lambda: asyncio.Task(steps, loop=loop))


def _task_factory(loop: asyncio.AbstractEventLoop, steps: Any, **options: Any) -> asyncio.Task[Any]:
    """Tells a call about the tasks that it makes."""
    task = asyncio.Task(steps, loop=loop, **options)
    context: Context | None = options.get("context")
    call = _current.get() if context is None else context.get(_current)
    if call is not None and not call.ended:
        call.fork(task)
    return task
