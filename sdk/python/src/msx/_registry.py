"""The services that this process has seen decorated, by canonical name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._service import Service

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

services: dict[str, Service[..., Any]] = {}


def imported(service: Service[..., Any]) -> Service[..., Any]:
    """What a stub by name (`msx.services`) stands for, if its module is imported here; else the stub."""
    return (find(service.name) or service) if service.needs_hub else service


def find(name: str) -> Service[..., Any] | None:
    """By the canonical name, or by the short one while it is unique."""
    same = [known for known in services.values() if known.name.rpartition(".")[2] == name]
    return services.get(name) or (same[0] if len(same) == 1 else None)


def parameter_name(service: str, index: int) -> str:
    """What the function calls its argument number `index` (from 0)."""
    known = services.get(service)
    parameters = [] if known is None else list(inspect.signature(known.fn).parameters.values())
    if index < len(parameters) and parameters[index].kind in _POSITIONAL:
        return f"argument {parameters[index].name!r}"
    return f"argument {index + 1}"
