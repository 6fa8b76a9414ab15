"""Any bytes on a channel: messages come out of them, or a ProtocolError."""

import json
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msx import _protocol
from msx._protocol import MESSAGE_BYTES_MAX, READ_BYTES, Decoder, Message, ProtocolError, Reader, frame

KINDS = [
    kind
    for kind in vars(_protocol).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
]
VECTORS = json.loads((Path(__file__).parents[3] / "tests/conformance/messages.json").read_text())
FRAMES = [bytes.fromhex(vector["hex"]) for vector in VECTORS]
damage = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4)
decode = Decoder(*KINDS)


def read_or_refuse(tag, body):
    try:
        message = decode(tag, memoryview(body))
    except ProtocolError:
        return
    again = frame(message)
    assert again[4] == tag
    assert decode(tag, memoryview(again)[5:]) == message


@given(st.sampled_from(FRAMES), damage)
def test_damaged_messages(data, changes):
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    read_or_refuse(damaged[4], bytes(damaged[5:]))
    read_or_refuse(damaged[4], bytes(damaged[5 : changes[0][0] % len(damaged)]))


@given(st.sampled_from([*(kind.TAG for kind in KINDS), 0, 99, 255]), st.binary(max_size=100))
def test_any_body(tag, body):
    read_or_refuse(tag, body)


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers(0, (1 << 64) - 1) | st.text(max_size=4) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@given(st.sampled_from(KINDS), st.lists(nonsense, max_size=9))
def test_fields_of_any_type(kind, fields):
    read_or_refuse(kind.TAG, msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("kind", KINDS)
def test_messages_arrive_as_sent(kind):
    @given(st.from_type(kind))
    def check(message):
        try:
            data = frame(message)
        except OverflowError:  # no message has numbers beyond 64 bit
            return
        assert decode(data[4], memoryview(data)[5:]) == message

    check()


@given(st.lists(st.sampled_from(FRAMES), max_size=4), damage, st.integers(1, 40))
def test_a_damaged_stream(frames, changes, cut):
    """It ends in messages or in an error, and no damaged length makes room beyond what may come."""
    stream = bytearray(b"".join(frames))
    for place, byte in changes:
        if stream:
            stream[place % len(stream)] = byte
    pieces = [bytes(stream[at : at + cut]) for at in range(0, len(stream), cut)]
    reader = Reader(None)

    def recv_into(view):
        piece = pieces.pop(0) if pieces else b""
        view[: len(piece)] = piece
        return len(piece)

    # A right length is below 384 MiB; to make room for all that these tests could name takes long.
    with patch.object(_protocol, "RECEIVED_BYTES_MAX", 1 << 18), suppress(ProtocolError):
        while reader.fill_from(recv_into):
            while (received := reader.take()) is not None:
                decode(*received)
    assert len(reader._buffer) <= (1 << 18) + READ_BYTES


def test_every_kind_has_a_vector():
    assert {kind.TAG for kind in KINDS} == {data[4] for data in FRAMES}
    assert all(len(data) <= MESSAGE_BYTES_MAX for data in FRAMES)
