"""Services that only answer."""

import os
import threading
from collections import Counter
from pathlib import Path

from msx import microservice


@microservice
def echo(value: object) -> object:
    return value


@microservice
async def aecho(value: object) -> object:
    return value


CALLS: Counter[int] = Counter()
COUNTING = threading.Lock()


@microservice
def counts(x: int) -> int | list[int]:
    """Returns `x`; below zero, how many calls there were of how many numbers."""
    with COUNTING:
        if x < 0:
            return [sum(CALLS.values()), len(CALLS)]
        CALLS[x] += 1
    return x


@microservice
def notes(x: int) -> int:
    """Notes down that it has begun."""
    file = os.open(Path(__file__).with_name("begun"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{x}\n".encode())
    os.close(file)
    return x
