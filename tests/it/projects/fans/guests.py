"""A `def` whose own threads make calls, with the context of the call handed over."""

import contextvars
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import msx
from cases import Cases
from leaves import tick
from marks import mark
from msx import microservice

HOWS = Cases()


def handed(fn):
    """Runs it in a context that knows the call, on whatever thread."""
    context = contextvars.copy_context()
    return lambda *args: context.run(fn, *args)


@microservice
def guests(how: str, name: str) -> object:
    mark(f"{name}.begun")
    return HOWS[how](name)


@HOWS
def pool(name):
    with ThreadPoolExecutor(4) as executor:
        jobs = [executor.submit(handed(tick), i, name) for i in range(20)]
        first = [job.result() for job in jobs]
    return [sum(first), tick("own", name)]


@HOWS
def beside(name):
    """Guests and the call's own thread wait at the same time."""
    got = []

    def work():
        got.extend(tick(tick(i, name), name) for i in range(5))

    thread = threading.Thread(target=handed(work))
    thread.start()
    own = [tick(i, name) for i in range(5)]
    fan = msx.gather(*[tick.start(i, name) for i in range(5)])
    thread.join()
    return [got, own, fan]


@HOWS
def without_context(name):
    caught = []

    def work():
        try:
            tick(0, name)
        except msx.NoCallContext as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return ["contextvars.copy_context().run" in caught[0], tick(1, name)]


@HOWS
def asks_otherwise(name):
    thread = threading.Thread(target=handed(lambda: tick(random.random(), name)))
    thread.start()
    thread.join()
    return tick(1, name)
