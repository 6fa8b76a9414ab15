"""A class as a service: its `__call__` is the function, of one object that is constructed once per process.

An instance constructs it before it is ready, behind the `on_start` hooks (of an `async def __call__`: on its
event loop); in plain mode the first call does.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any


def why_not(kind: type) -> str | None:
    """What a class lacks to be a service."""
    method = _method(kind)
    if method is None:
        return "it has no __call__; define what a call of the service does as `def __call__(self, …)`"
    if not inspect.isfunction(method):
        return "its __call__ is no method that is written with def or async def"
    wanted = _wanted(kind)
    if wanted:
        return f"its __init__ wants the argument {wanted[0]!r}, but is called without any; give it a default"
    return None


def _method(kind: type) -> Any:
    """Not by `kind.__call__`: that is how the class itself is called, where it defines none."""
    return next((vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)), None)


def _wanted(kind: type) -> list[str]:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):  # one that is written in C does not say
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]


class _Single:
    """The one object of a class in this process."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._made: list[Any] = []
        self._making = threading.Lock()

    def get(self) -> Any:
        if not self._made:
            with self._making:
                if not self._made:
                    self._made.append(self._kind())
        return self._made[0]


def function_of(kind: type) -> Callable[..., Any]:
    """A function like any other: with the signature of `__call__`, and the name of the class."""
    method, single = _method(kind), _Single(kind)

    async def on_loop(*args: Any, **kwargs: Any) -> Any:
        return await single.get()(*args, **kwargs)

    async def items_on_loop(*args: Any, **kwargs: Any) -> Any:
        async with contextlib.aclosing(single.get()(*args, **kwargs)) as items:
            async for item in items:
                yield item

    def items_in_thread(*args: Any, **kwargs: Any) -> Any:
        return (yield from single.get()(*args, **kwargs))

    def in_thread(*args: Any, **kwargs: Any) -> Any:
        return single.get()(*args, **kwargs)

    call: Any = in_thread
    if inspect.iscoroutinefunction(method):
        call = on_loop
    elif inspect.isasyncgenfunction(method):
        call = items_on_loop
    elif inspect.isgeneratorfunction(method):
        call = items_in_thread
    functools.update_wrapper(call, method)
    signature = inspect.signature(method)
    call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    call.__module__, call.__name__, call.__qualname__ = kind.__module__, kind.__name__, kind.__qualname__
    call.__doc__ = method.__doc__ or kind.__doc__
    call.construct = single.get
    return call  # type: ignore[no-any-return]


def constructor_of(fn: Any) -> Callable[[], Any] | None:
    """Constructs the object of a class's function, unless that is done; None for any other function."""
    construct: Callable[[], Any] | None = getattr(fn, "construct", None)
    return construct
