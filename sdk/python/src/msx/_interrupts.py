"""Interrupts that have found no running code of their call.

Lanes and the control channel are not ordered with each other: an interrupt may come before the `run` or the
`resume` that it is about, or while the call just sends something. It is kept until the call's code runs.
"""

from __future__ import annotations

from ._protocol import Interrupt

KEPT_MAX = 64  # those of calls that had ended already stay here until others push them out


class Kept:
    """Reasons by call and attempt. One thread keeps, any takes: each step is one operation on a dict."""

    __slots__ = ("_reasons",)

    def __init__(self) -> None:
        self._reasons: dict[tuple[int, int], str] = {}

    def keep(self, interrupt: Interrupt) -> None:
        self._reasons[interrupt.call, interrupt.attempt] = interrupt.reason
        for oldest in list(self._reasons)[:-KEPT_MAX]:
            self._reasons.pop(oldest, None)

    def take(self, call: int, attempt: int) -> str | None:
        return self._reasons.pop((call, attempt), None) if self._reasons else None
