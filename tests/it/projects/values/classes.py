"""Classes as services."""

import asyncio
import os

from msx import microservice


@microservice
class Model:
    """Scales by what it has loaded."""

    def __init__(self):
        self.factor, self.calls = 10, 0

    def __call__(self, x: int) -> list:
        self.calls += 1
        return [self.factor * x, self.calls, os.getpid()]


@microservice
class Loop:
    def __init__(self):
        self.loop = asyncio.get_running_loop()

    async def __call__(self, x: int) -> list:
        return [(await Model.aio(x))[0], self.loop is asyncio.get_running_loop()]
