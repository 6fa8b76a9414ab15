"""Services that only answer."""

import threading
from collections import Counter

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
