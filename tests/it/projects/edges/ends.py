"""Calls that take their thread, or their process, with them."""

import ctypes
import os
import sys
import threading

import msx
from cases import Cases
from described import described
from msx import microservice

HOWS = Cases()


@microservice
def ends(how: str) -> object:
    return HOWS[how]()


@microservice
async def aends(how: str) -> object:
    return HOWS[how]()


@microservice
def asks(how: str, of: str = "ends") -> dict:
    try:
        return {"value": {"ends": ends, "aends": aends}[of].start(how).result()}
    except Exception as error:
        return described(error)


@microservice
def asks_twice(how: str, of: str) -> list:
    """An outcome stays what it was."""
    future = {"ends": ends, "aends": aends}[of].start(how)
    said = []
    for _ in range(2):
        try:
            future.result()
        except BaseException as error:
            said.append(str(error))
    return said


@microservice
async def aasks(how: str) -> dict:
    try:
        return {"value": await aends(how)}
    except Exception as error:
        return described(error)


@HOWS
def exits():
    sys.exit(3)


@HOWS
def killed():
    os.kill(os.getpid(), 9)


@HOWS
def exits_at_once():
    os._exit(7)


@HOWS
def crashes():
    ctypes.string_at(0)


@HOWS
def returns_a_lock():
    return {"locks": [threading.Lock()]}


@HOWS
def returns_a_generator():
    return (i for i in range(3))


@HOWS
def interrupted():
    raise KeyboardInterrupt


@HOWS
def cancels_itself():
    raise msx.Cancelled("by itself")


class Unspeakable(Exception):
    def __init__(self, lock, *, needed):
        self.lock = lock
        self.needed = needed

    def __str__(self):
        raise RuntimeError("no text")


@HOWS
def raises_the_unspeakable():
    raise Unspeakable(threading.Lock(), needed=1)


@HOWS
def raises_surrogates():
    raise ValueError("half a pair: \ud800")


@HOWS
def raises_much():
    raise ValueError("x" * 40_000_000)


@HOWS
def raises_a_group():
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])  # noqa: F821


@HOWS
def raises_from_itself():
    error = ValueError("its own cause")
    error.__cause__ = error
    raise error


@HOWS
def recurses():
    return recurses()


class Nested:
    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"<{self.inner!r}>"


@HOWS
def recurses_in_c():
    nested = None
    for _ in range(100_000):
        nested = Nested(nested)
    return repr(nested)


@HOWS
def recurses_in_sorted():
    def compare(_):
        return sorted([1], key=compare)[0]

    return compare(1)
