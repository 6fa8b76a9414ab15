import asyncio

from leaf import leaf
from msx import microservice


@microservice
async def waves(x: int):
    """x + 1"""
    return sum(await asyncio.gather(leaf.aio(x), leaf.aio(1)))
