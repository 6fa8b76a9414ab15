"""Classes as services."""

import asyncio
import os

import msx
from msx import microservice

READY = []


@msx.on_start
def prepares():
    READY.append("model")


class Base:
    def __init__(self):
        self.ready, self.calls = list(READY), 0


@microservice
class Counter(Base):
    """Counts its calls."""

    def __init__(self, start: int = 10):
        super().__init__()
        self.start = start

    def __call__(self, by: int, *, times: int = 1) -> list:
        self.calls += 1
        return [self.ready, self.calls, self.start + by * times, os.getpid()]


@microservice(concurrency=5)
class Loop:
    def __init__(self):
        self.loop = asyncio.get_running_loop()

    async def __call__(self, x: int) -> list:
        """Doubles on its own loop."""
        doubled = (await Counter.aio(x))[2]
        return [doubled, self.loop is asyncio.get_running_loop()]


@microservice
class Asks:
    def __call__(self, n: int) -> int:
        return n if n == 0 else 1 + Asks(n - 1)


@microservice
class Fails:
    def __init__(self):
        raise LookupError("no model here")

    def __call__(self):
        pass
