"""What is called."""

import time

from marks import mark
from msx import microservice


@microservice
def tick(value: object, name: str) -> object:
    mark(f"{name}.tick")
    return value


@microservice
async def atick(value: object, name: str) -> object:
    mark(f"{name}.tick")
    return value


@microservice
def slow(name: str) -> str:
    mark(f"{name}.slow")
    time.sleep(0.4)
    return "slow"


@microservice
def double(value: int) -> int:
    return 2 * value


@microservice
def fails(value: object, name: str) -> None:
    mark(f"{name}.failed")
    raise LookupError(f"no {value}")
