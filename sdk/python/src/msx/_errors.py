"""The exceptions of msx.

What a remote function raises arrives as a subclass of its own class *and* of `RemoteError` (see `_remote`);
the classes here are the ones that msx itself raises.
"""

from __future__ import annotations

import builtins


class RemoteError(Exception):
    """A call failed. `service` raised it, `via` are the services it passed through, `traceback` is theirs."""

    service: str = ""
    traceback: str = ""
    via: tuple[str, ...] = ()

    def __str__(self) -> str:
        message: str | None = self.__dict__.get("_msx_message")
        if message is None:
            return super().__str__()
        name: str = self.__dict__["_msx_origin"]["type"].removeprefix("builtins.")
        if type(self) is RemoteError and name != "msx.RemoteError":  # in place of a class that is not here
            return f"{name}: {message}" if message else name
        return message


class TimeoutError(RemoteError, builtins.TimeoutError):
    """The callee ran longer than its `run_timeout`, or the call had a deadline that has passed."""


class ServiceUnavailable(RemoteError):
    """No instance of the service can take the call: unknown, scaled to zero, or crashing."""


class InstanceDied(RemoteError):
    """The instance ended while it ran the call, so it is unknown how far the call got."""


class NonDeterminismError(RemoteError):
    """A function that was run again asked for other calls than the first time."""


class LimitExceeded(RemoteError):
    """A message, a queue or a tree of calls is larger than its bound."""


class IdempotencyConflict(RemoteError):
    """One idempotency key was given to two different calls."""


class Fatal(Exception):
    """Raised by a service's function, itself or a class of it: another attempt would fail as well."""


class Cancelled(BaseException):
    """The call was cancelled. Not an `Exception`, so that `except Exception` lets it pass."""


class Suspend(BaseException):
    """Unwinds a call that gives up its place; it is run again later. Never the result of a call."""


class UsageError(RuntimeError):
    """A stub was used in a way that cannot work; the message names the fix."""


class NoCallContext(UsageError):
    """A stub was called in a worker, but outside of a call."""


for _public in (
    RemoteError, TimeoutError, ServiceUnavailable, InstanceDied, NonDeterminismError, LimitExceeded,
    IdempotencyConflict, Fatal, Cancelled, Suspend, UsageError, NoCallContext,
):  # fmt: skip
    _public.__module__ = "msx"  # their name in tracebacks and on the wire
