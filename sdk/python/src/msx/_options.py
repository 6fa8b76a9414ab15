"""The options of one call, `a.options(timeout=2)(x)`: what is asked for beside the arguments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypedDict

from ._errors import UsageError

TIMEOUT_SECONDS_MAX = 7 * 86_400
RETRIES_MAX = 100
KEY_BYTES_MAX = 256

RetryOn = type[BaseException] | tuple[type[BaseException], ...]


class CallOptions(TypedDict, total=False):
    """As they travel with a call (docs/protocol.md)."""

    timeout: int
    """Milliseconds."""
    retries: int
    retry_on: list[str]
    idempotency_key: str
    key: str
    stream: bool
    """Its caller takes its items one after another."""
    next: int
    """It is no call, but asks for items of the stream of this seq."""


def call_options(
    service: str,
    timeout: float | timedelta | None,
    retries: int | None,
    retry_on: RetryOn | None,
    idempotency_key: str | None,
    key: str | None,
) -> CallOptions:
    """Those that were given."""
    options: CallOptions = {}
    if timeout is not None:
        options["timeout"] = _milliseconds(service, timeout)
    if retries is not None:
        options["retries"] = _retries(service, retries)
    if retry_on is not None:
        options["retry_on"] = _names(service, retry_on)
    if idempotency_key is not None:
        options["idempotency_key"] = _key(service, "idempotency_key", idempotency_key)
    if key is not None:
        options["key"] = _key(service, "key", key)
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


def _retries(service: str, retries: Any) -> int:
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= RETRIES_MAX:
        raise UsageError(f"{service}: retries is {retries!r}; it must be a number from 0 to {RETRIES_MAX}")
    number: int = retries
    return number


def _names(service: str, retry_on: Any) -> list[str]:
    kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise UsageError(f"{service}: retry_on takes exception classes; {kind!r} is none")
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds]


def _key(service: str, name: str, key: Any) -> str:
    if not isinstance(key, str) or not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
        raise UsageError(f"{service}: {name} must be a text of 1 to {KEY_BYTES_MAX} bytes")
    text: str = key
    return text
