"""A service of a module that the manifest does not name."""

from msx import microservice


@microservice
def stranger(x: int) -> int:
    return x


@microservice
async def astranger(x: int) -> int:
    return x
