"""Arguments on arrival. A caller without our types (the CLI, plain JSON) sends a dict where the function
wants a dataclass, or text where it wants a datetime: the annotation says what it should become.

Only annotations that name more than plain types are looked at, and a value that does not fit its annotation
stays what it is: annotations are no validation in Python.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import NoneType
from typing import Any

import msgspec

from . import _arrays, _batches, _codec, _models

_PLAIN = {NoneType, bool, int, float, str, bytes, list, dict, object, Any}

Arguments = tuple[list[Any], dict[str, Any]]


def argument_decoder(fn: Callable[..., Any], *, batched: bool = False) -> Callable[[bytes], Any]:
    """`batched`: its annotations are of lists, with an element of each call."""
    wanted = _wanted(fn, batched)
    if not wanted:
        return _codec.decode

    def decode(payload: bytes) -> Any:
        args, kwargs = _codec.decode(payload)
        for index, name, kind in wanted:
            if index is not None and index < len(args):
                args[index] = _convert(args[index], kind)
            elif name in kwargs:
                kwargs[name] = _convert(kwargs[name], kind)
        return args, kwargs

    return decode


def _wanted(fn: Callable[..., Any], batched: bool) -> list[tuple[int | None, str, Any]]:
    """Position, name and type of the parameters whose values may need converting."""
    try:
        hints = typing.get_type_hints(fn)
        hints = _batches.hints_of_one(hints) if batched else hints
        parameters = list(inspect.signature(fn).parameters.values())
    except Exception:  # a name that exists for type checkers only, or a wrapper without a signature
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        (index if parameter.kind in positional else None, parameter.name, hints[parameter.name])
        for index, parameter in enumerate(parameters)
        if parameter.kind not in variadic and parameter.name in hints and not _is_plain(hints[parameter.name])
    ]


def _is_plain(kind: Any) -> bool:
    arguments = typing.get_args(kind)
    if not arguments:
        return isinstance(kind, typing.Hashable) and kind in _PLAIN
    origin = typing.get_origin(kind)
    is_plain_origin = origin in (list, dict) or origin in _UNIONS
    return is_plain_origin and all(_is_plain(argument) for argument in arguments)


_UNIONS = (typing.Union, type(int | str))


def _convert(value: Any, kind: Any) -> Any:
    if type(value) is kind:
        return value
    try:
        return msgspec.convert(value, kind, dec_hook=_from_plain)
    except _Invalid as error:
        raise error.__cause__ or error from None
    except (msgspec.ValidationError, TypeError, ValueError):
        return value


class _Invalid(Exception):
    """Carries the verdict of a pydantic model past msgspec: it is made to be heard."""


def _from_plain(hint: Any, value: Any) -> Any:
    """What msgspec does not know: classes of libraries that are imported, if the annotation names them."""
    kind = typing.get_origin(hint) or hint
    if isinstance(value, kind):
        return value
    if _models.is_model(kind):
        try:
            return kind.model_validate(value)
        except ValueError as error:
            raise _Invalid from error
    library = kind.__module__.partition(".")[0]
    if library == "numpy":
        return _arrays.from_plain(kind, hint, value)
    return kind(value) if library == "pandas" else value
