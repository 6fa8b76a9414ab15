"""What runs before the first call of an instance and after its last."""

import asyncio
from contextvars import ContextVar

import msx
from marks import mark
from msx import microservice

MODEL = []
POOL: ContextVar[str] = ContextVar("pool", default="none")


@msx.on_start
def loads():
    MODEL.append("model")
    POOL.set("opened")
    mark("hooks.started")


@msx.on_start
async def aloads():
    await asyncio.sleep(0)
    MODEL.append("async model")
    mark("hooks.astarted")


@msx.on_stop
def closes():
    mark("hooks.stopped")


@msx.on_stop
async def acloses():
    await asyncio.sleep(0)
    mark("hooks.astopped")


@microservice
def hooked() -> list:
    return [MODEL, POOL.get()]


@microservice
async def ahooked() -> list:
    return [MODEL, POOL.get()]
