"""Services that only answer."""

from msx import microservice


@microservice
def echo(value: object) -> object:
    return value


@microservice
async def aecho(value: object) -> object:
    return value
