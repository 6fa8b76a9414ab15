"""One ask over the hub's control socket, in bytes: HTTP/1.1 around the payloads of the worker protocol.

Without a connection of its own, because it is the same for a thread that blocks and for an event loop.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Any

import msgspec

from . import _codec
from ._errors import LimitExceeded, ServiceUnavailable
from ._options import CallOptions
from ._remote import decode_error
from ._replay import encode_arguments

ARGUMENTS_BYTES_MAX = 32 * 1024 * 1024
# A result may have as many bytes as a message of a worker; the rest is for the head.
ANSWER_BYTES_MAX = 33 * 1024 * 1024
STREAM = b"application/vnd.msx+stream"
# Before each item: how many bytes it has, and what it is.
PART = struct.Struct("<IB")
ITEM, RETURNED, RAISED = range(3)
PAYLOAD = b"application/vnd.msx+msgpack"


def request(
    service: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float | None,
    options: CallOptions | None,
    stream: bool = False,
) -> bytes:
    """The whole request; raises what a stub raises for arguments that cannot travel.

    `timeout` is that of the connection: of two, the shorter one counts.
    """
    payload, _ = encode_arguments(service, args, kwargs, ARGUMENTS_BYTES_MAX)
    head = msgspec.msgpack.encode((service, _options(timeout, options, stream)))
    length = len(head) + len(payload)
    # In HTTP/1.0 items come as they are, not in chunks, and the connection ends with the stream.
    version = b"1.0" if stream else b"1.1"
    return b"POST /v1/ask HTTP/%b\r\nhost: msx\r\ncontent-length: %d\r\n\r\n%b%b" % (
        version,
        length,
        head,
        payload,
    )


def _options(timeout: float | None, given: CallOptions | None, stream: bool) -> CallOptions | None:
    options: CallOptions = {**given} if given else {}
    if timeout is not None:
        milliseconds = max(1, round(timeout * 1000))
        options["timeout"] = min(milliseconds, options.get("timeout", milliseconds))
    if stream:
        options["stream"] = True
    return options or None


class Answer:
    """A response, in the making while it is read."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._body = 0  # where it begins, once the head is complete
        self._end = 0
        self._head: list[bytes] = []

    def feed(self, data: bytes) -> bool:
        """Takes what was read; True when the response is complete."""
        self._data += data
        return self._has_head() and len(self._data) >= self._end

    def _has_head(self) -> bool:
        if not self._head:
            head, mark, _ = self._data.partition(b"\r\n\r\n")
            if not mark:
                return False
            self._head = bytes(head).lower().split(b"\r\n")
            self._body = len(head) + len(mark)
            self._end = self._body + self._length()
        return True

    def _length(self) -> int:
        length = int(self._field(b"content-length") or b"0")
        if length > ANSWER_BYTES_MAX:
            raise LimitExceeded(f"the hub's answer takes {length} bytes; the limit is {ANSWER_BYTES_MAX}")
        return length

    def _field(self, name: bytes) -> bytes | None:
        fields = (line.partition(b":") for line in self._head[1:])
        return next((value.strip() for key, _, value in fields if key == name), None)

    @property
    def keeps_alive(self) -> bool:
        return self._field(b"connection") != b"close" and len(self._data) == self._end

    def value(self, service: str) -> Any:
        """What the call returned; raises what it raised."""
        body = memoryview(self._data)[self._body : self._end]
        status = self._head[0].split(b" ")[1]
        if self._field(b"content-type") == PAYLOAD:
            if status == b"200":
                return _codec.decode(body)
            raise decode_error(body)
        raise ServiceUnavailable(f"{service} cannot be called: {_problem(bytes(body), status)}")


class Items(Answer):
    """A response that brings the items of a stream, or one answer instead."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: deque[tuple[int, bytes]] = deque()

    @property
    def is_stream(self) -> bool:
        return self._field(b"content-type") == STREAM

    def feed(self, data: bytes) -> bool:
        """True when there is something to take."""
        if not self._head or not self.is_stream:
            whole = super().feed(data)
            if not self._head or not self.is_stream:
                return whole
            data = bytes(self._data[self._body :])
            self._data.clear()
        self._data += data
        self._split()
        return bool(self.parts)

    def _split(self) -> None:
        while len(self._data) >= PART.size:
            length, kind = PART.unpack_from(self._data)
            stop = PART.size + length
            if length > ANSWER_BYTES_MAX:
                raise LimitExceeded(f"an item takes {length} bytes; the limit is {ANSWER_BYTES_MAX}")
            if len(self._data) < stop:
                return
            self.parts.append((kind, bytes(self._data[PART.size : stop])))
            del self._data[:stop]


def _problem(body: bytes, status: bytes) -> str:
    """A refusal that is not about the call: the hub is starting, or of another version."""
    try:
        problem = msgspec.json.decode(body)
        parts = [problem["message"], problem.get("help")]
        return "; ".join(part for part in parts if part)
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        return (
            f"the hub answered with the HTTP status {status.decode('ascii', 'replace')}; it may be of "
            "another version than this msx: `msx version`, then `msx down` and `msx up`"
        )
