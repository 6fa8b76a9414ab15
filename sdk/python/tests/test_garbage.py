"""Bytes that no msx has written: decoding them ends soon, in a value or in an error."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import msx
from msx import _codec
from msx._remote import decode_error

np = pytest.importorskip("numpy")
pytest.importorskip("pandas")
pytest.importorskip("pydantic")

import golden  # noqa: E402, F401  (the classes of the vectors)

VECTORS = json.loads((Path(__file__).parents[3] / "tests/conformance/values.json").read_text())
GOLDEN = [bytes.fromhex(vector["bytes"]) for vector in [*VECTORS["values"], *VECTORS["shown"]]]
damage = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4)


def decoded(data):
    try:
        return _codec.decode(data)
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return None


@given(st.sampled_from(GOLDEN), damage)
def test_damaged_values(data, changes):
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    decoded(bytes(damaged))


@given(st.integers(0, 40), st.binary(max_size=60))
def test_any_content_of_an_extension(code, content):
    decoded(bytes([0xC7, len(content), code]) + content)


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "type", "message", "args", "attributes", "mro", "service", "via", "traceback", "cause", "context",
    "suppress_context", "notes", "group",
)  # fmt: skip
names = st.sampled_from(
    ["builtins.ValueError", "builtins.ExceptionGroup", "builtins.OSError", "golden.Colour"]
)


@given(
    st.dictionaries(st.sampled_from(KEYS), nonsense | names | st.lists(names, max_size=3)),
    st.binary(max_size=9),
)
def test_any_error_can_be_raised(content, data):
    for payload in (_codec.encode(content), data):
        with pytest.raises(msx.RemoteError):
            raise decode_error(payload)
