"""A hub inside of a test's process: the call machine of the real one, as small as it can be.

It talks to the engines of real workers (`_threads`, `_loop`) over socket pairs, in the messages of the
protocol. So parking, eviction, replay and the order of an event loop are theirs; here are queues, slots and
records, one instance per service, and the ways in which an instance can be lost. What it keeps of calls and
instances is in `_testinstance`, the event loop of `async def` services in `_testloop`.
"""

from __future__ import annotations

import itertools
import math
import selectors
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future as Waiting
from contextlib import contextmanager
from typing import Any

from . import _clock, _codec, _registry
from ._errors import InstanceDied, ServiceUnavailable, UsageError
from ._protocol import (
    Alarm,
    Answers,
    Calls,
    Decoder,
    Evict,
    Evicted,
    Listen,
    Memo,
    Raise,
    Recorded,
    Result,
    Resume,
    Return,
    Run,
    Summary,
)
from ._remote import encode_error
from ._replay import Outcome
from ._streams import NEXT, NO_STREAMS
from ._testinstance import (
    DONE,
    EVICTED,
    PARKED,
    RUNNING,
    UNWINDING,
    HubCall,
    Instance,
    Lane,
    outcome_of,
)
from ._testloop import Loop
from ._threadcalls import ThreadRuntime

LIMIT = 32 * 1024 * 1024


