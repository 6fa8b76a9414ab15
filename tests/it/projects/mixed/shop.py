import asyncio
import datetime
import enum
import time
import traceback
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msx
from msx import microservice
from msx.services import echo, js_fib, js_raises, passes, raises_several


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: float


@microservice
def double(x: int) -> int:
    return x * 2


@microservice
def py_fib(n: int) -> int:
    if n < 2:
        return n
    first, second = msx.gather(js_fib.start(n - 1), js_fib.start(n - 2))
    return int(first) + int(second)


@microservice
async def gate(file: str) -> str:
    Path(f"{file}.waits").touch()
    deadline = time.monotonic() + 60
    while not Path(file).exists() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return file


@microservice
def raises(text: str) -> None:
    error = ValueError(text)
    error.order = 17
    raise error


@microservice
def travels() -> list[str]:
    """What does not come back from JavaScript as it was."""
    values = [
        None, True, 1, 2**53 + 1, 2**64, -(2**70), 1.5, "ä€😀", b"\x00\xff", [1, [2]], {"b": 1, "a": {}},
        {1: "one", (2, 3): "pair"}, (1, (2,)), {1, "a"}, frozenset({1}), Decimal("1.10"), UUID(int=1), 1 - 2j,
        Colour.RED, Point(1, 2.5), datetime.date(2024, 2, 29), datetime.timedelta(seconds=5),
        datetime.datetime(2024, 2, 29, 12, 30, 1, 500),
        datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    ]  # fmt: skip
    back = echo(values)
    return [f"{a!r} {b!r}" for a, b in zip(values, back, strict=True) if a != b or type(a) is not type(b)]


@microservice
def catches_js() -> dict[str, object]:
    try:
        js_raises("no stock")
    except msx.RemoteError as error:
        return {
            "name": type(error).__name__,
            "text": str(error),
            "service": error.service,
            "code": error.code,
            "traceback": error.traceback,
            "cause": repr(error.__cause__),
            "printed": traceback.format_exc(),
        }
    return {}


@microservice
def catches_group() -> list[str]:
    try:
        raises_several()
    except BaseException as error:
        members = getattr(error, "exceptions", None) or error.args[1]
        return [type(error).__name__, str(error.args[0]), *(str(member) for member in members)]
    return []


@microservice
def catches_own() -> list[str]:
    try:
        passes("no such order")
    except ValueError as error:
        return [str(error), str(error.order), error.service, *error.via]
    return []
