"""The orchestrator, called like any other service; the hub itself answers.

from msx import orchestrator
uri = orchestrator.access("a")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypedDict, TypeVar

from ._service import Service

P = ParamSpec("P")
R = TypeVar("R")

__all__ = [
    "Health",
    "InstanceInfo",
    "Readiness",
    "ServiceInfo",
    "access",
    "health",
    "instances",
    "scale",
    "services",
]


class ServiceInfo(TypedDict):
    """A service, as `services()` lists it."""

    name: str
    """The canonical name."""
    alias: str | None
    """The short name, unless another service has the same."""
    address: str | None
    """As `access()` returns it."""
    instances: int
    """How many instances are ready."""


class InstanceInfo(TypedDict):
    """An instance, as `instances()` lists it."""

    id: str
    """Like `a-1`."""
    state: str
    """As `msx ps` shows it: `starting`, `ready`, `draining`, `backoff`, `crashloop` or `stopped`.
    Of a program also `running`, `unready`, `completed` or `failed`."""
    pid: int | None
    """`None` while it has no process."""
    restarts: int
    """How many processes in this place ended unasked."""
    address: str | None
    """Where a program takes connections, `127.0.0.1:20000` or `unix:/path`; `None` of a function."""


class Readiness(TypedDict):
    """How many instances of a service are ready, and how many are wanted now."""

    ready: int
    desired: int


class Health(TypedDict):
    """What `health()` returns."""

    ok: bool
    """Whether every service has at least as many ready instances as are wanted of it now."""
    uptime: float
    """Seconds since the hub started."""
    services: dict[str, Readiness]
    """By canonical name."""


def _of_the_hub(fn: Callable[P, R]) -> Service[P, R]:
    return Service(fn, f"msx.orchestrator.{fn.__name__}", {}, needs_hub=True)


@_of_the_hub
def services() -> list[ServiceInfo]:
    """All services, with their addresses and how many ready instances each has."""
    raise NotImplementedError


@_of_the_hub
def access(name: str) -> str:
    """The address of a service: `POST` JSON arguments there calls it through its balancer."""
    raise NotImplementedError


@_of_the_hub
def instances(name: str) -> list[InstanceInfo]:
    """The instances of a service, also those that are not ready, with their states."""
    raise NotImplementedError


@_of_the_hub
def scale(name: str, n: int) -> None:
    """Sets the number of instances of a service, at most its `max`; returns when so many are ready."""
    raise NotImplementedError


@_of_the_hub
def health() -> Health:
    """Whether every service has at least as many ready instances as are wanted of it now, with the numbers.

    While one more is starting, because of `msx scale` or of load, that is not so.
    """
    raise NotImplementedError
