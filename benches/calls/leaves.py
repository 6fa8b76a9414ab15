"""What is called: functions that do nothing, or nothing but call."""

from msx import microservice


@microservice
def leaf(x):
    return x


@microservice
async def aleaf(x):
    return x


@microservice
def size_of(data):
    return len(data)


@microservice
async def asize_of(data):
    return len(data)


@microservice
def parent(x):
    return leaf(x)


@microservice
async def aparent(x):
    return await aleaf(x)


@microservice
def chain_a(x):
    return chain_b(x)


@microservice
def chain_b(x):
    return leaf(x)


@microservice
async def achain_a(x):
    return await achain_b(x)


@microservice
async def achain_b(x):
    return await aleaf(x)


@microservice
def deep(n):
    return deep(n - 1) if n > 1 else n


@microservice
async def adeep(n):
    return await adeep(n - 1) if n > 1 else n


@microservice
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@microservice
async def afib(n):
    return n if n < 2 else await afib(n - 1) + await afib(n - 2)
