"""Interrupts of threads: `Cancelled` is raised inside of one, at whatever instruction it is.

It must only ever hit the user's code: `running` says whether the thread is there, `leave` and `enter` are its
ways out and in. The control thread first keeps an interrupt and then looks for the thread; the thread first
says that it runs and then looks for what is kept. So at least one of them sees the other, and who takes it
out of `Kept` raises it.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import TYPE_CHECKING

from ._errors import Cancelled
from ._interrupts import Kept
from ._protocol import Interrupt
from ._traceback import format_frame

if TYPE_CHECKING:
    from ._replay import Call

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class UserCode:
    """Knows when a thread is inside of a call's code, and raises Cancelled there and nowhere else."""

    __slots__ = ("_kept", "_raising", "_thread", "pending", "reason", "running")

    def __init__(self, thread: threading.Thread, kept: Kept) -> None:
        self._thread = thread
        self._kept = kept
        self.running: Call | None = None  # the thread is inside of this call's code
        self.pending: Interrupt | None = None  # was raised there, perhaps did not strike yet
        self.reason = ""  # of the one that was taken back
        self._raising = threading.Lock()

    # --- for the control thread ---

    def stack_of(self, interrupt: Interrupt) -> str | None:
        """The stack of a call, if its code is running here."""
        call = self.running
        if call is None or (call.id, call.attempt) != (interrupt.call, interrupt.attempt):
            return None
        return format_frame(sys._current_frames().get(self._thread.ident or 0))

    def interrupt(self, interrupt: Interrupt) -> None:
        """Raises Cancelled in a call, if its code is running here."""
        call = self.running
        if call is None or (call.id, call.attempt) != (interrupt.call, interrupt.attempt):
            return
        with self._raising:
            before, self.pending = self.pending, interrupt
            # From here on, if the thread leaves, it finds `pending` and waits for the lock.
            if self.running is call and self._kept.take(call.id, call.attempt) is not None:
                _raise_in_thread(self._thread.ident, ctypes.py_object(Cancelled))
            else:
                self.pending = before

    # --- for the thread ---

    def enter(self, call: Call) -> None:
        """The thread goes into the user's code; raises Cancelled if the call was interrupted before."""
        self.running = call
        reason = self._kept.take(call.id, call.attempt)
        if reason is not None:
            raise Cancelled(reason)

    def leave(self, call: Call) -> None:
        """The thread goes from the user's code into ours."""
        self.running = None
        if self.pending is not None:
            interrupt = self.absorb()
            if interrupt is not None and (interrupt.call, interrupt.attempt) == (call.id, call.attempt):
                self.running = call
                raise Cancelled(interrupt.reason)

    def absorb(self) -> Interrupt | None:
        """Takes back an interrupt that has not struck, or takes it here."""
        interrupt: Interrupt | None = None
        while self.pending is not None:
            try:
                with self._raising:
                    _raise_in_thread(self._thread.ident, ctypes.py_object())
                    interrupt, self.pending = self.pending, None
            except Cancelled:
                continue
        if interrupt is not None:
            self.reason = interrupt.reason
        return interrupt

    def explain(self, error: BaseException | None) -> None:
        """What is raised in a thread is raised without a reason."""
        if isinstance(error, Cancelled) and not error.args:
            error.args = (self.reason,)
        self.reason = ""
