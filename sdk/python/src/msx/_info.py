"""`msx.context`: what a function may know about the call that runs it."""

from __future__ import annotations

from dataclasses import dataclass

from . import _context


@dataclass(frozen=True)
class CallInfo:
    """The current call, for logs and measurements.

    `attempt` and `is_replay` differ when the call is run again: what the function asks of other services
    must not depend on them.
    """

    id: str
    """Names the call as long as it is unfinished, on every instance; empty in plain mode."""
    via: tuple[str, ...]
    """The services that wait for it, as far as the worker knows: its caller, or nobody."""
    attempt: int
    """1 for the first run, then one more each time."""
    deadline: float | None
    """The time (as of `time.time()`) at which nobody waits for it any more, if there is one."""
    is_replay: bool
    """Whether it is run again from its first line, with recorded results."""


PLAIN = CallInfo(id="", via=(), attempt=1, deadline=None, is_replay=False)


def context() -> CallInfo:
    """The call that this code is part of; raises NoCallContext where there is none in a worker."""
    return _context.runtime.current().info()
