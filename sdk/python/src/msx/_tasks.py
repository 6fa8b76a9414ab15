"""A call of an `async def` service: its tasks, and what they wait for.

A call that awaits results which are not there parks: once per turn of the loop its new children and what
it waits for go out in one message.

**One task.** As long as a call has made no tasks, at most one thing of it waits, and results that are
recorded are there at once.

**Several tasks** (`create_task`, `TaskGroup`, `asyncio.gather`; the task factory tells). Children are
numbered in order of creation, so a replay must let the tasks make them in the same order as before.
Therefore results are handed over one at a time, in the order in which the hub recorded them, and the next
one only when the tasks have settled: when for `SETTLE_TURNS` turns none of them has used msx. Only then
does such a call park, on *any* of what its tasks wait for. A task that meanwhile waits for something else
(a timer, a socket) does not keep the call from parking: it gives its slot back a little early, and goes on
while it is parked. What such foreign waits decide cannot be replayed; that belongs into `msx.run`.

What a suspended call has running besides (tasks that nobody awaits) goes on; when it uses msx, it ends.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from . import _codec, _context
from ._errors import NoCallContext
from ._futures import Composite, Future, all_outcomes
from ._lines import source_line
from ._options import CallOptions
from ._protocol import (
    WAIT_ALL,
    WAIT_ANY,
    Alarm,
    Calls,
    Close,
    Entry,
    Item,
    Memo,
    Message,
    Resume,
    Run,
    Summary,
    Wait,
)
from ._races import LoopRace
from ._replay import MEMO, TIMER, Call, read
from ._timers import Timer
from ._traceback import format_frame, user_frames

if TYPE_CHECKING:
    from ._service import Service
    from ._streams import Stream

# A result passes a task, its callbacks, a gather and whoever awaits it in 4 turns; nested ones take more.
SETTLE_TURNS = 8
# Cancelled timers are forgotten this often.
TIMERS_KEPT = 256

current_call: ContextVar[LoopCall | None] = ContextVar("msx_call", default=None)


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


class Engine(Protocol):
    """What a call needs of its worker (`_loop.LoopEngine`)."""

    loop: asyncio.AbstractEventLoop

    def send(self, message: Message) -> None:
        """With the next flush."""

    def flush_later(self, call: LoopCall) -> None: ...

    def flush(self) -> None: ...


class LoopCall(Call):
    """A call on the loop (`_context.LiveCall`)."""

    __slots__ = (
        "_alarmed", "_asked", "_dirty", "_due", "_engine", "_entries", "_futures", "_memos", "_quiet_turns",
        "_settling", "_strikes", "_tasks", "_timers_made", "_waiters", "begun", "ended", "reason", "steps",
        "task", "timers",
    )  # fmt: skip

    def __init__(self, run: Run, service: str, engine: Engine) -> None:
        super().__init__(run, service)
        self._engine = engine
        self.task: asyncio.Task[None] | None = None
        self.steps: Any = None  # the coroutine of the task
        self.begun = False
        self.ended = False
        self._tasks = 0  # that it has made and that live
        self.reason: str | None = None  # why it was interrupted
        self._entries: list[Entry] = []  # not sent yet
        self._futures: dict[int, LoopFuture] = {}  # made, and not settled
        self._waiters: dict[Waiter | LoopRace, None] = {}
        self._memos: dict[asyncio.Task[Any] | None, asyncio.Future[None]] = {}  # in the making, by their task
        self._asked: Wait | None = None  # what the hub knows that it waits for
        self._dirty = False
        self._settling = False
        self._quiet_turns = 0
        self.timers: dict[int, Timer] = {}
        self._timers_made = 0
        self._due: deque[Timer] = deque()  # their time has come, their turn has not
        self._alarmed: Any = None  # what the hub knows of the timers
        self._strikes = self._recorded_strikes() if run.results else {}

    def _recorded_strikes(self) -> dict[int, int]:
        """By their seq, the numbers of timers that struck in an earlier attempt."""
        assert self.recorded is not None
        strikes = [
            known for known in self.recorded.values() if known.service == MEMO and known.ident == TIMER
        ]
        return {known.seq: _codec.decode(known.payload) for known in strikes}

    # --- for stubs ---

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        _context.refuse_on_loop(service.name)
        raise AssertionError("an event loop runs wherever a LoopCall is current")

    def start(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        future = LoopFuture(self, service.name, args, kwargs, service.call_options)
        future.begin()
        return future

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return LoopFuture(self, service.name, args, kwargs, service.call_options)

    def stream(
        self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stream[Any]:
        from ._loopstreams import LoopStream

        return LoopStream(self, service, args, kwargs)

    def add_entry(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._touch()

    def send_item(self, item: Item) -> None:
        if self.suspended:
            self.unwind()
        self._engine.send(item)
        self._touch()

    def send_close(self, seq: int) -> None:
        if not self.suspended:
            self.emit(None)
            self._engine.send(Close(self.id, self.attempt, seq))
            self._touch()

    def close_left(self, seq: int) -> None:
        """The same from a destructor, which may run anywhere."""
        if _context.running_loop() is self._engine.loop:
            self.send_close(seq)

    def gather(self, futures: Sequence[Future[Any]]) -> Future[list[Any]]:
        for future in futures:
            future.begin()
        return GatherFuture(self, futures)

    def race(self) -> LoopRace:
        return LoopRace(self)

    def send_memo(self, memo: Memo) -> None:
        self.emit(None)  # the hub hears of calls and memos in the order of their numbers
        self._engine.send(memo)
        self._touch()

    def send_summary(self, text: str) -> None:
        self._engine.send(Summary(self.id, self.attempt, text))
        self._touch()

    async def memo_async(self, fn: Any, args: Any, kwargs: dict[str, Any], line: str | None) -> Any:
        """Its result takes its turn among those of calls: other tasks go on meanwhile."""
        seq, ident = self.open_memo(fn, line)
        future = self._futures[seq] = LoopFuture(self, MEMO, (), {}, None, seq)
        if seq not in self.inbox:
            await self._make_memo(seq, ident, fn(*args, **kwargs), line)
        return await future

    async def _make_memo(self, seq: int, ident: int, steps: Any, line: str | None) -> None:
        task = asyncio.current_task(self._engine.loop)
        self._memos[task] = self._engine.loop.create_future()
        try:
            await self.make_memo(seq, ident, steps, line)
        finally:
            self._memos.pop(task).set_result(None)

    async def end_memos(self) -> None:
        """A call that gives up its place waits for what must not be done twice."""
        while self.suspended and self._memos:
            await asyncio.wait(self._memos.values())

    # --- for futures ---

    def make(
        self,
        future: LoopFuture,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions | None,
    ) -> int:
        entry = self.claim(future.__name__, args, kwargs, options, future.line)
        self._futures[entry.seq] = future
        if entry.seq not in self.inbox:
            self._entries.append(entry)
        self._touch()
        return entry.seq

    def until(self, futures: Sequence[LoopFuture]) -> Generator[Any, Any, None]:
        """Waits for all of them."""
        if self.suspended:
            self.unwind()
        if self.inbox and not self._is_ordered():
            for future in futures:
                self._deliver(future.seq)
        missing = [future for future in futures if not future.done]
        if missing:
            yield from self._wait(Waiter(missing, self._engine.loop))

    def settle_one(self, race: LoopRace) -> Generator[Any, Any, None]:
        """Returns when one of a race is settled, the one whose result was recorded first."""
        if _context.runtime.current() is not self:
            raise NoCallContext("these calls were started by another call")
        if self.suspended:
            self.unwind()
        if not self._is_ordered():
            seq = next(filter(race.waiting.__contains__, self.inbox), None)
            if seq is not None:
                self._deliver(seq)
                return
        race.missing = 1
        race.woken = self._engine.loop.create_future()
        race.task = asyncio.current_task(self._engine.loop)
        try:
            yield from self._sleep(race, race.woken)
        finally:
            race.missing = 0

    def _wait(self, waiter: Waiter) -> Generator[Any, Any, None]:
        for future in waiter.futures:
            future.waiters.append(waiter)
        try:
            yield from self._sleep(waiter, waiter.woken)
        finally:
            for future in waiter.futures:
                future.waiters.remove(waiter)

    def _sleep(self, waiter: Waiter | LoopRace, woken: asyncio.Future[None]) -> Generator[Any, Any, None]:
        self._waiters[waiter] = None
        self._touch()
        try:
            yield from woken.__await__()
        finally:
            del self._waiters[waiter]
        if self.suspended:
            self.unwind()
        if self.ended:
            raise NoCallContext(
                "the call that this task belongs to has ended: await the task before returning"
            )

    def _deliver_awaited(self, seq: int) -> None:
        """Others wait for their turn, so that nothing is done earlier than on a replay."""
        future = self._futures.get(seq)
        if future is None:
            return
        for waiter in future.waiters:
            if waiter.missing > 0:
                self._deliver(seq)
                return

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

    @property
    def parked(self) -> bool:
        return self._asked is not None

    def resume(self, resume: Resume) -> None:
        self._asked = self._alarmed = None
        self.learn(resume)
        if not self._is_ordered():
            for result in resume.results:
                self._deliver_awaited(result.seq)
        self._touch()

    def evict(self) -> None:
        """What waits for results raises Suspend; a main task that waits for something else is cancelled."""
        self.suspended = True
        for waiter in self._waiters:
            waiter.wake()
        if self.task is None or self.task in self._memos:
            return
        if all(waiter.task is not self.task for waiter in self._waiters):
            self.task.cancel()

    def end(self, error: BaseException | None, value: Any) -> None:
        self.emit(None)
        self.ended = True
        for waiter in self._waiters:
            waiter.wake()
        self.task = self.steps = None  # they refer to the call by their context: a cycle per call
        self._engine.send(self.answer(error, value))
        self._touch()

    def fork(self, steps: Any, **options: Any) -> asyncio.Task[Any]:
        task = CallTask(steps, self, **options)
        task.add_done_callback(self._task_done)
        self._tasks += 1
        self._touch()
        return task

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
        if self._is_ordered() or self._settling:
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
        elif self._deliver_next() or self._strike_next():
            self._quiet_turns = 0
            self._engine.loop.call_soon(self._settle)
        else:
            self._settling = False
            self.emit(self._wanted())
            self._engine.flush()

    def _is_ordered(self) -> bool:
        """Whether results are handed over one at a time."""
        return bool(self._tasks or self._strikes or self._due)

    def _deliver_next(self) -> bool:
        """The next result that wakes a task, or the strike of a timer, in the order of the record."""
        strikes, futures = self._strikes, self._futures
        while (
            seq := next((seq for seq in self.inbox if seq in futures or seq in strikes), None)
        ) is not None:
            if seq in strikes:
                return self._strike_again(seq)
            if self._deliver(seq):
                return True
        return False

    def _strike_again(self, seq: int) -> bool:
        """Unless the program has not come that far; what follows in the record waits, too."""
        if seq != self.next_seq:
            return False
        self.next_seq += 1
        del self.inbox[seq]
        if self.recorded is not None:
            self.recorded.pop(seq, None)
        timer = self.timers.pop(self._strikes.pop(seq), None)
        if timer is not None:
            timer.strike(self._engine.loop)
        return True

    def _strike_next(self) -> bool:
        """A timer whose time has come, when there is nothing else to hand over."""
        while self._due:
            timer = self._due.popleft()
            if self.timers.pop(timer.number, None) is not None and not timer.was_cancelled:
                outcome = (True, _codec.encode(timer.number))
                memo = Memo(self.id, self.attempt, self.next_seq, TIMER, *outcome, self.known, timer.line)
                self.send_memo(memo)
                self.next_seq += 1
                self.known += 1
                timer.strike(self._engine.loop)
                return True
        return False

    def new_timer(self, callback: Any, args: Any, context: Context) -> Timer:
        timer = self.timers[self._timers_made] = Timer(self, self._timers_made, callback, args, context)
        self._timers_made += 1
        if self._timers_made % TIMERS_KEPT == 0:
            self._forget_cancelled()
        return timer

    def _forget_cancelled(self) -> None:
        self.timers = {number: timer for number, timer in self.timers.items() if not timer.was_cancelled}

    def defers(self, timer: Timer) -> bool:
        """Whether it strikes later, in its turn among results: when tasks wait for calls."""
        if self.ended or self.suspended or not any(waiter.missing > 0 for waiter in self._waiters):
            return False
        self._due.append(timer)
        self._touch()
        return True

    def _tell_alarm(self) -> None:
        """Which timer strikes next, in case that the call is then in no worker."""
        self._forget_cancelled()
        armed = [timer for timer in self.timers.values() if timer.number not in self._strikes.values()]
        if not armed or self._strikes:
            return
        first = min(armed, key=lambda timer: timer.when)
        if (news := (first.number, self.next_seq)) != self._alarmed:
            self._alarmed = news
            after = max(0, math.ceil((first.when - self._engine.loop.time()) * 1000))
            payload = _codec.encode(first.number)
            alarm = Alarm(self.id, self.attempt, self.next_seq, TIMER, payload, after, first.line)
            self._engine.send(alarm)

    def _wanted(self) -> Wait | None:
        """What the tasks wait for that have not been woken."""
        waiting = [waiter for waiter in self._waiters if waiter.missing]
        if not waiting:
            return None
        seqs = {future.seq: None for waiter in waiting for future in waiter.futures if not future.done}
        if self._strikes and not self.inbox.keys().isdisjoint(seqs):
            return None  # it is here, and waits for its turn: not for the hub
        return (WAIT_ALL if len(waiting) == 1 else WAIT_ANY), list(seqs)

    def emit(self, wait: Wait | None) -> None:
        """Tells the hub about new children, and what the call waits for if that is news."""
        if self.suspended or wait == self._asked:
            wait = None
        if self._entries or wait:
            self._emit(wait)
        if self._asked is not None and self.timers and not self.suspended:
            self._tell_alarm()

    def _emit(self, wait: Wait | None) -> None:
        if self.suspended:
            return
        *full, last = _batches(self._entries, self.limit)
        self._entries = []
        for entries in full:
            self._engine.send(Calls(self.id, self.attempt, entries, None))
        self._engine.send(Calls(self.id, self.attempt, last, wait))
        self._asked = wait or self._asked

    def stack(self, thread: int) -> str:
        """Of its main task."""
        return stack_of_steps(self.steps, thread)


def stack_of_steps(steps: Any, thread: int) -> str:
    """Where a coroutine of the loop of this thread runs, or what it awaits."""
    if getattr(steps, "cr_running", False):
        return format_frame(sys._current_frames().get(thread))
    frames: list[traceback.FrameSummary] = []
    while steps is not None and getattr(steps, "cr_frame", None) is not None:
        frames += traceback.extract_stack(steps.cr_frame, limit=1)
        steps = steps.cr_await
    return "".join(user_frames(frames).format())


def _batches(entries: list[Entry], limit: int) -> Iterator[list[Entry]]:
    """Parts that fit into a message each; at least one, if only an empty one."""
    if len(entries) <= 1:
        yield entries
        return
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        entry_size = len(entry.payload) + (len(entry.service) + len(entry.line or "")) * 4 + 32
        size += entry_size
        if batch and size > limit:
            yield batch
            batch, size = [], entry_size
        batch.append(entry)
    yield batch


class LoopFuture(Future[Any]):
    __slots__ = ("_args", "_call", "_kwargs", "_options", "line", "seq", "waiters")

    def __init__(
        self, call: LoopCall, name: str, args: Any, kwargs: Any, options: CallOptions | None, seq: int = -1
    ) -> None:
        super().__init__(name, call.new_identity())
        self._call = call
        self._args, self._kwargs, self._options = args, kwargs, options
        self.line = None if seq >= 0 else source_line()
        self.begun = seq >= 0
        self.seq = seq
        self.waiters: list[Waiter | LoopRace] = []

    def begin(self) -> None:
        if not self.begun:
            self._check()
            self.begun = True
            self.seq = self._call.make(self, self._args, self._kwargs, self._options)
            self._args, self._kwargs = (), {}

    def _check(self) -> None:
        if _context.runtime.current() is not self._call:
            raise NoCallContext(f"this call of {self.__name__} was started by another call")

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.begun:
            self.begin()
        elif self._outcome is None:
            self._check()
        if self._outcome is None:
            yield from self._call.until((self,))
        return self.outcome()


class GatherFuture(Composite[list[Any]]):
    """What `msx.gather` returns on a loop."""

    __slots__ = ("_call", "_futures")

    def __init__(self, call: LoopCall, futures: Sequence[Future[Any]]) -> None:
        super().__init__("gather")
        self._call, self._futures = call, futures

    def leaves(self) -> Iterator[LoopFuture]:
        """The calls that it waits for, those of inner gathers too."""
        for future in self._futures:
            if isinstance(future, GatherFuture):
                yield from future.leaves()
            elif isinstance(future, LoopFuture):
                yield future

    def complete(self) -> Generator[Any, Any, None]:
        if self.done:
            return
        yield from self._call.until(list(self.leaves()))
        for future in self._futures:
            if isinstance(future, Composite):
                yield from future.complete()
        self.settle_by(lambda: all_outcomes(self._futures))


class LoopRuntime:
    """Knows the call of each task."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def current(self) -> LoopCall:
        call = current_call.get()
        if call is None or threading.get_ident() != self._thread:
            raise NoCallContext(
                "a service was called outside of a call's tasks, or on another thread; await it in the "
                "service's function and hand the result to your thread"
            )
        if call.ended:
            raise NoCallContext(
                "a service was called by a task whose call has ended; await the task before returning"
            )
        return call


class CallTask(asyncio.Task[Any]):
    """A task that a call has made.

    Its hash is the same on a replay, and so is the order of a set of tasks, as `asyncio.wait` returns them.
    """

    def __init__(self, steps: Any, call: LoopCall, **options: Any) -> None:
        self._msx_hash = hash(call.new_identity())
        self.msx_call = call.id, call.attempt
        super().__init__(steps, **options)

    def __hash__(self) -> int:
        return self._msx_hash


def call_of(context: Context) -> LoopCall | None:
    return context.get(current_call)


def task_factory(loop: asyncio.AbstractEventLoop, steps: Any, **options: Any) -> asyncio.Task[Any]:
    """Tells a call about the tasks that it makes."""
    context: Context | None = options.get("context")
    call = current_call.get() if context is None else context.get(current_call)
    if call is None or call.ended:
        return asyncio.Task(steps, loop=loop, **options)
    return call.fork(steps, loop=loop, **options)
