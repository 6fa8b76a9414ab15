"""What a program outside may do; run by `msx run --inline`, so that only `msx.connect()` asks the hub."""

import asyncio
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msx
import shop
from msx import services
from shop import Order, OutOfStock, alone, alone_in_turn, flaky, pid, price, same, total, waits


def calls():
    assert pid() == os.getpid()
    with msx.connect() as hub:
        assert pid() != os.getpid()
        assert total("apple", "pear", "pear") == 11
        order = Order("apple", (1, 2))
        assert same.start(order).result() == order
        assert msx.gather(same.start({1, 2}), price.start("pear")) == [{1, 2}, 4]
        assert [future.result() for future in [same.start(n) for n in range(300)]] == list(range(300))
        assert len(same.start("x" * 5_000_000).result()) == 5_000_000
        assert msx.run(os.getpid) == os.getpid()
        assert [name["alias"] for name in msx.orchestrator.services()][0] == "pid"
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(lambda _: pid(), range(100)))) == 1
    assert pid() == os.getpid()
    assert "closed" in repr(hub)


def errors():
    with msx.connect():
        try:
            price("plum")
        except OutOfStock as error:
            assert isinstance(error, msx.RemoteError)
            assert (str(error), error.left, error.service) == ("there is no plum", 0, "shop.price")
            assert "in price" in error.traceback
        for service in (services.prise, getattr(services, "shop.prise"), services.zzz):
            try:
                service("apple")
            except msx.ServiceUnavailable as error:
                print(error)
        try:
            shop.mistyped()
        except msx.ServiceUnavailable as error:
            print(error)
        try:
            same.start(object())
        except TypeError as error:
            print(error)
    with msx.connect(timeout=0.2):
        try:
            waits("too-long")
        except msx.TimeoutError as error:
            print(error)
    try:
        services.prise("apple")
    except msx.UsageError as error:
        print(error)


def options():
    with msx.connect(timeout=60):
        once = price.options(idempotency_key="fruit")
        assert [once("apple"), once.start("apple").result()] == [3, 3]
        try:
            once("pear")
        except msx.IdempotencyConflict as error:
            assert error.service == "shop.price"
        else:
            raise AssertionError("the key belongs to a call with other arguments")
        try:
            waits.options(timeout=0.2)("too-late")
        except msx.TimeoutError as error:
            assert "within 0.2 s" in str(error)
        while not Path("too-late.cancelled").exists():
            time.sleep(0.01)


def retries_and_keys():
    with msx.connect():
        assert flaky.options(retries=2, retry_on=OSError)("twice", 2) == 3
        for attempts, options in ((1, {}), (2, {"retries": 1}), (1, {"retries": 1, "retry_on": LookupError})):
            try:
                flaky.options(**options)(f"gives-up-{options}", 5)
            except ConnectionError as error:
                assert str(error) == f"attempt {attempts}"
            else:
                raise AssertionError("there are fewer retries than failures")
        calls = [alone.options(key=account).start(account) for account in ("ann", "bob") for _ in range(4)]
        assert msx.gather(*calls) == [1] * 8
        streams = [alone_in_turn.options(key="one") for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(lambda stream: list(stream("one")), streams)) == [[False]] * 3


def by_name():
    with msx.connect():
        assert services.price("apple") == 3
        assert getattr(services, "shop.price").start("pear").result() == 4
        assert services.same.start((1,)).result() == (1,)
    assert services.pid() == os.getpid()


def on_a_loop():
    async def main():
        async with msx.connect():
            assert await pid.aio() != os.getpid()
            assert await same((1, 2)) == (1, 2)
            assert await msx.gather(price.start("apple"), same(2)) == [3, 2]
            assert await asyncio.gather(*[same(n) for n in range(300)]) == list(range(300))
            try:
                await price.aio("plum")
            except OutOfStock as error:
                assert error.left == 0
            try:
                price("apple")
            except msx.UsageError as error:
                print(error)
            task = asyncio.create_task(waits.aio("task"))
            while not Path("task.begun").exists():
                await asyncio.sleep(0.01)
            task.cancel()

    asyncio.run(main())


def of_a_notebook():
    """A cell after the other, some with a loop that runs."""
    hub = msx.connect()
    assert pid() != os.getpid()
    early = same.start(1)

    async def cell():
        assert await pid.aio() != os.getpid()
        assert await early == 1

    asyncio.run(cell())
    hub.close()
    assert pid() == os.getpid()


def the_hub_ends():
    """Says when it waits; the test kills the hub."""
    with msx.connect():
        try:
            waits("never")
        except msx.ServiceUnavailable as error:
            print(error)
        while not Path("ended").exists():
            time.sleep(0.01)
        try:
            pid()
        except msx.ServiceUnavailable as error:
            print(error)
    try:
        msx.connect()
    except msx.ServiceUnavailable as error:
        print(error)


def outlives_a_hub():
    """The test restarts the hub between two calls."""
    with msx.connect():
        first = pid()
        Path("called").touch()
        while not Path("restarted").exists():
            time.sleep(0.01)
        assert pid() != first


def interrupted():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    with msx.connect():
        waits("interrupted")


def nowhere():
    for place in (None, "missing", "shop.py"):
        try:
            msx.connect(place)
        except (msx.ServiceUnavailable, msx.UsageError) as error:
            print(error)


globals()[sys.argv[1]]()
assert threading.active_count() == 1
