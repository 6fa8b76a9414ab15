"""Calls that wait at a gate, which a test opens."""

import time

from marks import mark, marks
from msx import microservice
from plain import echo


@microservice(threads=8)
def gate(name: str) -> str:
    mark(f"{name}.waiting")
    while not marks(f"{name}.open"):
        time.sleep(0.005)
    return "open"


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
