"""Streams: calls of generators, whose items arrive one after another.

A caller takes items by asking for the next ones (`msx.next`), a generator that is ahead of its caller asks
for room (`msx.room`). Both are entries like calls: they have a seq, are waited for, and are recorded. So what
holds for calls, such as replay, holds for them. Of a generator that is run again, the items that the hub has
are made but not sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _codec
from ._errors import UsageError
from ._lines import source_line
from ._protocol import Item
from ._replay import Call, encode_result, read

if TYPE_CHECKING:
    from ._options import CallOptions
    from ._protocol import Entry
    from ._service import Service
    from ._threadcalls import ThreadCall

T = TypeVar("T")

NO_STREAMS = "{service} is a generator, and the hub of msx.testing cannot stream; without it, plain mode can"
NEXT, ROOM = "msx.next", "msx.room"
# A generator asks for room after so many items, or bytes of them.
ITEMS_AHEAD = 64
BYTES_AHEAD = 256 * 1024


class Stream(Generic[T]):
    """The items of a generator that is a service: `for item in count(5)`, `async for` in an `async def`.

    It begins with the first item that is asked for. Whoever leaves the loop early ends it: the generator gets
    a GeneratorExit, or is cancelled in the middle of its work. `close()` or `await aclose()` does so at once.
    """

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        raise NotImplementedError

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        raise NotImplementedError

    def close(self) -> None:
        """No more items are wanted."""
        raise NotImplementedError

    async def aclose(self) -> None:
        self.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise UsageError("this is a stream, not a call: iterate over it (`async for item in …`)")


def refuse_as_call(service: Service[..., Any]) -> None:
    """A generator has items instead of a result."""
    if service.streams:
        short = service.name.rpartition(".")[2]
        raise UsageError(
            f"{service.name} is a generator, so a call of it has items instead of a result; use: "
            f"for item in {short}(…), or async for in an async def"
        )


def refuse_key(service: Service[..., Any]) -> None:
    """Items are not kept."""
    if service.call_options and "idempotency_key" in service.call_options:
        raise UsageError(
            f"{service.name} is a generator, and its items cannot be kept for an idempotency_key"
        )


class CallStream(Stream[Any]):
    """One in a worker's call: what `def` and `async def` share."""

    def __init__(self, call: Call, service: Service[..., Any], args: Any, kwargs: Any) -> None:
        self.__name__ = service.name
        self._call = call
        self._args, self._kwargs, self._line = args, kwargs, source_line()
        self._options: CallOptions = {**(service.call_options or {}), "stream": True}
        self._seq = -1  # until it is opened
        self._unsent: Entry | None = None
        self._items: deque[bytes] = deque()
        self._over = False

    def _open(self) -> None:
        if self._seq < 0:
            entry = self._call.claim(self.__name__, self._args, self._kwargs, self._options, self._line)
            self._seq, self._args, self._kwargs = entry.seq, (), {}
            # Sent with the first request for items that no record answers.
            self._unsent = None if entry.seq in self._call.inbox else entry

    def _take(self, answer: Any) -> None:
        self._over, items = answer
        self._items.extend(items)

    def _end(self) -> Any:
        """Of a stream that is over: what its generator returned, or raises its exception; once."""
        outcome, self._seq = self._call.inbox.pop(self._seq, None), -1
        self._options = {}
        return None if outcome is None else read(outcome)

    def _is_open(self) -> bool:
        return self._seq >= 0 and not self._over

    def _claim_next(self) -> Entry:
        return self._call.claim(NEXT, (self._seq,), {}, {"next": self._seq}, source_line())

    def _pop(self) -> Any:
        return _codec.decode(self._items.popleft())

    def _leave(self) -> int | None:
        """Ends it here; answers its seq, if the hub is to be told."""
        open_seq = self._seq if self._is_open() else None
        self._over, self._seq, self._unsent = True, -1, None
        self._items.clear()
        return open_seq


class Yielding:
    """The items of the generator that a call runs."""

    def __init__(self, call: Call) -> None:
        if call.yielded is None:
            raise UsageError(
                f"{call.service} is a generator, and was called like a function: iterate over its items"
            )
        self._call = call
        self.count = 0
        self._items = self._bytes = 0  # since it asked for room

    def take(self, item: Any) -> Item | None:
        """The message of an item, unless the hub has it from an earlier attempt."""
        call, index = self._call, self.count
        payload = encode_result(call.service, item, call.limit, "an item of it")
        self.count += 1
        self._items += 1
        self._bytes += len(payload)
        assert call.yielded is not None
        return Item(call.id, call.attempt, index, payload) if index >= call.yielded else None

    def wants_room(self) -> bool:
        """Whether it must wait until its caller has taken some; the same on a replay."""
        if self._items < ITEMS_AHEAD and self._bytes < BYTES_AHEAD:
            return False
        self._items = self._bytes = 0
        return True


class ThreadStream(CallStream):
    """One in a lane's thread, which is parked while there is no item."""

    _call: ThreadCall

    def __next__(self) -> Any:
        while not self._items:
            if self._over:
                raise StopIteration(self._end())
            self._pull()
        return self._pop()

    async def __anext__(self) -> Any:
        """On an event loop that the function runs for itself, it blocks that loop, as calls do."""
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    def _pull(self) -> None:
        self._call.check_own(self.__name__)
        self._open()
        entry = self._claim_next()
        if entry.seq not in self._call.inbox:
            first, self._unsent = self._unsent, None
            self._call.park([entry] if first is None else [first, entry], entry.seq)
        self._take(read(self._call.inbox.pop(entry.seq)))

    def close(self) -> None:
        seq = self._leave()
        if seq is not None:
            self._call.check_own(self.__name__)
            self._call.send_close(seq)

    def __del__(self) -> None:
        """Left early by `break`; behind the call's end, or on another thread, nobody needs to be told."""
        if self.__dict__.get("_seq", -1) >= 0 and self._is_open():
            self._call.close_left(self._seq)


def yield_all(call: ThreadCall, generator: Generator[Any, Any, Any]) -> Any:
    """Runs a generator in a lane's thread; returns what it returns."""
    yielding = Yielding(call)
    try:
        while True:
            try:
                item = next(generator)
            except StopIteration as stop:
                return stop.value
            message = yielding.take(item)
            if message is not None:
                call.send_item(message)
            if yielding.wants_room():
                entry = call.claim(ROOM, (yielding.count,), {}, None, None)
                if entry.seq not in call.inbox:
                    call.park([entry], entry.seq)
                call.inbox.pop(entry.seq)
    finally:
        generator.close()
