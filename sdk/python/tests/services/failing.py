"""Services of the tests that end badly."""

import sys

import msx
from msx import microservice


class Trouble(ValueError):
    """Its `__init__` takes something else than its args."""

    def __init__(self, code, *, detail):
        super().__init__(f"trouble {code}")
        self.code = code
        self.detail = detail


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


@microservice
def deep(x):
    raise Trouble(x, detail=(1, 2))


@microservice
def middle(x):
    return deep(x)


@microservice
def top(x):
    return middle(x)


@microservice
def caused():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("outer") from error


@microservice
def leave():
    sys.exit(3)


@microservice
def interrupt():
    raise KeyboardInterrupt


@microservice
def unprintable():
    raise Unprintable


@microservice
def unserialisable():
    return [1, sys]


@microservice
def bad_argument(x):
    return deep(object())


@microservice
def recursion():
    return recursion.local()


@microservice
def file():
    open("/nonexistent/file")


@microservice
def huge(n):
    return b"x" * n


@microservice
def huge_error(n):
    raise ValueError("y" * n)


@microservice
def wrong_arguments():
    return deep(1, 2, 3)


@microservice
def catches():
    """What a caller sees of an error."""
    try:
        top(7)
    except Trouble as error:
        return {
            "type": type(error).__qualname__,
            "is": [isinstance(error, kind) for kind in (Trouble, ValueError, msx.RemoteError)],
            "str": str(error),
            "args": error.args,
            "code": error.code,
            "detail": error.detail,
            "service": error.service,
            "via": error.via,
            "traceback": error.traceback,
        }


class Slotted(Exception):
    """Its fields are outside of `__dict__`, and its `__new__` wants what nobody else knows."""

    __slots__ = ("_inner", "code")

    def __new__(cls, code, *, why):
        return super().__new__(cls, code)

    def __init__(self, code, *, why):
        self.code = code
        self._inner = (why,)


@microservice
def slotted():
    raise Slotted(7, why="so")


@microservice
def in_context():
    try:
        {}["missing"]
    except KeyError:
        raise ValueError("outer")  # noqa: B904


@microservice
def suppressed():
    try:
        {}["missing"]
    except KeyError:
        raise ValueError("outer") from None


@microservice
def caused_in_context():
    try:
        {}["missing"]
    except KeyError:
        raise ValueError("outer") from OSError(5, "disk")


@microservice
def caught_in_context():
    """The remote context stays, although another exception is being handled here."""
    try:
        raise RuntimeError("here")
    except RuntimeError:
        return in_context()


@microservice
def noted(x):
    try:
        return deep(x)
    except Trouble as error:
        if hasattr(error, "add_note"):
            error.add_note("while it was noted")
        raise


@microservice
def wraps(x):
    try:
        return noted(x)
    except Trouble as error:
        raise LookupError("wrapped") from error


@microservice
def three_hops(x):
    return wraps(x)


@microservice
def ring():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__, second.__cause__ = second, first, first
    raise first


@microservice
def bush():
    """Each has a cause and another context: a tree of two to the power of its depth."""
    last = ValueError("leaf")
    for at in range(40):
        branch = ValueError(f"branch {at}")
        branch.__cause__, branch.__context__ = last, ValueError("other")
        branch.__context__.__cause__ = last
        last = branch
    raise last


@microservice
def unimportable():
    local = type("Local", (KeyError,), {"__module__": "not.here"})
    raise local("k")


@microservice
def grouped():
    from builtins import ExceptionGroup

    try:
        deep(1)
    except Trouble as error:
        members = [error, ExceptionGroup("inner", [OSError(2, "gone"), SystemError()])]
        members[1].exceptions[0].__cause__ = KeyError("why")
        raise ExceptionGroup("several", members) from None


@microservice
def passes_group():
    return grouped()


@microservice
async def task_group():
    import asyncio

    async with asyncio.TaskGroup() as group:
        group.create_task(deep.aio(1))
        group.create_task(asyncio.sleep(60))


@microservice
def exits_in_group():
    from builtins import BaseExceptionGroup

    raise BaseExceptionGroup("mixed", [SystemExit(3), ValueError("v")])
