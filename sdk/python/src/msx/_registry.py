"""The services that this process has seen decorated, by canonical name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._service import Service

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

services: dict[str, Service[..., Any]] = {}


def parameter_name(service: str, index: int) -> str:
    """What the function calls its argument number `index` (from 0)."""
    known = services.get(service)
    parameters = [] if known is None else list(inspect.signature(known.fn).parameters.values())
    if index < len(parameters) and parameters[index].kind in _POSITIONAL:
        return f"argument {parameters[index].name!r}"
    return f"argument {index + 1}"
