"""Calls that wait at a gate, which a test opens."""

import asyncio
import time

import msx
from marks import mark, marks
from msx import microservice
from plain import echo


@microservice(threads=8)
def gate(name: str) -> str:
    mark(f"{name}.waiting")
    try:
        while not marks(f"{name}.open"):
            time.sleep(0.005)
    except msx.Cancelled:
        mark(f"{name}.cancelled")
        raise
    return "open"


@microservice
async def agate(name: str) -> str:
    mark(f"{name}.waiting")
    try:
        while not marks(f"{name}.open"):
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        mark(f"{name}.cancelled")
        raise
    return "open"


@microservice
def passes(name: str) -> str:
    return agate.start(name).result()


@microservice
async def apasses(name: str) -> str:
    return await gate.aio(name)


@microservice
def waits(name: str, words: set[str]) -> list:
    """Walks a set; in the middle of it, it waits at the gate."""
    mark(f"{name}.begun")
    walked = []
    for i, word in enumerate(words):
        if i == 3:
            gate(name)
        walked.append(echo(word))
    return [walked == list(words), len(walked)]


@microservice
async def awaits(name: str, words: set[str]) -> list:
    mark(f"{name}.begun")
    walked = []
    for i, word in enumerate(words):
        if i == 3:
            await gate.aio(name)
        walked.append(await echo.aio(word))
    return [walked == list(words), len(walked)]
