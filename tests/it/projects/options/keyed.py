"""Calls with idempotency keys."""

import time

import msx
from marks import mark, marks
from msx import microservice


@microservice(threads=4)
def charge(name: str, amount: int) -> list:
    mark(f"{name}.charged")
    while not marks(f"{name}.open"):
        time.sleep(0.005)
    if amount < 0:
        raise ValueError("a negative amount")
    return [amount, marks(f"{name}.charged")]


@microservice
def twice(name: str) -> list:
    """Two calls with one key: the second follows the first while that runs."""
    first = charge.options(idempotency_key=name).start(name, 1)
    second = charge.options(idempotency_key=name).start(name, 1)
    mark(f"{name}.open")
    return [first.result(), second.result(), charge.options(idempotency_key=name)(name, 1)]


@microservice
async def atwice(name: str) -> list:
    mark(f"{name}.open")
    one = charge.options(idempotency_key=name)
    return [await one.aio(name, 1), await one.aio(name, 1)]


@microservice
def conflicts(name: str) -> str:
    mark(f"{name}.open")
    charge.options(idempotency_key=name)(name, 1)
    try:
        charge.options(idempotency_key=name)(name, 2)
    except msx.IdempotencyConflict as error:
        return str(error)
    return "no conflict"
