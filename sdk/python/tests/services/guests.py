"""Services of the tests: `def`, with threads of their own that make calls."""

import contextvars
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

from basic import add, count

import msx
from msx import microservice

runs = {"number": 0}


def with_context(fn):
    """Runs it in a context of its own that knows the call, on whatever thread."""
    context = contextvars.copy_context()
    return lambda *args: context.run(fn, *args)


def threads(fns):
    """Runs them all, each on a thread; returns what they return."""
    results = {}

    def keep(index, fn):
        results[index] = fn()

    started = [threading.Thread(target=with_context(keep), args=(i, fn)) for i, fn in enumerate(fns)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return [results[index] for index in range(len(fns))]


@microservice
def one(x):
    return threads([lambda: add(x, 1)])[0]


@microservice
def many(n):
    """Each makes several calls; all at once, and the call's own thread between and after them."""

    def work(i):
        return lambda: add(add(i, 10), add.start(i, 10).result())

    before = add(1, 1)
    first = threads([work(i) for i in range(n)])
    between = add(before, 1)
    return [first, between, threads([work(i) for i in range(n)]), add(between, 1)]


@microservice
def pool(n):
    with ThreadPoolExecutor(4) as executor:
        jobs = [executor.submit(with_context(add), i, 1) for i in range(n)]
        return [job.result() for job in jobs]


@microservice
def beside(n):
    """The call's own thread waits for calls while its guests do."""
    got = []

    def work():
        for i in range(n):
            got.append(add(i, 0))

    thread = threading.Thread(target=with_context(work))
    thread.start()
    own = [add(100, i) for i in range(n)]
    fan = msx.gather(*[add.start(200, i) for i in range(n)])
    thread.join()
    return [got, own, fan]


@microservice
def forms(x):
    """What a guest may do."""

    def work():
        gathered = msx.gather(*[add.start(x, i) for i in range(3)])
        done = sorted(call.result() for call in msx.as_completed([add.start(x, i) for i in range(3)]))
        winner = msx.first([add.start(x, 5)]).result()
        return [gathered, done, winner, list(add.map([1, 2, 3], [x] * 3, limit=2)), msx.context().id != ""]

    return threads([work])[0]


@microservice
def hands_over(x):
    """A future that one thread starts, and another waits for."""
    before = add.start(x, 1)
    of_guest = threads([lambda: add.start(x, 2)])[0]
    return [threads([before.result])[0], of_guest.result()]


@microservice
def queues(n):
    """The call's own thread waits for its guests in a way that msx knows nothing of."""
    results = queue.Queue()
    for i in range(n):
        threading.Thread(target=with_context(lambda i=i: results.put(add(i, 0)))).start()
    return sorted(results.get() for _ in range(n))


@microservice
def same_twice(name):
    return sorted(threads([lambda: count(name), lambda: count(name)]))


@microservice
def guest_error():
    def work():
        try:
            add(1, "x")
        except TypeError as error:
            return type(error).__name__

    return threads([work])[0]


@microservice
def in_memo():
    def work():
        try:
            msx.run(int)
        except msx.UsageError as error:
            return str(error)

    return threads([work])[0]


leftover = []


@microservice
def outlived(x):
    """A guest that still waits, and later calls, when the call has ended."""
    waits, ended = threading.Event(), threading.Event()

    def work():
        never = slow.start()
        waits.set()
        for use in (never.result, lambda: ended.wait(30) and add(1, 1)):
            try:
                use()
            except msx.NoCallContext as error:
                leftover.append(str(error))

    thread = threading.Thread(target=with_context(work))
    thread.start()
    waits.wait()
    leftover.append((thread, ended))
    return x


@microservice
def slow():
    threading.Event().wait(0.3)


@microservice
def not_deterministic():
    runs["number"] += 1
    number = runs["number"]
    threads([lambda: add(number, 0)])
    return add(1, 1)
