"""The orchestrator, called like any other service; the hub itself answers.

from msx import orchestrator
uri = orchestrator.access("a")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ._service import Service

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["access", "health", "instances", "scale", "services"]


def _of_the_hub(fn: Callable[P, R]) -> Service[P, R]:
    return Service(fn, f"msx.orchestrator.{fn.__name__}", {}, needs_hub=True)


@_of_the_hub
def services() -> list[dict[str, Any]]:
    """All services, with their addresses and the number of their instances."""
    raise NotImplementedError


@_of_the_hub
def access(name: str) -> str:
    """The address of a service: `POST` JSON arguments there calls it through its balancer."""
    raise NotImplementedError


@_of_the_hub
def instances(name: str) -> list[dict[str, Any]]:
    """The instances of a service, with their states."""
    raise NotImplementedError


@_of_the_hub
def scale(name: str, n: int) -> Any:
    """Sets the number of instances of a service."""
    raise NotImplementedError


@_of_the_hub
def health() -> dict[str, Any]:
    """Whether all services have the instances that they should have."""
    raise NotImplementedError
