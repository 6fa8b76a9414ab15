"""Values of msgspec, pydantic, numpy and pandas that go to another service and come back."""

import msgspec
import numpy as np
import pandas as pd
import pydantic
from msx import microservice


class Item(msgspec.Struct):
    name: str
    price: float = 0.5


class Line(pydantic.BaseModel):
    name: str
    price: float = 0.5


class Order(pydantic.BaseModel):
    item: Line
    count: int = 1
    _seen: int = pydantic.PrivateAttr(0)


TABLE = pd.DataFrame({"x": [1, 2], "at": pd.to_datetime(["2024-02-29", None]), "who": ["a", None]})
ORDER = Order(item=Line(name="a"), count=2)
ORDER._seen = 3


@microservice
def back(value: object) -> object:
    return value


@microservice
async def aback(value: object) -> object:
    return value


@microservice
def travels(how: str) -> list:
    """What does not come back as it went."""
    send = {"def": back, "async": lambda value: aback.start(value).result()}[how]
    array = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    came = send(array)
    came[0, 0] = 7  # writable
    wrong = [] if (came.dtype, came.flags.f_contiguous, came[1, 2]) == (array.dtype, True, 5) else [repr(came)]
    table = send({"in": [TABLE]})["in"][0]
    wrong += [] if table.equals(TABLE) and (table.dtypes == TABLE.dtypes).all() else [repr(table)]
    values = [Item("a"), ORDER, np.float32(0.5), pd.Timestamp(2024, 1, 1), TABLE.index]
    return wrong + [repr(v) for v, c in zip(values, send(values), strict=True) if repr(v) != repr(c)]


@microservice
def takes(order: Order, array: np.ndarray, table: pd.DataFrame) -> list:
    """Plain JSON as what the annotations say."""
    return [type(order.item).__name__, order.count, float(array.sum()), list(table.columns)]


@microservice
def shows(what: str) -> object:
    return {
        "array": np.arange(4).reshape(2, 2) / 2,
        "scalar": np.int16(3),
        "table": TABLE,
        "order": ORDER,
        "item": Item("a"),
        "objects": np.array([object()]),
        "many": np.zeros(200_000, "i1"),
        "endless": np.zeros((100_000_000, 0)),
    }[what]


@microservice
def large(mebibytes: int) -> int:
    """Arrays near the limit go and come."""
    array = np.ones((mebibytes, 1024, 1024), "u1")
    return int(back(array).sum())
