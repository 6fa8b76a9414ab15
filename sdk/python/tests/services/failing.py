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
