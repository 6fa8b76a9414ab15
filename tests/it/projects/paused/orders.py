"""Each call asks for what the file `item` says, and so for something else when it is replayed later."""

import asyncio
import time
from pathlib import Path

import msx
from msx import microservice


def item() -> int:
    return int(Path("item").read_text())


def wait_for(gate: str) -> None:
    Path(f"{gate}.reached").touch()
    while not Path(f"{gate}.open").exists():
        time.sleep(0.01)


@microservice
def double(x: int) -> int:
    return 2 * x


@microservice
def gated(gate: str, x: int) -> int:
    wait_for(gate)
    return x


@microservice
def recorded(gate: str) -> list[int]:
    """The first call has its result when the function is replayed."""
    first = double(item())
    return [first, gated(gate, first)]


@microservice
async def arecorded(gate: str) -> list[int]:
    first, _ = await asyncio.gather(asked(), asyncio.sleep(0))
    return [first, await gated.aio(gate, first)]


async def asked() -> int:
    return await double.aio(item())


@microservice
def pending(gate: str, slow: str) -> list[int]:
    """The first call has none yet."""
    first = gated.start(slow, item())
    gated(gate, 0)
    return [first.result()]


@microservice
def memo(gate: str) -> list[int]:
    """What was a call is an `msx.run`."""
    first = double(1) if item() == 1 else msx.run(item)
    return [first, gated(gate, first)]


@microservice
def fails(gate: str) -> list[int]:
    first = double(item())
    return [first, gated(gate, first)]


@microservice
def caller(gate: str) -> list[int]:
    return recorded(gate)
