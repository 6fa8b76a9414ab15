"""Tracebacks and stacks as the user should see them: without the frames of this package."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import traceback
from types import FrameType
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_HIDDEN = ("<frozen importlib", "<frozen runpy>", importlib.__file__)
DEPTH_MAX = 20  # of groups in groups and their causes
STACK_CHARS_MAX = 32 * 1024
_ENTRIES = ("_execute", "_serve")  # what calls a service's function (`_threads`, `_loop`)


def _is_users(frame: traceback.FrameSummary) -> bool:
    return not frame.filename.startswith((_HERE, *_HIDDEN))


def user_frames(frames: list[traceback.FrameSummary]) -> traceback.StackSummary:
    return traceback.StackSummary.from_list([frame for frame in frames if _is_users(frame)])


def format_error(error: BaseException, hide_note: str | None = None, members: bool = True) -> str:
    """One exception as Python prints it, without what caused it; a group with its members."""
    report: Any = traceback.TracebackException(type(error), error, error.__traceback__)
    report.__cause__ = report.__context__ = None
    if not members:
        report.exceptions = None
    _hide_frames(report, 0)
    if hide_note is not None and report.__notes__:
        report.__notes__ = [note for note in report.__notes__ if note != hide_note]
    return "".join(report.format())


def _hide_frames(report: Any, depth: int) -> None:
    """Also in what a group is made of. Python has cut rings already, and prints no deeper either."""
    report.stack = user_frames(report.stack)
    parts = [report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())]
    for part in parts:
        if part is not None and depth < DEPTH_MAX:
            _hide_frames(part, depth + 1)


def format_frame(frame: FrameType | None) -> str:
    """The stack of a running call, outermost frame first, from the service's function on."""
    if frame is None:
        return ""
    frames = traceback.extract_stack(frame)
    entries = [at for at, frame in enumerate(frames) if frame.name in _ENTRIES and not _is_users(frame)]
    return "".join(user_frames(frames[entries[-1] :] if entries else frames).format())


def stack_of_thread(thread: threading.Thread) -> str:
    """Where a thread is; the outer frames of a very deep stack are left out."""
    stack = format_frame(sys._current_frames().get(thread.ident or 0))
    return stack if len(stack) <= STACK_CHARS_MAX else "…" + stack[-STACK_CHARS_MAX:]
