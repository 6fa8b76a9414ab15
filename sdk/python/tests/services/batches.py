"""Functions that take several calls at once."""

from dataclasses import dataclass

from msx import microservice


@dataclass
class Point:
    x: int


@microservice(batch=4, within="5ms")
def doubles(xs: list[int]) -> list[int]:
    """Twice each."""
    return [x * 2 if x >= 0 else ValueError(f"{x} is negative") for x in xs]


@microservice(batch=4)
async def moves(points: list[Point], *, by: list[int]) -> list[Point]:
    return [Point(point.x + step) for point, step in zip(points, by, strict=True)]


@microservice(batch=4)
def odd(xs: list) -> list:
    """Returns what it is told to."""
    kind = xs[0]
    if kind == "raise":
        raise KeyError("all")
    wrong = {"short": xs[1:], "none": None, "generator": iter(xs), "text": "x" * len(xs)}
    return wrong.get(kind, [object() if x == "object" else x for x in xs])
