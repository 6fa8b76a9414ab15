"""Values: what is sent is what arrives."""

import collections
import datetime
import decimal
import enum
import math
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msx import _codec
from msx._codec import CannotTravel, decode, encode, encode_arguments


class Colour(enum.Enum):
    RED = 1
    BLUE = (1, 2)


class Bits(enum.Flag):
    A = 1
    B = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Point:
    x: int
    y: Any = None


@dataclass(frozen=True)
class Frozen:
    items: list[int] = field(default_factory=list)

    def __post_init__(self):
        object.__setattr__(self, "seen", True)


@dataclass
class Slotted:
    __slots__ = ("a",)
    a: int


class Pair(NamedTuple):
    left: Any
    right: Any


class Outer:
    @dataclass
    class Inner:
        value: Any


UTC = datetime.timezone.utc
EXAMPLES = [
    None, True, 0, -1, 2**63, 2**64 - 1, -(2**63), 2**64, -(2**63) - 1, 10**50, 1.5, math.inf, "", "äöü€",
    b"", b"\x00\xff",
    [], [1, "a", None], [[1, [2, [3]]]], [1, 2**70], (), (1,), (1, (2,), [3]), {}, {"a": 1}, {1: 2, "x": [1]},
    {(1, 2): 3}, {(1, (2,)): {3: 4}}, {None: 1, True: 2, 1.5: 3, b"k": 4}, {frozenset({1}): 1}, {2**70: 1},
    set(), {1, 2, 3}, {"a", (1, 2), None}, frozenset(), frozenset({frozenset({1}), 2}),
    datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.datetime(2024, 1, 1, tzinfo=UTC),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))),
    datetime.date(1, 1, 1), datetime.time(23, 59, 59, 999999), datetime.time(1, tzinfo=UTC),
    datetime.timedelta(days=-1, microseconds=1), datetime.timedelta.max,
    decimal.Decimal("1.10"), decimal.Decimal("-Infinity"), decimal.Decimal("1E+500"), uuid.UUID(int=7),
    Colour.RED, Colour.BLUE, Bits.A | Bits.B, Level.LOW, Point(1), Point(1, Point(2, (3,))), Frozen([1]),
    Slotted(5),
    Outer.Inner({1}), Pair(1, (2, 3)), 1 + 2j, bytearray(b"abc"), [Point(1), {"k": (Colour.RED,)}],
    {Colour.RED: {Pair(1, 2): [frozenset({"a"})]}},
]  # fmt: skip


@pytest.mark.parametrize("value", EXAMPLES, ids=repr)
def test_examples(value):
    arrived = decode(encode(value))
    assert arrived == value
    assert same_types(arrived, value)


def same_types(left, right):
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(map(type, left)) == list(map(type, right)) and all(
            map(same_types, left.values(), right.values())
        )
    if isinstance(left, (list, tuple)):
        return all(map(same_types, left, right))
    return True


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
hashable = st.recursive(
    scalars
    | st.dates() | st.times() | st.datetimes(timezones=st.none() | st.just(UTC)) | st.timedeltas()
    | st.decimals(allow_nan=False) | st.uuids() | st.complex_numbers(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3) | st.builds(Pair, inner, inner),
    max_leaves=5,
)  # fmt: skip
values = st.recursive(
    hashable | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=10,
)


@given(values)
def test_any_value(value):
    arrived = decode(encode(value))
    assert arrived == value
    assert same_types(arrived, value)


@given(st.dictionaries(hashable, values, max_size=5))
def test_dicts_keep_their_order(value):
    assert list(decode(encode(value))) == list(value)


@given(st.binary())
def test_nonsense_is_an_error_and_no_crash(data):
    try:
        decode(data)
    except (ValueError, TypeError, OverflowError, ArithmeticError, LookupError):
        pass


