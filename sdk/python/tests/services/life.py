"""Services of the tests: start, stop, interrupts."""

import gc
import os
import resource
import sys
import threading
import time

from forking import in_fork

import msx
from msx import _context, microservice
from msx._replay import Call

pool = []
caught = []


@msx.on_start
def open_pool():
    pool.append("open")


@msx.on_start
async def open_more():
    pool.append("more")


@msx.on_stop
def close_pool():
    print("stopped", len(pool), file=sys.stderr, flush=True)


@msx.on_stop
async def close_more():
    pool.append("closing")


@microservice
def state():
    return pool


@microservice
def spin(seconds, started=None):
    if started:
        open(started, "w").close()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "end"


@microservice
def swallows_cancel(started):
    try:
        spin.local(60, started)
    except msx.Cancelled:
        return "swallowed"


@microservice
def cancelled_where():
    try:
        state.start()
    except msx.Cancelled as error:
        return f"start: {error}"
    try:
        return state()
    except msx.Cancelled as error:
        return f"call: {error}"


@microservice
def waits():
    return state()


@microservice
def echo(x):
    return x


@microservice
def forks():
    return in_fork(state)


@microservice
def live_calls(fail):
    """How many calls this process knows, when nobody collects cycles."""
    gc.disable()
    if fail:
        raise ValueError
    return sum(isinstance(thing, Call) for thing in gc.get_objects())


@microservice
def stubborn():
    while True:
        try:
            return state()
        except:  # noqa: E722
            pass


@microservice
def either(wait):
    return state() if wait else "end"


class SlowLock:
    """Lets the control thread in only when the call that it is about to interrupt has ended."""

    def __init__(self, code):
        self.code = code
        self.entered = threading.Event()

    def __enter__(self):
        self.entered.set()
        while self.code.running is not None:
            time.sleep(0.001)

    def __exit__(self, *_):
        pass


@microservice
def ends_under_interrupt(started=None):
    if started:
        code = _context.runtime.local.lane.code
        code._raising = SlowLock(code)
        open(started, "w").close()
        assert code._raising.entered.wait(30)
        return "end"
    return state()


@microservice
def lowers_limit(name, room):
    """Leaves room for so many descriptors, or bytes of memory."""
    limit = getattr(resource, name)
    used = len(os.listdir("/proc/self/fd")) - 1
    if name == "RLIMIT_AS":
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(limit, (used + room, resource.getrlimit(limit)[1]))