class Machine:
    """The hub: one thread, which owns everything but `submit`."""

    def __init__(self) -> None:
        self.replay, self.max_parked, self.slots = "", None, None
        self._began = Loop.clock.ahead
        self.skips_time = False
        self.faults: list[tuple[str, str]] = []
        self.runs: Counter[str] = Counter()
        self.threads = ThreadRuntime()
        self._decode = Decoder(Calls, Return, Raise, Answers, Evicted, Memo, Listen, Alarm, Summary)
        self._instances: dict[str, Instance] = {}
        self._calls: dict[int, HubCall] = {}
        self._asked: deque[HubCall] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing = False
        self._lock, self._waiting = threading.Lock(), 0
        Loop.clock.on_idle = self._look
        self._thread = threading.Thread(target=self._serve, name="msx-hub", daemon=True)
        self._thread.start()

    _ids = itertools.count(1)  # of all tests: what is left of one is not taken for another's
    replay: str
    max_parked: int | None
    slots: int | None

    # --- for any thread ---

    def submit(self, service: str, payload: bytes) -> Waiting[Outcome]:
        call = HubCall(0, service, payload, None)
        self._asked.append(call)
        self._look()
        return call.answer

    def _look(self) -> None:
        self._wake.send(b"!")

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """The test waits for an answer. Only then may time be skipped: before, it may have more to begin."""
        with self._lock:
            self._waiting += 1
        self._look()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def skipped(self) -> float:
        return Loop.clock.ahead - self._began

    def close(self) -> None:
        """Lanes end with their sockets; a call that still waits unwinds."""
        self._closing = True
        self._look()
        self._thread.join()
        self._wake.close()
        self._woken.close()

    def under_way(self) -> str:
        names = ("queued", "running", "waiting", "unwinding", "evicted")
        calls = [call for call in list(self._calls.values()) if call.state != DONE]
        return ", ".join(f"{call.service} {names[call.state]}" for call in calls[:20])

    # --- its thread ---

    def _serve(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(self._until_an_alarm()):
                if key.data is None:
                    self._woken.recv(1024)
                else:
                    self._read(key.data)
            while self._asked:
                self._admit(self._asked.popleft())
            self._ring_alarms()
            self._dispatch()
            if self.skips_time and self._waiting:
                self._skip()
        Loop.clock.on_idle = _clock.do_nothing
        for lane in [key.data for key in self._selector.get_map().values() if key.data is not None]:
            lane.sock.close()
            if lane.instance.service.is_async:
                Loop.of(lane.instance.service).abandon()
        self._selector.close()

    def _read(self, lane: Lane) -> None:
        if not lane.reader.fill():
            self._selector.unregister(lane.sock)
        while (received := lane.reader.take()) is not None:
            message: Any = self._decode(*received)
            call = self._calls.get(message.call)
            if call is not None:  # else one of an earlier test, which unwinds
                self._handle(lane, call, message)

    def _admit(self, call: HubCall) -> None:
        call.id = next(self._ids)
        self._calls[call.id] = call
        found = _registry.find(call.service)
        if found is None:
            known = ", ".join(sorted(_registry.services)) or "none"
            text = f"{call.service!r} is not the name of one service in what this test has imported: {known}"
            self._fail(call, ServiceUnavailable(text))
            return
        call.service = found.name
        instance = self._instances.get(found.name)
        if instance is None:
            instance = self._instances[found.name] = Instance(found, self.threads, self.slots)
        instance.queue.append(call)

    def _dispatch(self) -> None:
        """Until nothing changes: a call that fails here wakes its parent."""
        waiting = True
        while waiting:
            waiting = False
            for instance in list(self._instances.values()):
                while instance.running < instance.slots and (instance.resumable or instance.queue):
                    self._go_on(instance, (instance.resumable or instance.queue).popleft())
                    waiting = True

    def _go_on(self, instance: Instance, call: HubCall) -> None:
        if call.state == PARKED:
            instance.parked.remove(call)
            instance.running += 1
            self._resume(call)
        elif call.parent is not None and call.parent[0].state == DONE:
            call.state = DONE  # nobody waits for it
        elif self._is_lost(call, "start"):
            self._lose(instance, call)
        else:
            instance.running += 1
            self._run(instance, call)

    def _run(self, instance: Instance, call: HubCall) -> None:
        if not instance.idle:
            instance.idle.append(instance.open_lane())
            self._selector.register(instance.idle[0].sock, selectors.EVENT_READ, instance.idle[0])
        call.lane = instance.idle[0] if instance.service.is_async else instance.idle.pop()
        call.state, call.attempt = RUNNING, call.attempt + 1
        call.listens, call.alarm = [], None
        call.told = {result.seq for result in call.results}
        self.runs[call.service] += 1
        via = call.parent[0].service if call.parent else None
        run = Run(call.id, call.attempt, call.payload, via, call.results, LIMIT, "")
        if instance.service.batched:  # always of one call
            run.payload, run.batch = b"\x91" + call.payload, 1
        call.lane.send(run)

    def _resume(self, call: HubCall) -> None:
        assert call.lane is not None
        call.state = RUNNING
        fresh = [Result(r.seq, r.ok, r.payload) for r in call.results if r.seq not in call.told]
        call.told |= {result.seq for result in fresh}
        call.lane.send(Resume(call.id, call.attempt, fresh))

    def _skip(self) -> None:
        """Where nothing moves but time, it moves on to the next timer."""
        if any(self._moves(call) for call in self._calls.values()):
            return
        lanes = [instance.idle[0] for instance in self._instances.values() if instance.service.is_async]
        loops = [Loop.of(lane.instance.service) for lane in lanes]
        are_idle = all(loop.is_idle(lane.sent) for loop, lane in zip(loops, lanes, strict=True))
        if not are_idle or self._selector.select(
            0
        ):  # in this order: what they said last may only now be here
            return
        strikes = min([self._next_alarm(), *(loop.next_timer() for loop in loops)])
        if strikes < math.inf:
            Loop.clock.ahead += max(0.0, strikes - Loop.clock.time())
            for loop in loops:
                loop.wake()
            self._look()

    # --- alarms: as long as a worker holds a call it keeps the time itself ---

    def _alarmed(self) -> list[tuple[float, HubCall]]:
        calls = self._calls.values()
        return [(call.alarm[0], call) for call in calls if call.state == EVICTED and call.alarm]

    def _next_alarm(self) -> float:
        return min((due for due, _ in self._alarmed()), default=math.inf)

    def _until_an_alarm(self) -> float | None:
        due = self._next_alarm()
        return None if due == math.inf else max(0.0, due - Loop.clock.time())

    def _ring_alarms(self) -> None:
        """The strike is recorded as the worker would have; the call is run again, whatever it waits for."""
        now = Loop.clock.time()
        for call in [call for due, call in self._alarmed() if due <= now]:
            alarm = call.alarm[1] if call.alarm else None
            call.alarm = None
            instance = self._instances[call.service]
            if alarm is not None and call not in instance.resumable:
                if all(result.seq != alarm.seq for result in call.results):
                    call.results.append(Recorded(alarm.seq, "msx.run", alarm.ident, True, alarm.payload))
                instance.resumable.append(call)

    def _moves(self, call: HubCall) -> bool:
        is_async = call.service in self._instances and self._instances[call.service].service.is_async
        return call.state in (RUNNING, UNWINDING) and not is_async

    # --- messages ---

    def _handle(self, lane: Lane, call: HubCall, message: Any) -> None:
        is_current = call.state in (RUNNING, PARKED) and message.attempt == call.attempt
        match message:
            case Calls():
                if is_current:
                    self._on_calls(lane.instance, call, message)
                elif message.wait is not None:  # it was lost, and nothing will come
                    lane.send(Evict(message.call, message.attempt))
            case Memo():
                if is_current or call.state == UNWINDING:
                    outcome = message.ok, message.payload
                    recorded = Recorded(message.seq, "msx.run", message.ident, *outcome, message.line)
                    call.results.insert(message.known, recorded)
                    call.told.add(message.seq)
            case Listen():
                if is_current:
                    call.listens = message.seqs
                    self._tell(call)
            case Alarm():
                if is_current or call.state == UNWINDING:
                    call.alarm = (Loop.clock.time() + message.after_ms / 1000, message)
            case Evicted():
                self._free(lane)
                if call.state == UNWINDING:
                    call.state = EVICTED
                    self._wake_up(call)
            case Return() | Raise() | Answers():
                self._free(lane)
                # It may have been on its way when the call was told to unwind.
                if is_current or (call.state == UNWINDING and message.attempt == call.attempt):
                    self._on_done(lane.instance, call, outcome_of(message))

    def _free(self, lane: Lane) -> None:
        if not lane.instance.service.is_async:
            lane.instance.idle.append(lane)

    def _on_calls(self, instance: Instance, call: HubCall, message: Calls) -> None:
        for entry in message.entries:
            if entry.seq not in call.children:
                call.children.add(entry.seq)
                child = HubCall(0, entry.service, entry.payload, (call, entry))
                if (entry.options or {}).get("stream"):
                    self._fail(child, UsageError(NO_STREAMS.format(service=entry.service)))
                elif entry.service == NEXT:
                    self._finish(child, (True, _codec.encode([True, []])))
                else:
                    self._admit(child)
        if message.wait is None:
            return
        call.wait = message.wait
        if call.state == RUNNING:
            instance.running -= 1
            instance.parked.append(call)
            call.state = PARKED
        if self._is_lost(call, "wait"):
            self._lose(instance, None)
        elif self.replay == "always":
            self._evict(instance, call)
        elif len(instance.parked) > (self.max_parked or instance.service.settings.get("max_parked", 256)):
            self._evict(instance, max(instance.parked, key=lambda parked: parked.id))
        else:
            self._wake_up(call)

    def _evict(self, instance: Instance, call: HubCall) -> None:
        assert call.lane is not None
        instance.parked.remove(call)
        if call in instance.resumable:
            instance.resumable.remove(call)
        call.state = UNWINDING
        call.lane.send(Evict(call.id, call.attempt))

    def _wake_up(self, call: HubCall) -> None:
        """A call that waits no longer gets in line."""
        resumable = self._instances[call.service].resumable
        if call.state in (PARKED, EVICTED) and call.is_over() and call not in resumable:
            resumable.append(call)
        self._tell(call)

    def _tell(self, call: HubCall) -> None:
        """A call that runs is told what its own threads wait for, once."""
        news = {result.seq for result in call.results} - call.told
        if call.state == RUNNING and not news.isdisjoint(call.listens):
            call.listens = []
            self._resume(call)

    def _on_done(self, instance: Instance, call: HubCall, outcome: Outcome) -> None:
        if self._is_lost(call, "answer"):
            self._lose(instance, call)
            return
        self._leave(instance, call)
        self._finish(call, outcome)

    def _leave(self, instance: Instance, call: HubCall) -> None:
        """It may be parked: an `async def` may end while some task of its still waits."""
        if call.state == RUNNING:
            instance.running -= 1
        elif call.state == PARKED:
            instance.parked.remove(call)
            if call in instance.resumable:
                instance.resumable.remove(call)

    def _finish(self, call: HubCall, outcome: Outcome) -> None:
        call.state = DONE
        if call.parent is None:
            call.answer.set_result(outcome)
            return
        parent, entry = call.parent
        if parent.state != DONE:
            asked = entry.line, entry.payload
            parent.results.append(Recorded(entry.seq, call.service, entry.ident, *outcome, *asked))
            self._wake_up(parent)

    def _fail(self, call: HubCall, error: Exception) -> None:
        self._finish(call, (False, encode_error(error, call.service, LIMIT)))

    # --- faults ---

    def _is_lost(self, call: HubCall, at: str) -> bool:
        """Whether the test wants the instance to end now; once for each time it said so."""
        fault = (call.service, at)
        if fault not in self.faults:
            return False
        self.faults.remove(fault)
        return True

    def _lose(self, instance: Instance, call: HubCall | None) -> None:
        """What runs there fails, and so does `call`; what is parked there is run again."""
        text = "its instance ended while it ran this call, as the test wanted"
        calls = [known for known in self._calls.values() if known.service == instance.service.name]
        for lost in calls:
            if lost is call or lost.state == RUNNING:
                self._leave(instance, lost)
                self._fail(lost, InstanceDied(f"{lost.service}: {text}"))
        for parked in list(instance.parked):
            self._evict(instance, parked)
