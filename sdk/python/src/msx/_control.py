"""The control channel of a worker, and the thread that reads it.

It answers while the user's code runs, so it must never wait for it: everything here is quick, or handed over.
"""

from __future__ import annotations

import array
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

from . import _protocol
from ._process import die
from ._protocol import (
    DRAIN,
    INTERRUPT,
    LANE,
    PING,
    PONG,
    STACK,
    Drain,
    Interrupt,
    Message,
    NewLane,
    Ping,
    Pong,
    ProtocolError,
    Reader,
    Stack,
    decoder,
    frame,
)  # fmt: skip

FDS_MAX = 64


class Worker(Protocol):
    """What the control thread tells."""

    def add_lane(self, number: int, sock: socket.socket) -> None: ...

    def stack_of(self, interrupt: Interrupt) -> str: ...

    def interrupt(self, interrupt: Interrupt) -> None: ...

    def drain(self) -> None: ...


class Control(threading.Thread):
    def __init__(self, sock: socket.socket, worker: Worker) -> None:
        super().__init__(name="msx-control", daemon=True)
        self._socket = sock
        self._worker = worker
        self._reader = Reader(sock)
        self._sending = threading.Lock()
        self._descriptors: list[int] = []
        self._handlers: dict[int, tuple[Callable[[memoryview], Any], Callable[[Any], None]]] = {
            LANE: (decoder(NewLane), self._lane),
            PING: (decoder(Ping), lambda ping: self.send(PONG, Pong(ping.nonce))),
            INTERRUPT: (decoder(Interrupt), self._interrupt),
            DRAIN: (decoder(Drain), lambda _: worker.drain()),
        }

    def send(self, tag: int, message: Message) -> None:
        with self._sending:
            self._socket.sendall(frame(tag, message))

    def run(self) -> None:
        try:
            while True:
                while (received := self._reader.take()) is not None:
                    self._handle(*received)
                if not self._reader.fill_from(self._receive):
                    break
        except ProtocolError as error:
            die(f"control channel: {error}")
        except OSError:
            pass
        os._exit(0)  # the hub is gone, and with it whoever waits for an answer

    def _receive(self, view: memoryview) -> int:
        """Descriptors arrive with the first byte of their message, so their order is that of the messages."""
        space = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize)
        got, ancillary, _, _ = self._socket.recvmsg_into([view], space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._descriptors.extend(fds)
        return got

    def _handle(self, tag: int, body: memoryview) -> None:
        if tag not in self._handlers:
            raise ProtocolError(
                f"unknown message with tag {tag}; this worker speaks version {_protocol.VERSION}"
            )
        decode, handle = self._handlers[tag]
        handle(decode(body))

    def _lane(self, lane: NewLane) -> None:
        if not self._descriptors:
            raise ProtocolError(f"lane {lane.number} came without a descriptor")
        self._worker.add_lane(lane.number, socket.socket(fileno=self._descriptors.pop(0)))

    def _interrupt(self, interrupt: Interrupt) -> None:
        self.send(STACK, Stack(interrupt.call, interrupt.attempt, self._worker.stack_of(interrupt)))
        self._worker.interrupt(interrupt)
