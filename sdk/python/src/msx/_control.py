"""The control channel of a worker, and the thread that reads it.

It answers while the user's code runs, so it must never wait for it: everything here is quick, or handed over.
"""

from __future__ import annotations

import array
import os
import socket
import threading
from typing import Protocol

from ._process import die, die_of_lanes
from ._protocol import (
    VERSION,
    AskBack,
    AskStacks,
    Decoder,
    Drain,
    Interrupt,
    Message,
    NewLane,
    Ping,
    Pong,
    ProtocolError,
    Reader,
    Stack,
    Stacks,
    Tally,
    TaskStack,
    frame,
)
from ._tally import Numbers, open_numbers

FDS_MAX = 64


class Worker(Protocol):
    """What the control thread tells."""

    def add_lane(self, number: int, sock: socket.socket) -> None: ...

    def stack_of(self, interrupt: Interrupt) -> str: ...

    def stacks(self) -> list[TaskStack]: ...

    def interrupt(self, interrupt: Interrupt) -> None: ...

    def give_back(self, number: int) -> None: ...

    def drain(self) -> None: ...


class Control:
    def __init__(self, sock: socket.socket, worker: Worker) -> None:
        self._socket = sock
        self._worker = worker
        self._reader = Reader(sock)
        self._sending = threading.Lock()
        self._descriptors: list[int] = []
        self._decode = Decoder(NewLane, Ping, Interrupt, Drain, AskBack, Tally, AskStacks)
        self.numbers: Numbers = {}  # without a file of the hub's they are for nobody

    def send(self, message: Message) -> None:
        with self._sending:
            self._socket.sendall(frame(message))

    def start(self) -> None:
        threading.Thread(target=self._read, name="msx-control", daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                while (received := self._reader.take()) is not None:
                    self._handle(self._decode(*received))
                if not self._reader.fill_from(self._receive):
                    break
        except OSError:
            pass
        except ProtocolError as error:
            die(f"control channel: {error!r}; this worker speaks version {VERSION} of the protocol")
        except Exception as error:  # a mistake of ours
            die(f"control channel: {error!r}")
        os._exit(0)  # the hub is gone, and with it whoever waits for an answer

    def _receive(self, view: memoryview) -> int:
        """Descriptors arrive with the first byte of their message, so their order is that of the messages."""
        space = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize)
        got, ancillary, flags, _ = self._socket.recvmsg_into([view], space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._descriptors.extend(fds)
        if flags & socket.MSG_CTRUNC:
            die_of_lanes("this process has no descriptor left for it")
        return got

    def _handle(self, message: Message) -> None:
        match message:
            case Ping():
                self.send(Pong(message.nonce))
            case NewLane():
                self._lane(message)
            case Interrupt():
                self.send(Stack(message.call, message.attempt, self._worker.stack_of(message)))
                self._worker.interrupt(message)
            case AskBack():
                self._worker.give_back(message.lane)
            case Tally():
                self.numbers = open_numbers(self._descriptor("the tally"))
            case AskStacks():
                self.send(Stacks(message.nonce, self._worker.stacks()))
            case Drain():
                self._worker.drain()

    def _lane(self, lane: NewLane) -> None:
        descriptor = self._descriptor(f"lane {lane.number}")
        self._worker.add_lane(lane.number, socket.socket(fileno=descriptor))

    def _descriptor(self, of: str) -> int:
        if not self._descriptors:
            raise ProtocolError(f"{of} came without a descriptor")
        return self._descriptors.pop(0)
