"""What the commands here have in common: one at a time, and an end by a signal that cleans up."""

import argparse
import fcntl
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from .errors import BenchError
from .paths import BENCHES

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked for the end; like KeyboardInterrupt, nothing may swallow it."""


def alone(command: str, run: Callable[[], None]) -> int:
    """Runs it while no other command measures; the exit status."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with (BENCHES / ".lock").open("w") as lock:
            _only_run(lock)
            run()
    except BenchError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except Interrupted as signalled:
        return 128 + int(signalled.args[0])
    return 0


def program(text: str) -> Path:
    found = Path(text).resolve()
    if not found.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return found


def _interrupt(number: int, _frame: object) -> None:
    """The first signal ends the run; what follows cannot disturb the cleaning up."""
    for each in SIGNALS:
        signal.signal(each, lambda *_: None)
    raise Interrupted(number)


def _only_run(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BenchError("another run is in progress and would disturb this one; wait for it") from None
