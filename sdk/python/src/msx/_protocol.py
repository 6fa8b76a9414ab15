"""The worker protocol: message structs and their framing on a stream (docs/protocol.md, version 1).

Reads go into one 64 KiB buffer per channel, which is reused: a larger read makes the allocator map fresh
pages every time. Only a message that does not fit gets a buffer of its own.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import msgspec

VERSION = 1
MESSAGE_BYTES_MAX = 32 * 1024 * 1024 + 64 * 1024
READ_BYTES = 64 * 1024

HELLO, PONG, STACK = 1, 2, 3
LANE, PING, INTERRUPT, DRAIN = 16, 17, 18, 19
RUN, RESUME, EVICT = 32, 33, 34
CALLS, RETURN, RAISE, EVICTED, MEMO = 48, 49, 50, 51, 52

WAIT_ALL, WAIT_ANY = 0, 1


class ProtocolError(Exception):
    """The peer does not speak this protocol; the channel is of no further use."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """Fields of a message, in the order of the protocol."""


class Hello(Message):
    protocol: int
    sdk: str
    python: str
    pid: int
    service: str
    kind: str
    signature: bytes


class Pong(Message):
    nonce: int


class Stack(Message):
    call: int
    attempt: int
    text: str


class NewLane(Message):
    number: int


class Ping(Message):
    nonce: int


class Interrupt(Message):
    call: int
    attempt: int
    reason: str


class Drain(Message):
    pass


class Recorded(Message):
    """A result of an earlier attempt, with what was asked for then."""

    seq: int
    service: str
    ident: int
    ok: bool
    payload: bytes


class Run(Message):
    call: int
    attempt: int
    payload: bytes
    via: str | None
    results: list[Recorded]
    limit: int


class Result(Message):
    seq: int
    ok: bool
    payload: bytes


class Resume(Message):
    call: int
    attempt: int
    results: list[Result]


class Evict(Message):
    call: int
    attempt: int


class Entry(Message):
    """A child call to be made."""

    seq: int
    service: str
    ident: int
    payload: bytes


Wait = tuple[int, list[int]]


class Calls(Message):
    call: int
    attempt: int
    entries: list[Entry]
    wait: Wait | None


class Return(Message):
    call: int
    attempt: int
    payload: bytes


class Raise(Message):
    call: int
    attempt: int
    payload: bytes


class Evicted(Message):
    call: int
    attempt: int


class Memo(Message):
    call: int
    attempt: int
    seq: int
    ident: int
    ok: bool
    payload: bytes


_HEAD = struct.Struct("<IB")
_pack_head = _HEAD.pack
_unpack_head = _HEAD.unpack_from
_encode = msgspec.msgpack.Encoder().encode


def frame(tag: int, message: Message) -> bytes:
    """The bytes of one message."""
    body = _encode(message)
    return _pack_head(len(body) + 1, tag) + body


def decoder(kind: type[Message]) -> Callable[[memoryview], Any]:
    """A function from a message's body to its struct; raises ProtocolError."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def decode_body(body: memoryview) -> Any:
        try:
            return decode(body)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"malformed {kind.__name__} message: {error}") from None

    return decode_body


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
        if not 1 <= length <= MESSAGE_BYTES_MAX:
            raise ProtocolError(f"a message of {length} bytes; 1 to {MESSAGE_BYTES_MAX} are allowed")
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
        """Moves an incomplete message that does not fit where it is to the front of a buffer that holds it."""
        held = self._end - self._start
        need = READ_BYTES
        if held >= 4:
            need = 4 + int.from_bytes(self._view[self._start : self._start + 4], "little")
        if self._start + need <= len(self._buffer):
            return
        rest = bytes(self._view[self._start : self._end])
        if need > len(self._buffer):
            self._allocate(need)
        self._view[:held] = rest
        self._start, self._end = 0, held
