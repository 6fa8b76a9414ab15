"""Plain mode: the stub in pytest, in a script, in a REPL."""

import asyncio
import gc
import sys
from dataclasses import dataclass

import pytest

import msx
from msx import microservice, orchestrator


class Custom(LookupError):
    def __init__(self, code):
        super().__init__("no", code)
        self.code = code


@dataclass
class Point:
    x: int


seen = []


@microservice
def add(x, y):
    return x + y


@microservice
async def plus(x, y):
    await asyncio.sleep(0)
    return x + y


@microservice
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@microservice
def keep(x):
    seen.append(x)
    return seen


@microservice
def fails(code):
    raise Custom(code)


@microservice
def calls_fails(code):
    return fails(code)


@microservice
async def async_fails(code):
    return await calls_fails.aio(code)


@microservice
def leaves():
    sys.exit(3)


@microservice
def gathers(n):
    return msx.gather(*[add.start(i, 1) for i in range(n)])


@microservice
def of_async(x):
    return plus.start(x, 1).result()


@microservice
def move(point: Point, by: int):
    return Point(point.x + by)


def test_calls():
    assert add(1, 2) == 3
    assert add.local(1, 2) == 3
    assert fib(10) == 55
    assert add.start(1, 2).result() == 3
    assert gathers(3) == [1, 2, 3]
    assert of_async(1) == 2
    assert plus.start(1, y=2).result() == 3
    assert msx.gather() == []


def test_nothing_is_shared():
    value = [1]
    returned = keep(value)
    value.append(2)
    assert seen[-1] == [1]
    returned.append("x")
    assert "x" not in seen


def test_arguments_follow_their_annotations():
    assert move(Point(1), 2) == Point(3)
    assert move({"x": 1}, by=2) == Point(3)
    with pytest.raises(AttributeError):
        move({"y": 1}, 2)


def test_what_cannot_travel():
    with pytest.raises(
        TypeError, match=r"test_plain\.add: argument 'y': a value of type object cannot travel"
    ):
        add(1, object())
    with pytest.raises(TypeError, match=r"argument 'y': .* nested deeper"):
        loop = []
        loop.append(loop)
        add(1, y=loop)


@pytest.mark.parametrize("call", [fails, calls_fails, lambda code: fails.start(code).result()])
def test_exceptions_are_as_from_a_worker(call):
    with pytest.raises(Custom) as caught:
        call(7)
    error = caught.value
    assert isinstance(error, msx.RemoteError)
    assert (error.args, error.code, error.service) == (("no", 7), 7, "test_plain.fails")
    assert "raise Custom(code)" in error.traceback
    assert any(entry.name == "fails" for entry in caught.traceback)  # the real frames, for debuggers
    assert getattr(error, "__notes__", []) == []


def test_exit_is_an_error():
    with pytest.raises(msx.RemoteError, match="3"):
        leaves()


def test_async():
    async def main():
        with pytest.raises(msx.UsageError, match=r"use: await add\.aio\("):
            add(1, 2)
        with pytest.raises(msx.UsageError, match="use: await future"):
            add.start(1, 2).result()
        assert await add.aio(1, 2) == 3
        assert await add.start(1, 2) == 3
        assert await fib.aio(5) == 5
        assert await plus(1, 2) == 3
        assert await plus.local(1, 2) == 3
        assert await msx.gather(plus(1, 2), add.start(3, 4), of_async.aio(5)) == [3, 7, 6]
        assert await asyncio.gather(plus(1, 2), add.aio(3, 4)) == [3, 7]
        assert await asyncio.create_task(plus(1, 2)) == 3
        assert await msx.gather() == []
        with pytest.raises(Custom) as caught:
            await async_fails(1)
        assert isinstance(caught.value, msx.RemoteError)
        future = plus.start(1, 2)
        assert [await future, await future] == [3, 3]

    asyncio.run(main())


def test_gather_waits_for_all_then_raises_the_first_error():
    async def main():
        before = len(seen)
        with pytest.raises(Custom) as caught:
            await msx.gather(plus(1, 2), fails.aio(1), fails.aio(2), keep.aio("x"))
        assert caught.value.code == 1
        assert len(seen) == before + 1

    asyncio.run(main())


def test_gather_takes_futures_only():
    with pytest.raises(msx.UsageError, match=r"like a\.start\(x\); this is a int"):
        msx.gather(add(1, 2))


def test_an_awaitable_that_nobody_awaits():
    with pytest.warns(RuntimeWarning, match="the call of test_plain.plus was never awaited"):
        plus(1, 2)
        gc.collect()


def test_run():
    assert msx.run(add.local, 1, 2) == 3
    assert asyncio.run(msx.run(plus.local, 1, 2)) == 3
    with pytest.raises(TypeError, match="its result: a value of type object cannot travel"):
        msx.run(object)


def test_the_orchestrator_needs_a_hub():
    for call in (orchestrator.services, orchestrator.health):
        with pytest.raises(msx.UsageError, match="is answered by a running hub"):
            call()
    with pytest.raises(msx.UsageError, match=r"`msx call msx\.orchestrator\.access`"):
        orchestrator.access("a")


def test_one_call_is_awaited_by_many_tasks():
    async def main():
        future = plus(4, 5)
        tasks = asyncio.ensure_future(future), asyncio.create_task(future)
        assert await asyncio.gather(asyncio.shield(future), *tasks, asyncio.shield(future)) == [9] * 4
        assert await future == 9
        failing = fails.aio(1)
        tasks = [asyncio.create_task(failing) for _ in range(2)]
        first, second = await asyncio.gather(*tasks, return_exceptions=True)
        assert first is second
        assert isinstance(first, msx.RemoteError)

    asyncio.run(main())
