"""The life of a worker: import, hooks, hello, calls, drain."""

from __future__ import annotations

import gc
import importlib
import os
import platform
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import msgspec

from . import __version__, _context, _hooks, _protocol, _registry, _signature
from ._classes import constructor_of
from ._control import Control
from ._process import die
from ._protocol import Hello, Interrupt, TaskStack
from ._remote import full_traceback
from ._tally import Numbers
from ._traceback import stack_of_thread

if TYPE_CHECKING:
    from ._service import Service

Lane = tuple[int, socket.socket]


class Engine(Protocol):
    """Runs the calls of a service: `_threads` for a `def`, `_loop` for an `async def`."""

    def add_lane(self, number: int, sock: socket.socket, numbers: Numbers) -> None:
        """Serves a lane, and keeps its number of `numbers`."""

    def stack_of(self, interrupt: Interrupt) -> str: ...

    def stacks(self) -> list[TaskStack]: ...

    def interrupt(self, interrupt: Interrupt) -> None: ...

    def give_back(self, number: int) -> None:
        """Gives back what was sent ahead on this lane and has not begun."""

    def drain(self) -> None:
        """No more calls will come: `run` returns."""

    def run(self, worker: WorkerProcess) -> None:
        """Runs the start hooks, says hello, serves calls until the drain, and runs the stop hooks."""


class WorkerProcess:
    """What the control thread talks to, from before there is anything that could run a call."""

    def __init__(self, name: str, channel: socket.socket) -> None:
        self._name = name
        self._channel = channel
        self._control = Control(channel, self)
        self._lanes: list[socket.socket] = []
        self._engine: Engine | None = None
        self._early: list[Lane] = []
        self._drained = False
        self._changing = threading.Lock()

    def run(self) -> None:
        self._control.start()
        service = _load(self._name)
        _hooks.starting.append(lambda: _construct(service))
        engine = _engine(service)
        try:
            engine.run(self)
        except BaseException as error:  # sys.exit included
            _fail(f"{self._name}: a hook failed", error)

    def ready(self, service: Service[..., Any], engine: Engine) -> None:
        """From here on there are calls."""
        gc.collect()
        gc.freeze()  # what was imported stays: the collector need not look at it again
        kind = "async" if service.is_async else "def"
        signature = msgspec.json.encode(_signature.describe(service.fn, batched=service.batched))
        python = platform.python_version()
        hello = Hello(_protocol.VERSION, __version__, python, os.getpid(), service.name, kind, signature)
        with self._changing:  # what the hub tells from hello on finds the engine
            self._control.send(hello)
            self._engine = engine
            for number, sock in self._early:
                engine.add_lane(number, sock, self._control.numbers)
            if self._drained:
                engine.drain()

    # --- for the control thread ---

    def add_lane(self, number: int, sock: socket.socket) -> None:
        with self._changing:
            self._lanes = [known for known in self._lanes if known.fileno() >= 0]
            self._lanes.append(sock)
            if self._engine is None:
                self._early.append((number, sock))
            else:
                self._engine.add_lane(number, sock, self._control.numbers)

    def stack_of(self, interrupt: Interrupt) -> str:
        return self._engine.stack_of(interrupt) if self._engine is not None else ""

    def stacks(self) -> list[TaskStack]:
        """Of all lanes and tasks; before there are any, of the import or the hook that goes on."""
        if self._engine is not None:
            return self._engine.stacks()
        main = threading.main_thread()
        return [TaskStack(main.name, 0, 0, "running", stack_of_thread(main))]

    def interrupt(self, interrupt: Interrupt) -> None:
        with self._changing:
            if self._engine is not None:
                self._engine.interrupt(interrupt)

    def give_back(self, number: int) -> None:
        with self._changing:
            if self._engine is not None:
                self._engine.give_back(number)

    def drain(self) -> None:
        with self._changing:
            self._drained = True
            if self._engine is not None:
                self._engine.drain()

    # --- in a process that was forked from it ---

    def forked(self) -> None:
        """It must neither use nor hold the channels: the hub would not see them end with the worker."""
        _context.install(_context.FORKED)
        for sock in (self._channel, *self._lanes):
            sock.close()


def _load(name: str) -> Service[..., Any]:
    module = name.rpartition(".")[0]
    _context.install(_context.IMPORTING)
    try:
        importlib.import_module(module)
    except BaseException as error:
        _fail(f"{name}: its module {module!r} cannot be imported", error)
    service = _registry.services.get(name)
    if service is None:
        die(f"{name}: the module {module!r} has no @microservice of that name")
    return service


def _construct(service: Service[..., Any]) -> None:
    construct = constructor_of(service.fn)
    try:
        if construct is not None:
            construct()
    except BaseException as error:
        _fail(f"{service.name}: its class cannot be constructed", error)


def _engine(service: Service[..., Any]) -> Engine:
    if service.is_async:
        from ._loop import LoopEngine

        return LoopEngine(service)
    from ._threads import ThreadEngine

    return ThreadEngine(service)


def _fail(what: str, error: BaseException) -> NoReturn:
    print(full_traceback(error, ""), file=sys.stderr)
    die(what)


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or "." not in arguments[0]:
        die("usage: python -m msx._worker MODULE.FUNCTION (started by the hub)")
    spoken = os.environ.pop("MSX_PROTOCOL", str(_protocol.VERSION))
    if spoken != str(_protocol.VERSION):
        die(f"the hub speaks version {spoken} of the worker protocol, this SDK version {_protocol.VERSION}; "
            "install the SDK that came with the hub")  # fmt: skip
    channel = _control_channel()
    sys.setswitchinterval(0.0005)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the hub, which drains
    worker = WorkerProcess(arguments[0], channel)
    os.register_at_fork(after_in_child=worker.forked)
    worker.run()
    sys.exit(0)


def _control_channel() -> socket.socket:
    number = os.environ.pop("MSX_FD", "")
    try:
        os.set_inheritable(int(number), False)
        return socket.socket(fileno=int(number))
    except (ValueError, OSError) as error:
        die(f"MSX_FD={number!r} names no control channel ({error}); a worker is started by the hub")
