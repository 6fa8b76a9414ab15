"""Services of the tests: `async def`."""

import asyncio

from basic import add, count

import msx
from msx import microservice


@microservice
async def plus(x, y):
    return x + y


@microservice
async def fib(n):
    return n if n < 2 else await fib(n - 1) + await fib(n - 2)


@microservice
async def gather_fib(n):
    if n < 2:
        return n
    x, y = await msx.gather(gather_fib(n - 1), gather_fib.start(n - 2))
    return x + y


@microservice
async def task_fib(n):
    if n < 2:
        return n
    x, y = await asyncio.gather(task_fib(n - 1), task_fib.start(n - 2))
    return x + y


@microservice
async def chain(n):
    total = 0
    for _ in range(n):
        total = await plus(total, 1)
    return total


@microservice
async def fan(n):
    return sum(await msx.gather(*[plus(i, 1) for i in range(n)]))


@microservice
async def task_fan(n):
    return sum(await asyncio.gather(*[plus(i, 1) for i in range(n)]))


@microservice
async def pipelines(n):
    """Tasks that each make several calls, one after the other: the interleaving numbers the calls."""

    async def pipeline(i):
        x = await plus(i, 100)
        y = await plus(x, 100)
        return await plus(y, 100)

    tasks = [asyncio.create_task(pipeline(i)) for i in range(n)]
    return [await task for task in tasks]


@microservice
async def first_of(n):
    """`asyncio.wait`, task by task."""
    waiting = {asyncio.create_task(plus(i, 0)) for i in range(n)}
    total = 0
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            total = await plus(total, task.result())
    return total


@microservice
async def calls_def(x):
    return [await add.aio(x, 1), await add.start(x, 2)]


@microservice
async def sync_call(x):
    return add(x, 1)


@microservice
async def sync_result(x):
    return add.start(x, 1).result()


@microservice
async def in_thread():
    return await asyncio.to_thread(add.start, 1, 2)


@microservice
async def swallow(x):
    try:
        y = await plus(x, 1)
    except:  # noqa: E722
        y = -1
    finally:
        z = await plus(x, 2)
    return [y, z]


@microservice
async def timeout(x):
    """The call goes on without having been resumed."""
    try:
        await asyncio.wait_for(never(), 0.05)
    except asyncio.TimeoutError:
        return await plus(x, 1)


@microservice
async def never():
    await asyncio.sleep(3600)


@microservice
async def sleeps(x):
    await asyncio.sleep(0.01)
    y = await plus(x, 1)
    await asyncio.sleep(0.01)
    return await plus(y, 1)


@microservice
async def exits():
    raise SystemExit(3)


@microservice
async def exits_in_task():
    async def leave():
        raise SystemExit(3)

    await asyncio.create_task(leave())


@microservice
async def forgets_task(x):
    """A task that still waits when the call returns."""
    task = asyncio.create_task(plus(x, 1))
    await asyncio.sleep(0)
    leftovers.append(task)
    return await plus(x, 2)


leftovers = []


@microservice
async def memo(name):
    value = await msx.run(fetch, name)
    return [value, await plus(1, 1), await msx.run(fetch, name)]


fetched = []


async def fetch(name):
    await asyncio.sleep(0)
    fetched.append(name)
    return len(fetched)


@microservice
async def counted(name):
    return [await count.aio(name), await count.aio(name)]


@microservice
async def boom():
    raise LookupError("not here")


@microservice
async def gather_errors():
    try:
        await msx.gather(plus(1, 2), boom(), plus(3, "x"))
    except LookupError as error:
        return str(error)


@microservice
async def mixed(x):
    """The main task waits for a result of its own while a task that it made ends."""
    task = asyncio.create_task(plus(x, 1))
    own = await plus(x, 2)
    late = plus.start(x, 3)
    return [own, await task, await late, await plus(x, 4)]


@microservice
async def completed(n):
    total = []
    for next_done in asyncio.as_completed([plus(i, 0) for i in range(n)]):
        total.append(await plus(await next_done, 10))
    return sorted(total)


@microservice
async def waits_for(x):
    return await asyncio.wait_for(plus(x, 1), 30)


@microservice
async def group(n):
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(plus(i, await plus(i, 1))) for i in range(n)]
    return [task.result() for task in made]


@microservice
async def nested(n):
    async def inner(i):
        return sum(await asyncio.gather(*[asyncio.create_task(plus(i, j)) for j in range(3)]))

    return sum(await asyncio.gather(*[inner(i) for i in range(n)]))
