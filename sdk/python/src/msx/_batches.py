"""Functions that take several calls at once: `@microservice(batch=32, within="5ms")`.

Each caller gives one element for each parameter, and gets one result. A run is given a list for each
parameter, with an element of each call, and returns a list of as many results, in the same order. An element
of it that is an exception is raised at that one caller.

In plain mode, and by `.local`, a run is given lists of one.
"""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ._service import Service

_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class NobodyLeft(Exception):
    """None of the calls has arguments that fit: there is nothing to run."""


def why_not(fn: Callable[..., Any]) -> str | None:
    """What keeps a function from being given lists."""
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        return "generators are streams: with batch= it must return a list, with an element for each call"
    parameters = list(inspect.signature(fn).parameters.values())
    if not parameters:
        return "with batch= it is given a list for each of its parameters, but it has none"
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return f"with batch= it is given a list for each of its parameters; {parameter} is no such"
        if parameter.default is not parameter.empty:
            return (
                f"with batch= its parameter {parameter.name!r} is a list with an element of each call, so it "
                "has no default: let callers give it"
            )
    return None


# --- one call of a function that takes lists ---------------------------------------------------------------


def single(service: Service[..., Any]) -> Callable[..., Any]:
    """The function as a caller sees it: it takes one element for each parameter, and returns one."""
    fn: Any = service.fn
    if service.is_async:

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            return _only(service, await fn(*_listed(args), **_listed_items(kwargs)))

        return functools.update_wrapper(call_async, fn)

    def call(*args: Any, **kwargs: Any) -> Any:
        return _only(service, fn(*_listed(args), **_listed_items(kwargs)))

    return functools.update_wrapper(call, fn)


def _listed(args: Sequence[Any]) -> list[list[Any]]:
    return [[value] for value in args]


def _listed_items(kwargs: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [value] for name, value in kwargs.items()}


def _only(service: Service[..., Any], value: Any) -> Any:
    [result] = results(service.name, value, 1)
    if isinstance(result, BaseException):
        raise result
    return result


# --- a run for several calls -------------------------------------------------------------------------------


class Batch:
    """The calls of one run, by their place."""

    __slots__ = ("refused", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.refused: dict[int, BaseException] = {}  # their arguments do not fit: the run is not given them

    def open(self, service: Service[..., Any], payload: bytes) -> tuple[list[Any], dict[str, Any]]:
        """What the function is called with."""
        rows: list[dict[str, Any]] = []
        for place, arguments in enumerate(_split(payload)):
            try:
                rows.append(_bind(service, *service.decode_arguments(arguments)))
            except Exception as error:
                self.refused[place] = error
        if not rows:
            raise NobodyLeft
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in _signature(service).parameters.values():
            column = [row[parameter.name] for row in rows]
            if parameter.kind is parameter.KEYWORD_ONLY:
                kwargs[parameter.name] = column
            else:
                args.append(column)
        return args, kwargs

    def answers(self, name: str, error: BaseException | None, value: Any) -> list[Any]:
        """A result or an exception for each call. Raises what is to be raised at all of them."""
        if error is None:
            given = results(name, value, self.size - len(self.refused))
        elif self.refused:
            given = [error] * (self.size - len(self.refused))
        else:
            raise error
        remaining = iter(given)
        return [
            self.refused[place] if place in self.refused else next(remaining) for place in range(self.size)
        ]


def _signature(service: Service[..., Any]) -> inspect.Signature:
    known: inspect.Signature = service.__dict__.setdefault("_parameters", inspect.signature(service.fn))
    return known


def _bind(service: Service[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of one call by their names."""
    try:
        return _signature(service).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{service.fn.__name__}(): {error}") from None


def results(name: str, value: Any, count: int) -> list[Any]:
    """What a run has returned, as a list with a result for each of its calls."""
    numpy = sys.modules.get("numpy")
    if not isinstance(value, (list, tuple)) and not (numpy and isinstance(value, numpy.ndarray)):
        raise TypeError(
            f"{name} runs batches: it must return a list with a result for each of its calls, "
            f"not a {type(value).__name__}"
        )
    if len(value) != count:
        raise ValueError(
            f"{name} runs batches: for its {count} call{'s' if count != 1 else ''} it must return a list of "
            f"{count}, in their order, but it returned {len(value)}"
        )
    return list(value)


# --- what a caller sees ------------------------------------------------------------------------------------


def element_of(hint: Any) -> Any:
    """The type of an element of what a run is given or returns; `Any` where the annotation does not say."""
    if typing.get_origin(hint) is None:
        return Any
    arguments = typing.get_args(hint)
    return arguments[0] if len(arguments) == 1 else Any


def hints_of_one(hints: dict[str, Any]) -> dict[str, Any]:
    """The annotations of a function that takes lists, for one call."""
    return {name: element_of(hint) for name, hint in hints.items()}


def signature_of_one(fn: Callable[..., Any], hints: dict[str, Any]) -> inspect.Signature:
    """As a caller calls it; `hints` are those of one call."""
    signature = inspect.signature(fn)
    of_one = [
        parameter.replace(annotation=_shown(hints.get(parameter.name, Any)))
        for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=of_one, return_annotation=_shown(hints.get("return", Any)))


def _shown(hint: Any) -> Any:
    return inspect.Parameter.empty if hint is Any else hint
