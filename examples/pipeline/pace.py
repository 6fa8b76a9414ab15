"""How long the services of this example pretend to work."""

import os
from time import sleep

# 1 is the full length: a, b and c take 1, 2 and 3 seconds.
SPEED = float(os.environ.get("PIPELINE_SPEED", "10"))


def work(seconds: float) -> None:
    """Takes `seconds` at speed 1."""
    sleep(seconds / SPEED)
