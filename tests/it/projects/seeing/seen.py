"""Calls that stay where they are until a test lets them go: until a file is there."""

import asyncio
import time
from pathlib import Path

import msx
from msx import microservice


@microservice
def gate(name: str):
    msx.summary(f"at {name}")
    Path(f"{name}.reached").touch()
    while not Path(f"{name}.open").exists():
        time.sleep(0.01)
    return name


@microservice
def passes(name: str):
    msx.summary(f"to {name}\n\x1b[31mnow")
    return gate(name)


@microservice
async def apasses(name: str):
    async def one(part: int):
        return await gate.aio(f"{name}{part}")

    return await asyncio.gather(one(0), one(1))


@microservice
def dives(depth: int, name: str):
    """A chain of calls with a gate at its end."""
    if depth == 0:
        return gate(name)
    return dives(depth - 1, name) + "."


@microservice
def spreads(count: int, name: str):
    """Many calls at once, of which one holds the slot."""
    return len(msx.gather(*[gate.start(f"{name}{part}") for part in range(count)]))


@microservice
def spins(name: str):
    """Takes the processor, and lets go of nothing."""
    Path(f"{name}.reached").touch()
    while not Path(f"{name}.open").exists():
        pass


@microservice
def catches(name: str):
    """Sees how a call that it made was cancelled."""
    try:
        gate(name)
    except msx.Cancelled as error:
        return f"{type(error).__name__}: {error}"


@microservice
async def acatches(name: str):
    try:
        await gate.aio(name)
    except msx.Cancelled as error:
        return f"{type(error).__name__}: {error}"


@microservice
def fails():
    raise ValueError("no such thing")