@given(st.dictionaries(st.text(), scalars, min_size=2), st.randoms())
def test_the_ident_ignores_the_order_of_dicts(value, random):
    items = list(value.items())
    random.shuffle(items)
    left, right = encode_arguments((1, [value]), value), encode_arguments((1, [dict(items)]), dict(items))
    assert left[1] == right[1]


@given(st.sets(hashable), st.randoms())
def test_sets_are_sorted(value, random):
    items = list(value)
    random.shuffle(items)
    assert encode(value) == encode(set(items))


def test_the_ident_tells_arguments_apart():
    calls = [
        ((1,), {}),
        ((2,), {}),
        (("1",), {}),
        ((), {"x": 1}),
        ((), {"x": 1, "y": 2}),
        ((), {"y": 1, "x": 2}),
    ]
    assert len({encode_arguments(*call)[1] for call in calls}) == len(calls)


class Text(str):
    __slots__ = ()


def local_class():
    @dataclass
    class Local:
        x: int = 1

    return Local()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            object(),
            "a value of type object cannot travel; send plain data, a dataclass, a NamedTuple or an Enum",
        ),
        ([{"a": (sys,)}], "a value of type module cannot travel"),
        ({1: print}, "type builtin_function_or_method"),
        (collections.OrderedDict(a=1), r"type collections.OrderedDict cannot travel; convert it with dict\("),
        (collections.Counter("a"), r"convert it with dict\("),
        (Text("a"), r"type test_codec.Text cannot travel; convert it with str\("),
        ("\ud800", "lone surrogates"),
        (["\ud800", 2**70], "lone surrogates"),
        (local_class(), "local_class.<locals>.Local cannot travel: the class cannot be found by that name"),
        (ValueError("x"), "type ValueError"),
        (memoryview(b"x"), "type memoryview"),
        (Point, "type type cannot travel"),
    ],
)
def test_what_cannot_travel(value, message):
    with pytest.raises(CannotTravel, match=message):
        encode(value)


def test_depth_is_bounded():
    deep = value = []
    for _ in range(90):
        value.append([])
        value = value[0]
    assert decode(encode(deep)) == deep
    endless = []
    endless.append((endless,))
    with pytest.raises(CannotTravel, match="nested deeper than 100 levels, or contains itself"):
        encode(endless)
    with pytest.raises(ValueError, match="nested too deeply"):
        decode(b"\x91" * 100_000 + b"\xc0")


def ext(code, *content):
    data = encode(list(content))
    return bytes([0xC8, *len(data).to_bytes(2, "big"), code]) + data


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("no.such.module:Thing", _codec.DATACLASS),
        ("test_codec:Missing", _codec.DATACLASS),
        ("test_codec:Colour", _codec.DATACLASS),
        ("builtins:eval", _codec.DATACLASS),
        ("subprocess:Popen", _codec.NAMEDTUPLE),
        ("os:environ", _codec.ENUM),
        ("test_codec:Point", _codec.ENUM),
        ("test_codec:Point.__init__", _codec.DATACLASS),
    ],
)
def test_names_resolve_to_such_classes_only(name, code):
    with pytest.raises(TypeError, match=f"received a value of type {name}, but no "):
        decode(ext(code, name, {"x": 1}))


def test_unknown_extensions():
    with pytest.raises(TypeError, match="unknown extension type 99"):
        decode(b"\xd4\x63\xc0")


def test_dataclasses_are_restored_without_their_init():
    arrived = decode(encode(Frozen([1, 2])))
    assert arrived == Frozen([1, 2])
    assert not hasattr(arrived, "seen")


def test_two_versions_of_a_dataclass():
    assert decode(ext(_codec.DATACLASS, "test_codec:Point", {"x": 1, "new": 2})) == Point(1, None)
    assert decode(ext(_codec.DATACLASS, "test_codec:Frozen", {})) == Frozen([])
    with pytest.raises(TypeError, match="test_codec:Point without its field 'x', which has no default"):
        decode(ext(_codec.DATACLASS, "test_codec:Point", {"y": 1}))
