"""The options of one call, `a.options(timeout=2)(x)`: what is asked for beside the arguments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypedDict

from ._errors import UsageError

TIMEOUT_SECONDS_MAX = 7 * 86_400


class CallOptions(TypedDict, total=False):
    """As they travel with a call."""

    timeout: int
    """Milliseconds."""


def call_options(service: str, *, timeout: float | timedelta | None) -> CallOptions:
    """Those that were given."""
    options: CallOptions = {}
    if timeout is not None:
        options["timeout"] = _milliseconds(service, timeout)
    return options


def _milliseconds(service: str, timeout: Any) -> int:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise UsageError(f"{service}: timeout must be seconds or a timedelta, not a {type(timeout).__name__}")
    if not 0 < seconds <= TIMEOUT_SECONDS_MAX:
        raise UsageError(
            f"{service}: timeout is {timeout}; it must be above 0 and at most {TIMEOUT_SECONDS_MAX} seconds"
        )
    return max(1, round(seconds * 1000))
