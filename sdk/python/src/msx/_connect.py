"""`msx.connect()`: the stubs of a script or a notebook ask a running hub.

Each call under way has a connection to the control socket for itself (`_connection`), as HTTP/1.1 has no
other way; idle ones are kept and used again. So a thread that calls and waits uses one.
"""

from __future__ import annotations

import os
import select
import threading
import weakref
from collections.abc import Generator, Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _context, _hub
from ._asks import Answer, request
from ._connection import Connection
from ._errors import UsageError
from ._futures import Future
from ._hubstreams import HubStream
from ._options import CallOptions
from ._plain import PlainCall
from ._races import PlainRace
from ._streams import Stream

if TYPE_CHECKING:
    import asyncio  # not imported by programs that have no use for it

    from ._service import Service

# Calls that one thread, or one event loop, has under way: each costs a descriptor here and one in the hub.
UNDER_WAY_MAX = 100
# The hub answers at the timeout; this much later it does not any more.
GRACE_SECONDS = 5.0


class Session(PlainCall):
    """An open connection to a hub: `close()` it, or use it in a `with`.

    As a call (`_context.LiveCall`) it is that of plain mode, but its futures are answered by the hub. A
    script is not replayed, so `msx.run` just runs.
    """

    def __init__(self, hub: _hub.Hub, timeout: float | None) -> None:
        self._hub = hub
        self._timeout = timeout
        self._pid = os.getpid()
        self._idle: list[Connection] = []
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._thread = threading.local()
        self._gates: weakref.WeakKeyDictionary[Any, asyncio.Semaphore] = weakref.WeakKeyDictionary()
        self._outer: Session | None = None
        self.closed: bool = False

    # --- its life ---

    def close(self) -> None:
        """Ends the connection, and cancels the calls that are under way on it."""
        self.closed = True
        if self in _sessions:
            _sessions.remove(self)
        if os.getpid() == self._pid:  # in a forked process they are the parent's
            for connection in list(self._connections):
                connection.shut()

    def __enter__(self) -> Session:
        self._outer = _scoped.get()
        _scoped.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _scoped.get() is self:
            _scoped.set(self._outer)
        self.close()

    async def __aenter__(self) -> Session:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<msx connection to {self._hub}, {'closed' if self.closed else 'open'}>"

    # --- for stubs ---

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _context.refuse_on_loop(service.name)
        name = service.name
        data = request(name, args, kwargs, self._timeout, service.call_options)
        return self.receive(name, self.send(name, data))

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return HubFuture(self, service.name, args, kwargs, service.call_options)

    def stream(
        self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stream[Any]:
        return HubStream(self, service, args, kwargs)

    @property
    def timeout(self) -> float | None:
        """That of each call."""
        return self._timeout

    def race(self) -> HubRace:
        return HubRace()

    # --- for futures ---

    def request(self, service: str, args: Any, kwargs: Any, options: CallOptions | None) -> bytes:
        self.check_open(service)
        return request(service, args, kwargs, self._timeout, options)

    def check_open(self, service: str) -> None:
        if self.closed:
            raise UsageError(f"{service} was called on a connection to {self._hub} that is closed")

    def send(self, service: str, data: bytes) -> Connection:
        connection = self.take()
        try:
            connection.send(service, data)
        except BaseException:
            connection.close()
            raise
        return connection

    def receive(self, service: str, connection: Connection) -> Any:
        """Waits for the answer. Ctrl-C ends the wait, and by that the call."""
        try:
            answer = connection.receive(service, self.patience)
        except BaseException:
            connection.close()
            raise
        self._give(connection, answer)
        return answer.value(service)

    async def ask_on_loop(self, service: str, data: bytes) -> Any:
        import asyncio

        loop = asyncio.get_running_loop()
        gate = self._gates.get(loop)
        if gate is None:
            gate = self._gates[loop] = asyncio.Semaphore(UNDER_WAY_MAX)
        async with gate:
            connection = self.take()
            try:
                await connection.send_on(loop, service, data)
            except BaseException:
                connection.close()
                raise
            return await self.receive_on_loop(service, connection)

    async def receive_on_loop(self, service: str, connection: Connection) -> Any:
        try:
            answer = await connection.receive_on(_context.running_loop(), service, self.patience)
        except BaseException:  # a task that is cancelled cancels its call
            connection.close()
            raise
        self._give(connection, answer)
        return answer.value(service)

    @property
    def patience(self) -> float | None:
        return None if self._timeout is None else self._timeout + GRACE_SECONDS

    @property
    def started(self) -> dict[HubFuture, None]:
        """Calls of this thread that are under way: to drop a future does not cancel its call."""
        mine: dict[HubFuture, None] = self._thread.__dict__.setdefault("started", {})
        return mine

    def make_room(self) -> None:
        """Before this thread starts one more: takes what was answered, and waits for it if it must."""
        while len(self.started) >= UNDER_WAY_MAX:
            for future in [future for future in self.started if future.done]:  # by another thread
                del self.started[future]
            if len(self.started) >= UNDER_WAY_MAX:
                settle_some(self.started)

    # --- connections ---

    def take(self) -> Connection:
        if os.getpid() != self._pid:  # in a forked process: they are the parent's
            self._pid, self._idle = os.getpid(), []
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.is_alive():
                return connection
            connection.close()
        connection = Connection(self._hub)
        self._connections.add(connection)
        return connection

    def _give(self, connection: Connection, answer: Answer) -> None:
        if answer.keeps_alive and not self.closed:
            self._idle.append(connection)
        else:
            connection.close()

    def check(self) -> None:
        """Raises if the hub cannot be reached."""
        self._idle.append(self.take())


class HubFuture(Future[Any]):
    __slots__ = ("_args", "_connection", "_kwargs", "_options", "_session", "_task", "_waiting", "seq")

    def __init__(
        self, session: Session, name: str, args: Any, kwargs: Any, options: CallOptions | None
    ) -> None:
        super().__init__(name)
        self._session, self._args, self._kwargs, self._options = session, args, kwargs, options
        self._connection: Connection | None = None  # that it was begun on, outside of an event loop
        self._task: asyncio.Task[None] | None = None
        self._waiting = threading.Lock()

    def begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        data = self._session.request(self.__name__, self._args, self._kwargs, self._options)
        self._args, self._kwargs = (), {}
        loop = _context.running_loop()
        if loop is not None:
            self._task = loop.create_task(
                self._settle_on_loop(self._session.ask_on_loop(self.__name__, data))
            )
            return
        self._session.make_room()
        self._connection = self._session.send(self.__name__, data)
        self._session.started[self] = None

    def wait(self) -> None:
        with self._waiting:
            if self.done:
                return
            if self._connection is None:
                raise UsageError(f"{self.__name__} was started on an event loop that is not running any more")
            self._session.check_open(self.__name__)
            self._session.started.pop(self, None)
            try:
                value = self._session.receive(self.__name__, self._connection)
            except Exception as error:
                self.settle(False, error)
            else:
                self.settle(True, value)

    async def _settle_on_loop(self, steps: Any) -> None:
        try:
            value = await steps
        except Exception as error:
            self.settle(False, error)
        else:
            self.settle(True, value)

    @property
    def task(self) -> asyncio.Task[None]:
        """What settles it on the running event loop."""
        if self._task is None:
            assert self._connection is not None
            self._session.started.pop(self, None)
            steps = self._session.receive_on_loop(self.__name__, self._connection)
            task: asyncio.Task[None] = _context.running_loop().create_task(self._settle_on_loop(steps))
            self._task = task
        return self._task

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.done:
            self.begin()
            yield from self.task.__await__()
        return self.outcome()

    def fileno(self) -> int:
        assert self._connection is not None
        return self._connection.sock.fileno()


def settle_some(futures: Iterable[HubFuture]) -> None:
    """Waits until some of these are answered, for a moment: another thread may take the answers."""
    by_number = {future.fileno(): future for future in futures}
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    for number, _ in poll.poll(100):
        by_number[number].wait()


class HubRace(PlainRace):
    """Calls that are wanted in the order in which they are answered."""

    def settle_blocking(self) -> None:
        settle_some(self.waiting.values())


# --- which one a stub asks ---------------------------------------------------------------------------------

_plain = PlainCall()
_scoped: ContextVar[Session | None] = ContextVar("msx_session", default=None)
_sessions: list[Session] = []  # those that are open, the newest last


class Outside:
    """The runtime of a program that may be connected (`_context.Runtime`).

    Code inside of a `with` asks that connection, in its asyncio tasks too; any other thread asks the one that
    was opened last. Where there is none, a stub runs its function in this process.
    """

    def current(self) -> _context.LiveCall:
        session = _scoped.get()
        if session is not None and not session.closed:
            return session
        return _sessions[-1] if _sessions else _plain


def connect(project: str | os.PathLike[str] | None = None, *, timeout: float | None = None) -> Session:
    """Makes the stubs of this program ask the running hub of a project.

    `with msx.connect():` for a block; without `with` until `close()`. The project is found from the script's
    folder or the current one upwards, unless it is named here or by the variable MSX_HUB. `timeout` bounds
    each call, in seconds.
    """
    _check(timeout)
    session = Session(_hub.find(project), timeout)
    session.check()
    _use(session)
    return session


def _check(timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise UsageError(f"msx.connect(timeout={timeout}): a timeout is a number of seconds above 0")
    if not isinstance(_context.runtime, (PlainCall, Outside)):
        raise UsageError(
            "msx.connect() is for scripts and notebooks: inside of a service, stubs ask the hub already"
        )


def _use(session: Session) -> None:
    if not isinstance(_context.runtime, Outside):
        _context.install(Outside())
    _sessions.append(session)


def connect_program() -> None:
    """For `msx run`, which has seen the hub: the whole program is connected."""
    _use(Session(_hub.find(None), None))
