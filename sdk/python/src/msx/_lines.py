"""Where the user's code makes a call: `shop/orders.py:41 in place_order`.

It travels with every call and stands in the errors of replays that differ, so it is on the path of each call:
what a place in the bytecode is called is worked out once.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

_FOLDER = os.getcwd() + os.sep  # of the project: paths below it are shown without it
_HIDDEN = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    os.path.join(os.path.dirname(os.path.abspath(os.__file__)), "asyncio") + os.sep,
    "<frozen ",
)
# Places that are remembered, by code and instruction. The code is kept with them: its id must stay its own.
_PLACES_MAX = 4096
_places: dict[tuple[int, int], tuple[CodeType, str | None]] = {}


def source_line() -> str | None:
    """Of the innermost frame that is the user's; None if there is none on this stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        place = (id(frame.f_code), frame.f_lasti)
        known = _places.get(place)
        text = known[1] if known is not None else _learn(place, frame)
        if text is not None:
            return text
        frame = frame.f_back
    return None


def _learn(place: tuple[int, int], frame: FrameType) -> str | None:
    if len(_places) >= _PLACES_MAX:
        _places.clear()
    code = frame.f_code
    text = None
    if not code.co_filename.startswith(_HIDDEN):
        name = getattr(code, "co_qualname", code.co_name)  # from Python 3.11 on with its class
        text = f"{code.co_filename.removeprefix(_FOLDER)}:{frame.f_lineno} in {name}"
    _places[place] = code, text
    return text
