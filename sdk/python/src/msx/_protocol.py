"""The worker protocol: message structs and their framing on a stream (docs/protocol.md, version 1).

Reads go into one 64 KiB buffer per channel, which is reused: a larger read makes the allocator map fresh
pages every time. Only a message that does not fit gets a buffer of its own.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import ClassVar, cast

import msgspec

from ._options import CallOptions

VERSION = 1
MESSAGE_BYTES_MAX = 32 * 1024 * 1024 + 64 * 1024
RECEIVED_BYTES_MAX = 384 * 1024 * 1024  # `run` and `resume` carry all results that a root may hold
READ_BYTES = 64 * 1024

WAIT_ALL, WAIT_ANY = 0, 1


class ProtocolError(Exception):
    """The peer does not speak this protocol; the channel is of no further use."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """Fields of a message, in the order of the protocol."""

    TAG: ClassVar[int]


class Part(msgspec.Struct, array_like=True, gc=False):
    """An array inside of a message."""


class Hello(Message):
    TAG = 1
    protocol: int
    sdk: str
    python: str
    pid: int
    service: str
    kind: str
    signature: bytes


class Pong(Message):
    TAG = 2
    nonce: int


class Stack(Message):
    TAG = 3
    call: int
    attempt: int
    text: str


class TaskStack(Part):
    """Where a lane, or a task of an event loop, is."""

    name: str
    call: int
    attempt: int  # 0: there is no call
    state: str
    text: str


class Stacks(Message):
    TAG = 4
    nonce: int
    stacks: list[TaskStack]


class NewLane(Message):
    TAG = 16
    number: int


class Ping(Message):
    TAG = 17
    nonce: int


class Interrupt(Message):
    TAG = 18
    call: int
    attempt: int
    reason: str


class Drain(Message):
    TAG = 19


class AskBack(Message):
    TAG = 20
    lane: int


class Tally(Message):
    TAG = 21


class AskStacks(Message):
    TAG = 22
    nonce: int


class Recorded(Part):
    """A result of an earlier attempt, with what was asked for then."""

    seq: int
    service: str
    ident: int
    ok: bool
    payload: bytes
    line: str | None = None  # where it was asked for
    arguments: bytes | None = None  # with what, if that is short


class Run(Message):
    TAG = 32
    call: int
    attempt: int
    payload: bytes
    via: str | None
    results: list[Recorded]
    limit: int
    id: str = ""  # what `msx calls` calls it
    remaining: int | None = None  # milliseconds that its caller still waits
    yielded: int | None = None  # of a stream: how many items its caller has, or will have without it
    batch: int | None = None  # calls that this one runs for; the payload is an array of their arguments


class Result(Part):
    seq: int
    ok: bool
    payload: bytes


class Resume(Message):
    TAG = 33
    call: int
    attempt: int
    results: list[Result]


class Evict(Message):
    TAG = 34
    call: int
    attempt: int


class Entry(Part):
    """A child call to be made."""

    seq: int
    service: str
    ident: int
    payload: bytes
    options: CallOptions | None = None
    line: str | None = None  # `_lines`


Wait = tuple[int, list[int]]


class Calls(Message):
    TAG = 48
    call: int
    attempt: int
    entries: list[Entry]
    wait: Wait | None


class Return(Message):
    TAG = 49
    call: int
    attempt: int
    payload: bytes
    micros: int = 0


class Outcome(Part):
    ok: bool
    payload: bytes


class Answers(Message):
    """Of a batch: one for each of its calls."""

    TAG = 60
    call: int
    attempt: int
    outcomes: list[Outcome]


class Asked(Part):
    """A call or a memo, for people."""

    call: str
    line: str | None


class Difference(Part):
    """The first thing that a replay did otherwise than before."""

    seq: int
    before: Asked
    now: Asked | None  # None: it was not asked for again


class Raise(Message):
    TAG = 50
    call: int
    attempt: int
    payload: bytes
    difference: Difference | None = None


class Evicted(Message):
    TAG = 51
    call: int
    attempt: int


class Memo(Message):
    TAG = 52
    call: int
    attempt: int
    seq: int
    ident: int
    ok: bool
    payload: bytes
    known: int
    line: str | None = None


class GiveBack(Message):
    TAG = 53
    call: int
    attempt: int


class Listen(Message):
    TAG = 56
    call: int
    attempt: int
    seqs: list[int]


class Summary(Message):
    TAG = 54
    call: int
    attempt: int
    text: str


class Alarm(Message):
    TAG = 57
    call: int
    attempt: int
    seq: int
    ident: int
    payload: bytes
    after_ms: int
    line: str | None = None


class Item(Message):
    TAG = 58
    call: int
    attempt: int
    index: int
    payload: bytes


class Close(Message):
    TAG = 59
    call: int
    attempt: int
    seq: int


_HEAD = struct.Struct("<IB")
_pack_head = _HEAD.pack
_unpack_head = _HEAD.unpack_from
_encode = msgspec.msgpack.Encoder().encode
_encode_into = msgspec.msgpack.Encoder().encode_into


def frame(message: Message) -> bytes:
    """The bytes of one message."""
    if _is_large(message):
        return _large_frame(message)
    body = _encode(message)
    return _pack_head(len(body) + 1, message.TAG) + body


def _is_large(message: Message) -> bool:
    """By its payload, of several by the first one: only speed depends on it."""
    if isinstance(message, (Return, Item)):
        return len(message.payload) > READ_BYTES
    if isinstance(message, Calls) and message.entries:
        return len(message.entries[0].payload) > READ_BYTES
    return False


def _large_frame(message: Message) -> bytes:
    """Slower for small ones, but the payload is copied once."""
    data = bytearray(_HEAD.size)
    _encode_into(message, data, _HEAD.size)
    _HEAD.pack_into(data, 0, len(data) - 4, message.TAG)
    return cast(bytes, data)  # it is sent, and nothing else


class Decoder:
    """Decodes the messages that a channel may carry."""

    def __init__(self, *kinds: type[Message]) -> None:
        self._decoders = {kind.TAG: msgspec.msgpack.Decoder(kind).decode for kind in kinds}

    def __call__(self, tag: int, body: memoryview) -> Message:
        try:
            return self._decoders[tag](body)
        except KeyError:
            raise ProtocolError(f"a message with the unexpected tag {tag}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"a malformed message with tag {tag}: {error}") from None


def _impossible(length: int) -> ProtocolError:
    return ProtocolError(f"a message of {length} bytes; 1 to {RECEIVED_BYTES_MAX} are allowed")


class Reader:
    """Splits a stream into messages. A body is valid until the next `fill`."""

    __slots__ = ("_buffer", "_end", "_socket", "_start", "_view")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._start = self._end = 0
        self._allocate(READ_BYTES)

    def _allocate(self, size: int) -> None:
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)

    def take(self) -> tuple[int, memoryview] | None:
        """The next whole message (tag, body) that has been read, or None."""
        start = self._start
        if self._end - start < 5:
            return None
        length, tag = _unpack_head(self._buffer, start)
        if not 1 <= length <= RECEIVED_BYTES_MAX:
            raise _impossible(length)
        stop = start + 4 + length
        if stop > self._end:
            return None
        self._start = stop
        return tag, self._view[start + 5 : stop]

    def fill(self) -> bool:
        """Reads once; False at the end of the stream. Raises BlockingIOError on a non-blocking socket."""
        return self.fill_from(self._socket.recv_into)

    def fill_from(self, recv_into: Callable[[memoryview], int]) -> bool:
        if self._start == self._end:
            if len(self._buffer) > READ_BYTES:
                self._allocate(READ_BYTES)
            self._start = self._end = 0
            got = recv_into(self._view)
        else:
            self._make_room()
            got = recv_into(self._view[self._end : self._end + READ_BYTES])
        self._end += got
        return got > 0

    def _make_room(self) -> None:
        """Moves an incomplete message that does not fit here to the front of a buffer that holds it."""
        held = self._end - self._start
        need = READ_BYTES
        if held >= 4:
            length = int.from_bytes(self._view[self._start : self._start + 4], "little")
            if length > RECEIVED_BYTES_MAX:  # before there is room for it
                raise _impossible(length)
            need = 4 + length
        if self._start + need <= len(self._buffer):
            return
        rest = bytes(self._view[self._start : self._end])
        if need > len(self._buffer):
            self._allocate(need)
        self._view[:held] = rest
        self._start, self._end = 0, held
