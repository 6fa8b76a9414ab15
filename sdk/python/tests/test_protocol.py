"""The framing, and the golden bytes that the hub's tests read as well."""

import importlib
import json
import socket
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msx import _codec, _protocol
from msx._protocol import Decoder, Message, ProtocolError, Reader, frame

# Of the whole repository: the hub's tests read the same files.
CONFORMANCE = Path(__file__).parents[3] / "tests" / "conformance"
MESSAGES = json.loads((CONFORMANCE / "messages.json").read_text())
GOLDEN = json.loads((CONFORMANCE / "values.json").read_text())
KINDS = {kind.TAG: kind for kind in Message.__subclasses__()}
# The names of docs/protocol.md are those of the classes, but for this one.
CLASSES = {kind.__name__.lower(): kind.__name__ for kind in KINDS.values()} | {"lane": "NewLane"}


class Chunks:
    """A socket that delivers in pieces of the given sizes."""

    def __init__(self, data, sizes):
        self._data, self._sizes = data, list(sizes)

    def recv_into(self, view):
        size = min(len(view), self._sizes.pop(0) if self._sizes else len(view))
        piece, self._data = self._data[:size], self._data[size:]
        view[: len(piece)] = piece
        return len(piece)


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.integers(0, 300), st.integers(60_000, 200_000)), max_size=8),
    st.lists(st.integers(1, 100_000), max_size=40),
)
def test_messages_survive_any_cutting(lengths, sizes):
    payloads = [bytes([index]) * length for index, length in enumerate(lengths)]
    reader = Reader(Chunks(b"".join(frame(_protocol.Return(1, 2, p)) for p in payloads), sizes))
    decode, got = Decoder(_protocol.Return), []
    alive = True
    while alive:
        while (received := reader.take()) is not None:
            got.append(decode(*received).payload)
        alive = reader.fill()
    assert got == payloads


def test_the_buffer_shrinks_after_a_large_message():
    data = frame(_protocol.Return(1, 1, b"x" * 1_000_000)) + frame(_protocol.Return(2, 1, b"y"))
    reader = Reader(Chunks(data, []))
    seen = 0
    while reader.fill():
        while reader.take() is not None:
            seen += 1
    assert seen == 2
    assert len(reader._buffer) == _protocol.READ_BYTES


@pytest.mark.parametrize("length", [0, _protocol.RECEIVED_BYTES_MAX + 1, 2**32 - 1])
def test_impossible_lengths(length):
    left, right = socket.socketpair()
    with left, right:
        left.sendall(length.to_bytes(4, "little") + b"\x20")
        reader = Reader(right)
        reader.fill()
        with pytest.raises(ProtocolError, match=f"a message of {length} bytes"):
            reader.take()


@pytest.mark.parametrize("body", [b"", b"\x90", b"\x92\x01", b"\x92\xa1x\x01", b"\xc0"])
def test_short_arrays_and_bad_types(body):
    with pytest.raises(ProtocolError, match="a malformed message with tag 34"):
        Decoder(_protocol.Evict)(34, memoryview(body))
    with pytest.raises(ProtocolError, match="the unexpected tag 7"):
        Decoder(_protocol.Evict)(7, memoryview(b"\x90"))


def fields_of(message):
    return to_json(msgspec.msgpack.decode(msgspec.msgpack.encode(message)))


def to_json(value):
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [to_json(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("golden", MESSAGES, ids=lambda golden: golden["name"])
def test_golden_messages(golden):
    data = bytes.fromhex(golden["hex"])
    reader = Reader(Chunks(data, []))
    reader.fill()
    tag, body = reader.take()
    message = Decoder(KINDS[tag])(tag, body)
    assert type(message).__name__ == CLASSES[golden["name"].partition(",")[0]]
    fields = fields_of(message)
    sent = len(golden["fields"])
    assert fields[:sent] == list(golden["fields"].values())
    # What only some messages have stands at the end.
    assert all(field is None for field in fields[sent:])
    assert sent < len(fields) or frame(message) == data


def test_golden_messages_of_every_kind():
    assert {CLASSES[golden["name"].partition(",")[0]] for golden in MESSAGES} == {
        kind.__name__ for kind in KINDS.values()
    }


@pytest.mark.parametrize("golden", GOLDEN["values"], ids=lambda golden: golden["python"])
def test_golden_values(golden):
    value = eval(golden["python"], NAMES)
    assert _codec.encode(value).hex() == golden["bytes"]
    assert _codec.decode(bytes.fromhex(golden["bytes"])) == value


@pytest.mark.parametrize("golden", GOLDEN["shown"], ids=lambda golden: golden["python"])
def test_golden_values_of_libraries(golden):
    for short, library in {"np.": "numpy", "pd.": "pandas", "Model": "pydantic", "Root": "pydantic"}.items():
        if short in golden["python"]:
            pytest.importorskip(library)
    value = eval(golden["python"], NAMES)
    assert _codec.encode(value).hex() == golden["bytes"]
    arrived = _codec.decode(bytes.fromhex(golden["bytes"]))
    assert type(arrived) is type(value)
    assert _codec.encode(arrived).hex() == golden["bytes"]


@pytest.mark.parametrize("golden", GOLDEN["arguments"], ids=lambda golden: golden["python"])
def test_golden_arguments(golden):
    args, kwargs = eval(golden["python"], NAMES)
    payload, ident = _codec.encode_arguments(args, kwargs)
    assert (payload.hex(), ident) == (golden["bytes"], golden["ident"])


def _names():
    import datetime
    import decimal
    import uuid

    import golden

    names = {"datetime": datetime, "Decimal": decimal.Decimal, "UUID": uuid.UUID, "golden": golden}
    for short, library in {"np": "numpy", "pd": "pandas"}.items():
        try:
            names[short] = importlib.import_module(library)
        except ModuleNotFoundError:  # its values are skipped
            continue
    return names


NAMES = _names()
