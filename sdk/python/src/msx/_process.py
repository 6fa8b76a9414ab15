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
