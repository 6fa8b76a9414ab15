"""msx: any function becomes a microservice by one decorator."""

from . import _plain, orchestrator  # noqa: F401  (plain mode is the default)
from ._errors import (
    Cancelled,
    Fatal,
    IdempotencyConflict,
    InstanceDied,
    LimitExceeded,
    NoCallContext,
    NonDeterminismError,
    RemoteError,
    ServiceUnavailable,
    Suspend,
    TimeoutError,
    UsageError,
)
from ._futures import Future, gather
from ._hooks import on_start, on_stop
from ._memo import run
from ._service import Service, microservice

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Fatal",
    "Future",
    "IdempotencyConflict",
    "InstanceDied",
    "LimitExceeded",
    "NoCallContext",
    "NonDeterminismError",
    "RemoteError",
    "Service",
    "ServiceUnavailable",
    "Suspend",
    "TimeoutError",
    "UsageError",
    "gather",
    "microservice",
    "on_start",
    "on_stop",
    "orchestrator",
    "run",
]
