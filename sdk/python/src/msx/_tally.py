"""How far each lane has come, in memory that outlives this process.

The hub hands it over as a file before the first lane. When the process is killed, the numbers tell which
calls it had not begun with: those run elsewhere, though nobody knows what the others have done.
"""

from __future__ import annotations

import mmap
import os
from typing import Protocol


class Numbers(Protocol):
    """By lane: which of its `run` and `resume` messages is the last that was begun with."""

    def __setitem__(self, lane: int, ordinal: int, /) -> None: ...


def open_numbers(descriptor: int) -> Numbers:
    """The numbers in a file of the hub's, all 0; the descriptor is closed."""
    try:
        memory = mmap.mmap(descriptor, 0)
    finally:
        os.close(descriptor)
    memory[:] = bytes(len(memory))  # also of lanes that this process will not live to see
    return memoryview(memory).cast("Q")
