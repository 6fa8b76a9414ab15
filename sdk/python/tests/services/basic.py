"""Services of the tests: small `def` functions that call each other."""

import contextvars
import threading
import time

import msx
from msx import microservice

times_run: dict[str, int] = {}
local = threading.local()
variable = contextvars.ContextVar("variable", default=0)
locks = {x: threading.RLock() for x in range(10)}


@microservice
def add(x, y):
    return x + y


@microservice
def nothing():
    return None


@microservice
def count(name):
    """How often it was called with this name."""
    times_run[name] = times_run.get(name, 0) + 1
    return times_run[name]


@microservice
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@microservice
def gather_fib(n):
    if n < 2:
        return n
    return sum(msx.gather(gather_fib.start(n - 1), gather_fib.start(n - 2)))


@microservice
def chain(n):
    total = 0
    for _ in range(n):
        total = add(total, 1)
    return total


@microservice
def fan(n):
    return sum(msx.gather(*[add.start(i, 1) for i in range(n)]))


@microservice
def futures(x):
    """Results are asked for in another order than the calls were made."""
    first, second = add.start(x, 1), add.start(x, 2)
    return [second.result(), first.result(), second.result()]


@microservice
def forgotten():
    add.start(1, 2)
    return "done"


@microservice
def same_twice(name):
    return [count(name), count(name)]


@microservice
def except_exception(x):
    try:
        y = add(x, 1)
    except Exception:
        y = -1
    return [y, add(y, 1)]


@microservice
def bare_except(x):
    try:
        y = add(x, 1)
    except:  # noqa: E722
        y = -1
    return [y, add(y, 1)]


@microservice
def finally_return(x):
    try:
        add(x, 1)
    finally:
        return x  # noqa: B012


@microservice
def finally_call(x):
    try:
        return add(x, 1)
    finally:
        add(x, 2)


@microservice
def own_state(x):
    """A thread-local, a context variable and a lock that are held across a call."""
    local.value = x
    variable.set(x)
    with locks[x]:
        got = add(x, 1)
        held = locks[x]._is_owned()
    return [local.value, variable.get(), held, got]


@microservice
def leaked_context():
    return variable.get()


@microservice
def set_loop(words):
    return [add(word, "!") for word in words]


@microservice
def memo(name):
    stamp = msx.run(time.monotonic_ns)
    first = msx.run(bump, name)
    total = add(1, 2)
    second = msx.run(bump, name)
    return [stamp == msx.run(lambda: stamp), first, total, second, times_run[name]]


def bump(name):
    times_run[name] = times_run.get(name, 0) + 1
    return times_run[name]


def fail(text):
    raise KeyError(text)


@microservice
def memo_error(text):
    try:
        msx.run(fail, text)
    except KeyError as error:
        return [add(1, 1), error.args[0], isinstance(error, msx.RemoteError)]


@microservice
def call_in_memo():
    return msx.run(add, 1, 2)


@microservice
def through_loop(x):
    """A `def` may run an event loop of its own."""
    import asyncio

    async def main():
        one = add.aio(x, 1)
        return [await one, await add.aio(x, 2), await msx.gather(add.start(x, 3), add.aio(x, 4))]

    return asyncio.run(main())


@microservice
def blocks_loop(x):
    import asyncio

    async def main():
        return add(x, 1)

    return asyncio.run(main())


@microservice
def other_thread():
    caught = []

    def work():
        try:
            add(1, 2)
        except msx.NoCallContext as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return caught


state = {"runs": 0}


@microservice
def not_deterministic():
    state["runs"] += 1
    try:
        add(state["runs"], 1)
        return add(2, 2)
    except Exception:
        return "swallowed"


@microservice
def remote_only():
    return msx.orchestrator.access("a")


@microservice
def slow_child():
    return times_out()


times_out = msx.Service(lambda: None, "hub.times_out", {})
