"""msx: any function becomes a microservice by one decorator."""

import os as _os

from . import _plain, orchestrator  # noqa: F401  (plain mode is the default)
from ._connect import connect
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
from ._fanout import as_completed, first
from ._futures import Future, gather
from ._hooks import on_start, on_stop
from ._info import CallInfo, context
from ._memo import run
from ._service import Service, microservice
from ._streams import Stream
from ._summary import summary

__version__ = "0.1.0"

__all__ = [
    "CallInfo",
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
    "Stream",
    "Suspend",
    "TimeoutError",
    "UsageError",
    "as_completed",
    "connect",
    "context",
    "first",
    "gather",
    "microservice",
    "on_start",
    "on_stop",
    "orchestrator",
    "run",
    "summary",
]

if _os.environ.get("MSX_RUN") == "connected":  # set by `msx run`
    from ._connect import connect_program

    connect_program()
