"""Futures: waited for late, in any order, twice, or never; and what a replay may not change."""

import time

import msx
from behaviour import echo
from cases import Cases
from loops import tick
from marks import mark, marks
from msx import microservice

HOWS = Cases()


@microservice
def parent(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return HOWS[how](name)


@HOWS
def waits_late(name):
    futures = [tick.start(i, name) for i in range(4)]
    middle = tick(100, name)
    backwards = [future.result() for future in reversed(futures)]
    again = [future.result() for future in futures]
    return [middle, backwards, again]


@HOWS
def leaves(name):
    """Ends with two unfinished children; the second waits behind the first for the only slot."""
    napper.start(name)
    napper.start(name)
    while not marks(f"{name}.napping"):
        time.sleep(0.005)
    return "left"


@microservice
def napper(name: str) -> None:
    """Goes on until it is cancelled."""
    mark(f"{name}.napping")
    try:
        for _ in range(10_000):
            time.sleep(0.005)
    except msx.Cancelled:
        mark(f"{name}.cancelled")
        raise


@microservice
def sets(words: set[str]) -> list:
    """The order in which the sets are walked decides which calls are made."""
    own = {f"own {i}" for i in range(20)}
    return [[echo(word) for word in words] == list(words), [echo(word) for word in own] == list(own)]


# What follows does something else when it runs again.


def is_first(name):
    return marks(f"{name}.begun") == 1


@HOWS
def other_arguments(name):
    echo(1 if is_first(name) else 2)
    tick(3, name)


@HOWS
def other_service(name):
    echo(1) if is_first(name) else tick(1, name)
    tick(3, name)


@HOWS
def one_more(name):
    if not is_first(name):
        msx.gather(echo.start(0))
    echo(1)
    tick(3, name)


@HOWS
def one_less(name):
    future = echo.start(1)
    if is_first(name):
        echo(2)
    future.result()
    tick(3, name)


@HOWS
def memo_for_call(name):
    if not is_first(name):
        msx.run(time.time)
    echo(1)
    tick(3, name)


@HOWS
def call_for_memo(name):
    if is_first(name):
        msx.run(time.time)
    echo(1)
    tick(3, name)


@HOWS
def pending_differs(name):
    """What differs is a call whose answer is not there yet when the call runs again."""
    late = echo.start(1) if is_first(name) else echo.start(2)
    echo(0)
    late.result()
    tick(3, name)


@HOWS
def swallowed(name):
    try:
        echo(1 if is_first(name) else 2)
    except Exception:
        mark(f"{name}.swallowed")
    return "swallowed"
