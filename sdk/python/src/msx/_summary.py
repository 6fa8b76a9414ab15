"""What a call says of itself, for the people who watch it."""

from __future__ import annotations

from . import _context

SUMMARY_MAX = 200  # the hub keeps no more


def summary(text: str) -> None:
    """Says what the current call is about, such as `order 17`: `msx calls` and `msx trace` show it.

    One short line: what is longer than 200 characters is cut. The last one counts. Without a hub it does
    nothing.
    """
    _context.runtime.current().summarise(str(text)[:SUMMARY_MAX])
