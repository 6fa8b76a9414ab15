import asyncio
import msx
from msx import microservice


@microservice
async def add(x, y):
    return x + y


@microservice
async def fib(n):
    return n if n < 2 else await fib(n - 1) + await fib(n - 2)


@microservice
async def gather_fib(n):
    if n < 2:
        return n
    x, y = await msx.gather(gather_fib(n - 1), gather_fib(n - 2))
    return x + y


@microservice
async def task_fib(n):
    if n < 2:
        return n
    x, y = await asyncio.gather(task_fib(n - 1), task_fib.start(n - 2))
    return x + y
