"""What the hub inside of a test's process (`_inprocess`) knows of calls, lanes and instances."""

from __future__ import annotations

import socket
from collections import deque
from concurrent.futures import Future as Waiting
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ._interrupts import Kept
from ._protocol import Alarm, Answers, Entry, Message, Raise, Reader, Recorded, Return, frame
from ._replay import Outcome
from ._testloop import Loop
from ._threadcalls import ThreadRuntime
from ._threads import Lane as ThreadLane

if TYPE_CHECKING:
    from ._service import Service

QUEUED, RUNNING, PARKED, UNWINDING, EVICTED, DONE = range(6)


class HubCall:
    def __init__(
        self, ident: int, service: str, payload: bytes, parent: tuple[HubCall, Entry] | None
    ) -> None:
        self.id, self.service, self.payload, self.parent = ident, service, payload, parent
        self.attempt = 0
        self.state = QUEUED
        self.children: set[int] = set()
        self.results: list[Recorded] = []  # in the order in which they became known
        self.told: set[int] = set()
        self.wait: tuple[int, list[int]] = (0, [])
        self.listens: list[int] = []  # what threads of its own wait for while it runs
        self.alarm: tuple[float, Alarm] | None = None  # a timer that strikes even if it is evicted
        self.lane: Lane | None = None
        self.answer: Waiting[Outcome] = Waiting()

    def is_over(self) -> bool:
        """Whether what it waits for has come."""
        known = {result.seq for result in self.results}
        mode, seqs = self.wait
        return any(seq in known for seq in seqs) if mode else known.issuperset(seqs)


class Lane:
    """The hub's end of a lane."""

    def __init__(self, instance: Instance, sock: socket.socket) -> None:
        self.instance, self.sock = instance, sock
        self.reader = Reader(sock)
        self.sent = 0

    def send(self, message: Message) -> None:
        self.sent += 1
        self.sock.sendall(frame(message))


class Instance:
    """The only one of its service."""

    def __init__(self, service: Service[..., Any], threads: ThreadRuntime, slots: int | None) -> None:
        settings = service.settings
        default = settings.get("concurrency", 100) if service.is_async else settings.get("threads", 2)
        self.service, self.slots = service, slots or default
        self._threads = threads
        self.running = 0
        self.parked: list[HubCall] = []
        self.resumable: deque[HubCall] = deque()
        self.queue: deque[HubCall] = deque()
        self.idle: list[Lane] = []

    def open_lane(self) -> Lane:
        ours, theirs = socket.socketpair()
        if self.service.is_async:
            Loop.of(self.service).open(theirs)
        else:
            ThreadLane(0, theirs, self.service, self._threads, copy_context(), Kept(), {}).start()
        return Lane(self, ours)


def outcome_of(message: Return | Raise | Answers) -> Outcome:
    if isinstance(message, Answers):
        [answer] = message.outcomes
        return answer.ok, answer.payload
    return isinstance(message, Return), message.payload
