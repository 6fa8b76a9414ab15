"""What a replay asked for, beside what was asked for in its place before, as people and the hub are told."""

from __future__ import annotations

import reprlib

from . import _codec
from ._protocol import Asked, Difference

# Of arguments; what is longer is shortened.
_SHOWN_BYTES_MAX = 4096
_SHOWN_CHARS_MAX = 120

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 60


def describe_call(service: str, payload: bytes | None, ident: int) -> str:
    """`shop.charge('4000-1', times=2)`, or with a checksum where the arguments are not at hand."""
    shown = None if payload is None or len(payload) > _SHOWN_BYTES_MAX else _arguments(payload)
    return f"{service}({shown})" if shown is not None else f"{service}(…) with arguments {ident:08x}"


def _arguments(payload: bytes) -> str | None:
    try:
        args, kwargs = _codec.decode(payload)
        parts = [_repr.repr(value) for value in args]
        parts += [f"{name}={_repr.repr(value)}" for name, value in kwargs.items()]
    except Exception:  # of a class that is not here any more, or that cannot be shown
        return None
    text = ", ".join(parts)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"


def explain(service: str, difference: Difference) -> str:
    """The message of the error; the hub's own reads the same (`src/core/differences.rs`)."""
    before, now = difference.before, difference.now
    number = "" if now is None else f" at its call number {difference.seq}"
    return (
        f"{service} was run again and did something else than before{number}:\n"
        f"  before: {_shown(before)}\n"
        f"  now:    {'no such call' if now is None else _shown(now)}\n"
        "what comes from random, time, I/O and the like belongs into msx.run(…)"
    )


def _shown(asked: Asked) -> str:
    return f"{asked.call} at {asked.line}" if asked.line else asked.call
