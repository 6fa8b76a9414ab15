"""A small hub that drives real worker processes: `RawWorker` message by message, `FakeHub` by calls.

Messages are written here as plain lists, independently of the structs of the SDK.
"""

from __future__ import annotations

import array
import itertools
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from msx import _codec
from msx._remote import decode_error

SRC = Path(__file__).parent.parent / "src"
SERVICES = Path(__file__).parent / "services"
ASYNCIO_ONLY = SERVICES.parent / "asyncio_only"
TIMEOUT = 30.0
LIMIT = 32 * 1024 * 1024

HELLO, PONG, STACK, STACKS, LANE, PING, INTERRUPT, DRAIN = 1, 2, 3, 4, 16, 17, 18, 19
ASK_BACK, TALLY, ASK_STACKS = 20, 21, 22
RUN, RESUME, EVICT, CALLS, RETURN, RAISE, EVICTED, MEMO, GIVE_BACK = 32, 33, 34, 48, 49, 50, 51, 52, 53
SUMMARY, LISTEN, ALARM = 54, 56, 57


class Channel:
    """One socket, in messages of (tag, fields)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""
        self.messages: deque[tuple[int, list[Any]]] = deque()

    def send(self, tag: int, *fields: Any, fd: int | None = None) -> None:
        self.send_bytes(message_bytes(tag, list(fields)), fd)

    def send_bytes(self, data: bytes, fd: int | None = None) -> None:
        if fd is not None:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            sent = self.sock.sendmsg([data], rights)
            data = data[sent:]
        self.sock.sendall(data)

    def read(self) -> bool:
        """One read into `messages`; False at the end of the stream."""
        data = self.sock.recv(1 << 20)
        self._buffer += data
        while len(self._buffer) >= 4:
            (length,) = struct.unpack_from("<I", self._buffer)
            if len(self._buffer) < 4 + length:
                break
            body, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
            self.messages.append((body[0], msgspec.msgpack.decode(body[1:])))
        return bool(data)

    def recv(self, timeout: float = TIMEOUT) -> tuple[int, list[Any]]:
        self.sock.settimeout(timeout)
        while not self.messages:
            if not self.read():
                raise EOFError
        self.sock.settimeout(None)
        return self.messages.popleft()

    def expect(self, tag: int) -> list[Any]:
        got, fields = self.recv()
        while got == ALARM != tag:  # it tells of the clock, between any others
            got, fields = self.recv()
        assert got == tag, (got, fields)
        return fields


def message_bytes(tag: int, fields: list[Any]) -> bytes:
    body = bytes([tag]) + msgspec.msgpack.encode(fields)
    return struct.pack("<I", len(body)) + body


def arguments(*args: Any, **kwargs: Any) -> bytes:
    return _codec.encode_arguments(args, kwargs)[0]


class RawWorker:
    """A worker process and its control channel."""

    def __init__(self, name: str, *, path: Path | str = SERVICES, env: dict[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        self.control = Channel(ours)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "msx._worker", name],
            env={
                **os.environ,
                "PYTHONPATH": f"{SRC}{os.pathsep}{path}",
                "PYTHONHASHSEED": "7",
                "MSX_FD": str(theirs.fileno()),
                **(env or {}),
            },
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        self._lanes: list[socket.socket] = []

    def hello(self) -> list[Any]:
        return self.control.expect(HELLO)

    def lane(self) -> Channel:
        ours, theirs = socket.socketpair()
        self.control.send(LANE, len(self._lanes), fd=theirs.fileno())
        theirs.close()
        self._lanes.append(ours)
        return Channel(ours)

    def tally(self) -> int:
        """A descriptor of the file in which the worker says how far its lanes have come."""
        descriptor = os.memfd_create("tally")
        os.write(descriptor, b"\xff" * 64)
        self.control.send(TALLY, fd=descriptor)
        return descriptor

    def run(
        self, lane: Channel, *args: Any, call: int = 1, attempt: int = 1, results: Any = (), **kwargs: Any
    ) -> None:
        lane.send(RUN, call, attempt, arguments(*args, **kwargs), None, list(results), LIMIT, f"id{call}")

    def wait(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, errors

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
        self.control.sock.close()
        try:
            self.process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def __enter__(self) -> RawWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HubCall:
    def __init__(
        self, ident: int, service: str, payload: bytes, parent: HubCall | None, seq: int, crc: int
    ) -> None:
        self.id, self.service, self.payload, self.parent = ident, service, payload, parent
        self.seq, self.crc = seq, crc
        self.attempt = 0
        self.state = "queued"  # running, parked, evicting, suspended, done
        self.children: dict[int, HubCall] = {}
        self.results: list[list[Any]] = []  # in the order in which they became known
        self.delivered: set[int] = set()
        self.wait: tuple[int, list[int]] | None = None
        self.listens = False
        self.alarm: tuple[float, list[Any]] | None = None  # when, and what to record then
        self.lane: Channel | None = None
        self.outcome: tuple[bool, bytes] | None = None

    def is_ready(self) -> bool:
        known = {result[0] for result in self.results}
        mode, seqs = self.wait or (0, [])
        return all(seq in known for seq in seqs) if mode == 0 else any(seq in known for seq in seqs)


class Instance:
    def __init__(self, name: str, slots: int, path: str) -> None:
        self.worker = RawWorker(name, path=path)
        hello = self.worker.hello()
        self.is_async = hello[5] == "async"
        self.slots = slots
        self.running = 0
        self.idle: list[Channel] = [self.worker.lane()] if self.is_async else []
        self.lanes: list[Channel] = list(self.idle)
        self.ready: deque[HubCall] = deque()  # resumes and replays
        self.queue: deque[HubCall] = deque()


class FakeHub:
    """Slots, parking, eviction, replay. `replay` evicts every call that parks, `max_parked` those beyond."""

    def __init__(self, *, slots: int = 1, path: Path = SERVICES, uvloop: bool = False) -> None:
        self.slots, self.path = slots, path
        self._search = f"{path}" if uvloop else f"{path}{os.pathsep}{ASYNCIO_ONLY}"
        self.replay, self.max_parked = False, 256
        self.instances: dict[str, Instance] = {}
        self.calls: dict[int, HubCall] = {}
        self.ids = itertools.count(1)
        self.made = 0  # children
        self.alarmed: set[HubCall] = set()
        self.evictions = 0
        self.selector = selectors.DefaultSelector()

    def __enter__(self) -> FakeHub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for instance in self.instances.values():
            instance.worker.close()
        self.selector.close()

    def instance(self, name: str) -> Instance | None:
        """The instance of a service; started when it is needed."""
        if name not in self.instances:
            if not (self.path / f"{name.partition('.')[0]}.py").exists():
                return None
            instance = self.instances[name] = Instance(name, self.slots, self._search)
            for lane in instance.lanes:
                self.selector.register(lane.sock, selectors.EVENT_READ, (instance, lane))
        return self.instances[name]

    # --- outside ---

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self.wait_for(self.submit(name, *args, **kwargs))

    def submit(self, name: str, *args: Any, **kwargs: Any) -> HubCall:
        return self._make(name, arguments(*args, **kwargs), None, 0, 0)

    def wait_for(self, root: HubCall) -> Any:
        deadline = time.monotonic() + TIMEOUT
        self._dispatch()
        while root.outcome is None:
            assert time.monotonic() < deadline, [
                (call.id, call.service, call.state) for call in self.calls.values() if call.state != "done"
            ][:20]
            self._turn()
        ok, payload = root.outcome
        if ok:
            return _codec.decode(payload)
        raise decode_error(payload)

    def _turn(self) -> None:
        self._ring()
        for key, _ in self.selector.select(0.02):
            instance, lane = key.data
            assert lane.read(), f"a lane of {instance.worker.process.args} was closed"
            while lane.messages:
                self._handle(instance, lane, *lane.messages.popleft())
        self._dispatch()

    def _ring(self) -> None:
        """Alarms of calls that are in no worker."""
        for call in self.alarmed:
            if call.alarm is not None and call.state == "suspended" and not call.is_ready():
                due, result = call.alarm
                if time.monotonic() >= due:
                    call.alarm = None
                    call.results.append(result)
                    self.instances[call.service].ready.append(call)

    # --- the call machine ---

    def _make(self, service: str, payload: bytes, parent: HubCall | None, seq: int, crc: int) -> HubCall:
        call = HubCall(next(self.ids), service, payload, parent, seq, crc)
        self.calls[call.id] = call
        instance = self.instance(service)
        if instance is not None:
            instance.queue.append(call)
        else:
            kind = "msx.TimeoutError" if service == "hub.times_out" else "msx.ServiceUnavailable"
            self._finish(call, False, error_payload(kind, f"no answer of {service}", service))
        return call

    def _dispatch(self) -> None:
        for instance in self.instances.values():
            while instance.running < instance.slots and (instance.ready or instance.queue):
                call = (instance.ready or instance.queue).popleft()
                instance.running += 1
                if call.state == "parked":
                    self._resume(call)
                else:
                    self._run(instance, call)

    def _run(self, instance: Instance, call: HubCall) -> None:
        if not instance.idle:
            lane = instance.worker.lane()
            instance.idle.append(lane)
            instance.lanes.append(lane)
            self.selector.register(lane.sock, selectors.EVENT_READ, (instance, lane))
        call.lane = instance.idle[0] if instance.is_async else instance.idle.pop()
        call.attempt += 1
        call.alarm = None
        call.state = "running"
        call.delivered = {result[0] for result in call.results}
        via = call.parent.service if call.parent else None
        call.lane.send(RUN, call.id, call.attempt, call.payload, via, call.results, LIMIT, f"id{call.id}")

    def _resume(self, call: HubCall) -> None:
        assert call.lane is not None
        call.state = "running"
        fresh = [[r[0], r[3], r[4]] for r in call.results if r[0] not in call.delivered]
        call.delivered |= {result[0] for result in fresh}
        call.lane.send(RESUME, call.id, call.attempt, fresh)

    def _handle(self, instance: Instance, lane: Channel, tag: int, fields: list[Any]) -> None:
        call = self.calls[fields[0]]
        assert fields[1] == call.attempt
        assert call.state != "done", (tag, fields)
        if tag == CALLS:
            self._children(instance, call, *fields[2:])
        elif tag == MEMO:
            seq, ident, ok, payload, known = fields[2:]
            call.results.insert(known, [seq, "msx.run", ident, ok, payload])
            call.delivered.add(seq)
        elif tag == ALARM:
            seq, ident, payload, after_ms = fields[2:]
            call.alarm = time.monotonic() + after_ms / 1000, [seq, "msx.run", ident, True, payload]
            self.alarmed.add(call)
        elif tag == LISTEN:
            call.wait = (1, fields[2])
            call.listens = call.state == "running"
            self._wake(call)
        elif tag == EVICTED:
            assert call.state == "evicting"
            call.state = "suspended"
            self._free(instance, call)
            self._wake(call)
        else:
            assert tag in (RETURN, RAISE), tag
            assert call.state == "running" or instance.is_async, call.state
            if call.state == "running":
                instance.running -= 1
            self._free(instance, call)
            self._finish(call, tag == RETURN, fields[2])

    def _free(self, instance: Instance, call: HubCall) -> None:
        if not instance.is_async:
            assert call.lane is not None
            instance.idle.append(call.lane)
        call.lane = None

    def _children(self, instance: Instance, call: HubCall, entries: list[Any], wait: Any) -> None:
        for seq, service, crc, payload, *_ in entries:
            known = call.children.get(seq)
            if known is None:
                self.made += 1
                call.children[seq] = self._make(service, payload, call, seq, crc)
            else:
                assert (known.service, known.crc) == (service, crc), "non-determinism"
        if wait is None or call.state == "evicting":
            return
        call.wait, call.listens, call.alarm = tuple(wait), False, None
        if call.state == "running" and call.is_ready():
            self._resume(call)
            return
        if call.state == "running":
            instance.running -= 1
            call.state = "parked"
        parked = sum(
            other.state == "parked" and other.service == call.service for other in self.calls.values()
        )
        if self.replay or parked > self.max_parked:
            self.evictions += 1
            call.state = "evicting"
            assert call.lane is not None
            call.lane.send(EVICT, call.id, call.attempt)
        else:
            self._wake(call)

    def _wake(self, call: HubCall) -> None:
        """A call that waits no longer gets in line."""
        instance = self.instances[call.service]
        if call.state == "running" and call.listens and call.is_ready():
            call.listens = False
            self._resume(call)
        if call.state in ("parked", "suspended") and call.is_ready() and call not in instance.ready:
            instance.ready.append(call)

    def _finish(self, call: HubCall, ok: bool, payload: bytes) -> None:
        call.state = "done"
        call.outcome = ok, payload
        parent = call.parent
        if parent is not None and parent.state != "done":
            parent.results.append([call.seq, call.service, call.crc, ok, payload])
            self._wake(parent)


def error_payload(kind: str, message: str, service: str) -> bytes:
    return _codec.encode({
        "type": kind, "message": message, "args": _codec.encode([message]), "mro": ["builtins.Exception"],
        "service": service, "traceback": "", "cause": None,
    })  # fmt: skip
