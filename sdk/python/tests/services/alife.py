import asyncio
import gc
import os
import time

from forking import in_fork

import msx
from msx import microservice
from msx._replay import Call

started = []


@msx.on_start
async def start():
    started.append(asyncio.get_running_loop())


@msx.on_stop
async def stop():
    print("stopped", flush=True)


@microservice
async def same_loop():
    return started[0] is asyncio.get_running_loop()


@microservice
async def echo(x):
    return x


@microservice
async def spin(seconds, started=None):
    if started:
        open(started, "w").close()
    time.sleep(seconds)
    return "end"


@microservice
async def sleeps():
    await same_loop()
    await nap()


async def nap():
    await asyncio.sleep(60)


@microservice
async def child_first():
    await same_loop()
    await asyncio.sleep(60)


@microservice
async def live_calls(fail):
    """How many calls this process knows, when nobody collects cycles."""
    gc.disable()
    if fail:
        raise ValueError
    return sum(isinstance(thing, Call) for thing in gc.get_objects())


@microservice
async def stubborn():
    while True:
        try:
            return await same_loop()
        except:  # noqa: E722
            pass


@microservice
async def memo_and_child(released):
    memo = asyncio.create_task(msx.run(until_exists, released))
    await same_loop()
    await memo


async def until_exists(path):
    while not os.path.exists(path):
        await asyncio.sleep(0.01)


@microservice
async def forks():
    return in_fork(same_loop)


@microservice
async def blocks(seconds, in_task=False):
    if in_task:
        await asyncio.create_task(block(seconds))
    else:
        await block(seconds)


async def block(seconds):
    time.sleep(seconds)
