"""What is called."""

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
def double(value: int) -> int:
    return 2 * value


@microservice
def fails(value: object, name: str) -> None:
    mark(f"{name}.failed")
    raise LookupError(f"no {value}")
