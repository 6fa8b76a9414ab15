"""Calls that nobody can wait for any more."""

import asyncio
import time

import msx
from marks import mark, marks
from msx import microservice


@microservice(threads=16)
def slow(name: str) -> str:
    """Stays until it is cancelled, or its gate is open."""
    mark(f"{name}.begun")
    try:
        while not marks(f"{name}.open"):
            time.sleep(0.005)
    except msx.Cancelled:
        mark(f"{name}.cancelled")
        raise
    return "slow"


@microservice(threads=16)
def quick(name: str) -> str:
    while not marks(f"{name}.begun"):
        time.sleep(0.005)
    return "quick"


def cancelled(name: str) -> bool:
    """Within a minute."""
    end = time.monotonic() + 60
    while not marks(f"{name}.cancelled") and time.monotonic() < end:
        time.sleep(0.005)
    return marks(f"{name}.cancelled") > 0


@microservice
def loses(name: str) -> list:
    winner = msx.first([slow.start(name), quick.start(name)]).result()
    quick(name)  # what is given up goes out with the next call
    return [winner, msx.run(cancelled, name)]


async def acancelled(name: str) -> bool:
    return await asyncio.to_thread(cancelled, name)


@microservice
async def aloses(name: str) -> list:
    winner = await msx.first([slow.start(name), quick.start(name)])
    return [winner, await msx.run(acancelled, name)]


@microservice
async def gives_up(name: str) -> list:
    task = asyncio.create_task(slow.aio(name))
    await quick.aio(name)
    task.cancel()
    outcome = await asyncio.gather(task, return_exceptions=True)
    kind = type(outcome[0]).__name__
    del task, outcome
    return [kind, await msx.run(acancelled, name)]


@microservice
async def keeps(name: str) -> list:
    """The loser is still there to be waited for."""
    loser, other = slow.start(name), quick.start(name)
    winner = await msx.first([loser, other])
    mark(f"{name}.open")
    return [winner, await loser, marks(f"{name}.cancelled")]
