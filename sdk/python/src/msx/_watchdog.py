"""Tells what blocks the event loop of an `async def` worker.

While calls run, the loop leaves a mark every `BEAT_SECONDS`, and a thread looks whether the marks stop. When
no call runs there are no marks, and the thread sleeps. A process that was stopped as a whole has no user's
code on the loop, as a rule, and so there is nothing to report.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import threading
import time
import traceback
from collections.abc import Callable
from itertools import dropwhile

from ._traceback import user_frames

BEAT_SECONDS = 0.05
LAG_SECONDS = 0.1
QUIET_SECONDS = 10  # between reports

_LOOP = (os.path.dirname(asyncio.__file__) + os.sep, selectors.__file__)


class Watchdog:
    """Made on the loop's thread; `wake` is for that thread too."""

    def __init__(self, loop: asyncio.AbstractEventLoop, service: str, is_busy: Callable[[], bool]) -> None:
        self._loop, self._service, self._is_busy = loop, service, is_busy
        self._loop_thread = threading.get_ident()
        self._beating = threading.Event()
        self._last_beat = 0.0
        self.awake = False
        threading.Thread(target=self._watch, name="msx-watchdog", daemon=True).start()

    def wake(self) -> None:
        """A call runs."""
        self.awake = True
        self._beating.set()
        self._beat()

    def _beat(self) -> None:
        self._last_beat = time.monotonic()
        if self._is_busy():
            self._loop.call_later(BEAT_SECONDS, self._beat)
        else:
            self.awake = False
            self._beating.clear()

    def _watch(self) -> None:
        reported = 0.0
        while self._beating.wait():
            beat = self._last_beat
            time.sleep(max(LAG_SECONDS, beat + BEAT_SECONDS + LAG_SECONDS - time.monotonic()))
            if beat == self._last_beat and beat != reported and self._beating.is_set() and self._report():
                reported = beat
                time.sleep(QUIET_SECONDS)

    def _report(self) -> bool:
        stack = _stack_on_loop(self._loop_thread)
        if stack:
            lag = f"has been blocked for more than {LAG_SECONDS} s by:"
            print(
                f"msx: the event loop of {self._service} {lag}\n{stack}", end="", file=sys.stderr, flush=True
            )
        return bool(stack)


def _stack_on_loop(thread: int) -> str:
    """The user's code that the loop runs; "" when it waits, or runs ours."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    frames = traceback.extract_stack(frame)
    start = max((at for at, entry in enumerate(frames) if entry.name == "_run_until_done"), default=-1) + 1
    users = dropwhile(lambda entry: entry.filename.startswith(_LOOP), user_frames(frames[start:]))
    return "".join(traceback.StackSummary.from_list(list(users)).format())
