"""`msx.run`: a side effect that happens once per call, however often the call is run again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from . import _context

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@overload
def run(
    fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, T]: ...
@overload
def run(fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
def run(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Runs the function and records its result; when the call is run again, it gets the recorded one.

    `msx.run(time.time)`, `msx.run(uuid.uuid4)`, `msx.run(charge, card)`; `await msx.run(fetch, url)` of an
    `async def`. The function must not call services, and its result must be able to travel.
    """
    return _context.runtime.current().memo(fn, args, kwargs)
