"""The services of benches/calls on Ray Serve: the same functions, one replica each, called by handles.

Reads one JSON object per line, `{"kind", "how", "what", "times", "x"}`, runs that caller, and answers
`{"seconds": …}` or `{"error": …}`. The replicas take no CPU of Ray's bookkeeping, so that all of them fit.
"""

import asyncio
import json
import logging
import os
import sys
import time

import ray
from ray import serve

IN_FLIGHT = 64
FAN = 100
APP = "bench"
ANSWER_S = float(os.environ["BENCH_ANSWER_S"])

# As many as a row has at once; Ray gives a `def` replica so many threads.
replica = serve.deployment(
    max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0}, logging_config={"enable_access_log": False}
)


def handle_of(name):
    return serve.get_deployment_handle(name, APP)


class Recursive:
    """Calls itself, by a handle that it asks for once."""

    me = None

    def handle(self, name):
        if self.me is None:
            self.me = handle_of(name)
        return self.me


@replica
class Leaf:
    def __call__(self, x):
        return x


@replica
class ALeaf:
    async def __call__(self, x):
        return x


@replica
class SizeOf:
    def __call__(self, data):
        return len(data)


@replica
class ASizeOf:
    async def __call__(self, data):
        return len(data)


class Caller:
    """A function that calls another one."""

    def __init__(self, other):
        self.other = other


class DefLink(Caller):
    def __call__(self, x):
        return self.other.remote(x).result()


class AsyncLink(Caller):
    async def __call__(self, x):
        return await self.other.remote(x)


@replica
class Deep(Recursive):
    def __call__(self, n):
        return self.handle("Deep").remote(n - 1).result() if n > 1 else n


@replica
class ADeep(Recursive):
    async def __call__(self, n):
        return await self.handle("ADeep").remote(n - 1) if n > 1 else n


@replica
class Fib(Recursive):
    def __call__(self, n):
        me = self.handle("Fib")
        return n if n < 2 else me.remote(n - 1).result() + me.remote(n - 2).result()


@replica
class AFib(Recursive):
    async def __call__(self, n):
        me = self.handle("AFib")
        return n if n < 2 else await me.remote(n - 1) + await me.remote(n - 2)


def argument(what, x):
    return bytes(x) if what == "data" else x


@replica
class Drive:
    def __init__(self, called):
        self.called = called

    def __call__(self, how, what, times, x):
        began = time.perf_counter()
        self.WAYS[how](self, self.called[what], times, argument(what, x))
        return time.perf_counter() - began

    def alone(self, called, times, x):
        for _ in range(times):
            called.remote(x).result()

    def in_flight(self, called, times, x):
        """At most 64 unfinished: Ray has no `map` with a limit."""
        waiting = []
        for _ in range(times):
            if len(waiting) == IN_FLIGHT:
                waiting.pop(0).result()
            waiting.append(called.remote(x))
        for response in waiting:
            response.result()

    def fan(self, called, times, x):
        for _ in range(times // FAN):
            self.at_once(called, FAN, x)

    def at_once(self, called, times, x):
        for response in [called.remote(x) for _ in range(times)]:
            response.result()

    WAYS = {"alone": alone, "in flight": in_flight, "fan": fan, "at once": at_once}


@replica
class ADrive:
    def __init__(self, called):
        self.called = called

    async def __call__(self, how, what, times, x):
        began = time.perf_counter()
        await self.WAYS[how](self, self.called[what], times, argument(what, x))
        return time.perf_counter() - began

    async def alone(self, called, times, x):
        for _ in range(times):
            await called.remote(x)

    async def in_flight(self, called, times, x):
        free = asyncio.Semaphore(IN_FLIGHT)

        async def one():
            async with free:
                await called.remote(x)

        await asyncio.gather(*[one() for _ in range(times)])

    async def fan(self, called, times, x):
        for _ in range(times // FAN):
            await self.at_once(called, FAN, x)

    async def at_once(self, called, times, x):
        await asyncio.gather(*[called.remote(x) for _ in range(times)])

    WAYS = {"alone": alone, "in flight": in_flight, "fan": fan, "at once": at_once}


@replica
class AsyncCaller:
    def __init__(self, leaf, aleaf):
        self.called = {"def": leaf, "async def": aleaf}

    async def __call__(self, kind, times):
        for _ in range(times):
            await self.called[kind].remote(1)


@replica
class DefCaller:
    def __init__(self, leaf, aleaf):
        self.called = {"def": leaf, "async def": aleaf}

    def __call__(self, kind, times):
        for _ in range(times):
            self.called[kind].remote(1).result()


@replica
class Crowd:
    def __init__(self, async_caller, def_caller):
        self.callers = {"async def": async_caller, "def": def_caller}

    async def __call__(self, caller, kind, times):
        one = self.callers[caller]
        began = time.perf_counter()
        await asyncio.gather(*[one.remote(kind, times // IN_FLIGHT) for _ in range(IN_FLIGHT)])
        return time.perf_counter() - began


@serve.deployment(ray_actor_options={"num_cpus": 0})
class All:
    """Holds the others together in one application."""

    def __init__(self, *others):
        pass


def link(cls, name, other):
    return replica(type(name, (cls,), {"__module__": cls.__module__})).options(name=name).bind(other)


def application():
    leaf, aleaf = Leaf.bind(), ALeaf.bind()
    called = {
        "leaf": leaf,
        "data": SizeOf.bind(),
        "parent": link(DefLink, "Parent", leaf),
        "chain": link(DefLink, "ChainA", link(DefLink, "ChainB", leaf)),
        "deep": Deep.bind(),
        "fib": Fib.bind(),
    }
    acalled = {
        "leaf": aleaf,
        "data": ASizeOf.bind(),
        "parent": link(AsyncLink, "AParent", aleaf),
        "chain": link(AsyncLink, "AChainA", link(AsyncLink, "AChainB", aleaf)),
        "deep": ADeep.bind(),
        "fib": AFib.bind(),
    }
    crowd = Crowd.bind(AsyncCaller.bind(leaf, aleaf), DefCaller.bind(leaf, aleaf))
    return All.bind(Drive.bind(called), ADrive.bind(acalled), crowd)


def ask(case):
    if case["how"] == "crowd":
        response = handle_of("Crowd").remote(case["what"], case["kind"], case["times"])
    else:
        driver = handle_of("Drive" if case["kind"] == "def" else "ADrive")
        response = driver.remote(case["how"], case["what"], case["times"], case["x"])
    return response.result(timeout_s=ANSWER_S)


def answer_to(line):
    try:
        return {"seconds": ask(json.loads(line))}
    except Exception as error:
        return {"error": (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]}


def main():
    # What libraries print goes to the log; the answers have the standard output for themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    ray.init(
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        _temp_dir=os.environ["BENCH_RAY_DIR"],
    )
    serve.start(proxy_location="Disabled")
    serve.run(application(), name=APP, route_prefix=None)
    print(json.dumps({"ready": ray.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer_to(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
