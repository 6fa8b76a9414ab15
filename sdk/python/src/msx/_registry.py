"""The services that this process has seen decorated, by canonical name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._service import Service

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
    code = getattr(known.fn, "__code__", None) if known is not None else None
    if code is not None and index < code.co_argcount:
        return f"argument {code.co_varnames[index]!r}"
    return f"argument {index + 1}"
