"""Values of all kinds that go to another service and come back."""

import datetime
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf, nan
from typing import NamedTuple

from described import described
from msx import microservice
from plain import echo


class Colour(enum.Enum):
    RED = "red"
    BLUE = ("b", 2)


class Level(enum.IntEnum):
    LOW = 1


class Flags(enum.Flag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: tuple


@dataclass
class Order:
    item: str
    left: "Order | None" = None
    tags: set = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Fixed:
    at: datetime.datetime
    amount: Decimal


ZONE = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))

VALUES = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**400, -(10**400),
    0.0, -0.0, 1.5, 1e308, 5e-324, inf, -inf, nan,
    "", "é", "日本語", "\U0001f600", "\x00", "a\r\nb", "x" * 100_000, b"", b"\x00\xff", bytearray(b"\x01"),
    b"y" * 70_000,
    [], [[]], [None, [1, "a", [b"b"]]], (), (1,), (1, (2, [3, ()])), set(), {1, "a", (2, None)},
    frozenset({frozenset()}),
    {}, {"a": 1}, {1: "int", "1": "str", 1.5: "float", None: "none", b"b": "bytes"},
    {(1, (2, "x")): {"nested": ()}, ((), ((),)): 1}, {2**70: "big key"}, {frozenset({1}): 1},
    {Colour.RED: 1, uuid.UUID(int=1): 2, datetime.date(2024, 1, 1): 3},
    {"z": 1, "a": 2, "m": 3},
    datetime.datetime(2024, 2, 29, 23, 59, 59, 999999), datetime.datetime(1, 1, 1, tzinfo=ZONE),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.date(9999, 12, 31), datetime.time(0, 0, 0, 1), datetime.time(1, 2, tzinfo=ZONE),
    datetime.timedelta(days=-1, microseconds=1), datetime.timedelta.max,
    Decimal("1.10"), Decimal("-0"), Decimal("1E+1000"), Decimal("NaN"), Decimal("Infinity"),
    uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678"),
    1 + 2j, complex(nan, -0.0),
    Colour.RED, Colour.BLUE, Level.LOW, Flags.A | Flags.B, {Colour.RED: [Level.LOW]},
    Point(1, (2,)), [Point(0, ())], Order("a", Order("b", tags={1}), {"x"}),
    Fixed(datetime.datetime(2024, 1, 1), Decimal(1)),
    {"k": [{"k": ({1}, {"k": [Point(1, ())]})}]},
]  # fmt: skip


@microservice
def back(value: object) -> object:
    return value


@microservice
async def aback(value: object) -> object:
    return value


def same(a: object, b: object) -> bool:
    """Equal, of the same types down to the innermost; nan is equal to itself here."""
    return type(a) is type(b) and (repr(a) == repr(b) or (isinstance(a, set) and a == b))


@microservice
def travels() -> list:
    """What does not come back as it went."""
    changed = [
        [repr(value)[:80], repr(came)[:80]] for value in VALUES if not same(value, came := back(value))
    ]
    everything = back(VALUES)
    changed += [
        ["together", repr(a)[:80], repr(b)[:80]]
        for a, b in zip(VALUES, everything, strict=True)
        if not same(a, b)
    ]
    return [len(VALUES), changed]


@microservice
async def atravels() -> list:
    changed = [
        [repr(value)[:80], repr(came)[:80]] for value in VALUES if not same(value, came := await aback(value))
    ]
    return [len(VALUES), changed]


class Own:
    pass


class SubInt(int):
    pass


def self_containing():
    value = []
    value.append(value)
    return value


def deep():
    value = None
    for _ in range(10_000):
        value = [value]
    return value


CANNOT = {
    "object": lambda: Own(),
    "function": lambda: same,
    "class": lambda: Own,
    "inside": lambda: {"a": [1, (2, {3: Own()})]},
    "subclass": lambda: SubInt(3),
    "self_containing": self_containing,
    "deep": deep,
    "surrogates": lambda: "\ud800",
    "generator": lambda: (i for i in range(3)),
    "unknown_there": lambda: Colour.RED,
    "local_class": lambda: enum.Enum("Local", "A").A,
}


@microservice
def cannot_travel(what: str) -> dict:
    try:
        return {"value": repr(echo("fine", CANNOT[what]()))}
    except Exception as error:
        return described(error)


@microservice
def order(item: Order, at: datetime.datetime, levels: dict[str, Level], points: list[Point]) -> list:
    """Annotated arguments, which arrive as plain data from the command line and the gateway."""
    return [type(item).__name__, type(item.left).__name__, at.isoformat(), str(levels["a"]), points[0].x]
