"""What a call holds while it waits: a lock, a thread-local, a context variable."""

import threading
from contextvars import ContextVar

from msx import microservice

LOCK = threading.RLock()
LOCAL = threading.local()
VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


@microservice
def holder(name: str) -> list:
    """Called `outer`, it waits for a call that calls this service again, in the same process."""
    seen = [getattr(LOCAL, "name", "unset"), VARIABLE.get()]
    LOCAL.name = name
    VARIABLE.set(name)
    got_it = LOCK.acquire(blocking=False)
    try:
        inner = between() if name == "outer" else None
        return [got_it, LOCAL.name, VARIABLE.get(), threading.current_thread().name, seen, inner]
    finally:
        if got_it:
            LOCK.release()
        del LOCAL.name


@microservice
def between() -> list:
    return holder("inner")
