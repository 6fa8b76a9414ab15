"""How a worker ends when it cannot go on."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def die(reason: str) -> NoReturn:
    """For any thread: says why and ends the process at once."""
    try:
        print(f"msx worker: {reason}", file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def die_of_lanes(reason: str) -> NoReturn:
    """The hub has made room for a call that this process cannot hold."""
    die(
        f"it cannot open another lane: {reason}; each call that runs or is parked here takes a thread and a "
        "descriptor: raise `ulimit -u` (threads), `ulimit -n` (descriptors) or the limit of its memory, or "
        "lower max_parked in services.toml"
    )
