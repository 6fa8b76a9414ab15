"""Generators as services: plain mode, messages. On real processes: tests/it/calls/streams.rs."""

import asyncio

import pytest

import msx
from msx import _signature, microservice
from msx._protocol import Run
from msx._replay import Call
from msx._streams import ITEMS_AHEAD, Yielding

closed = []


@microservice
def count(n, fails=False):
    try:
        yield from range(n)
        if fails:
            raise ValueError(n)
    finally:
        closed.append("count")
    return "all"


@microservice
async def acount(n, fails=False):
    try:
        for number in range(n):
            yield number
        if fails:
            raise ValueError(n)
    finally:
        closed.append("acount")


@microservice
def lists():
    shared = [1]
    yield shared
    shared.append(2)
    yield shared


class Words:
    def __call__(self, times):
        yield from ["to", "be"] * times


words = microservice(Words)


async def collected(stream):
    return [item async for item in stream]


@pytest.mark.parametrize("service", [count, acount])
def test_either_kind_is_iterated_in_either_way(service):
    assert list(service(3)) == [0, 1, 2]
    assert asyncio.run(collected(service(3))) == [0, 1, 2]
    assert list(words(1)) == ["to", "be"]


def test_nothing_runs_before_the_first_item():
    closed.clear()
    stream = count(3)
    stream.close()
    del stream
    assert closed == []


@pytest.mark.parametrize("service", [count, acount])
def test_an_exception_comes_behind_the_items(service):
    got = []
    with pytest.raises(ValueError, match="2") as caught:
        for item in service(2, fails=True):
            got.append(item)
    assert got == [0, 1]
    assert isinstance(caught.value, msx.RemoteError)

    async def take():
        async for item in service(2, fails=True):
            got.append(item)

    with pytest.raises(ValueError, match="2"):
        asyncio.run(take())
    assert got == [0, 1, 0, 1]


def test_what_it_returns_is_the_value_of_yield_from():
    def inner():
        returned.append((yield from count(1)))

    returned = []
    assert list(inner()) == [0]
    assert returned == ["all"]


@pytest.mark.parametrize("service", [count, acount])
def test_who_leaves_ends_it(service):
    closed.clear()
    for _ in service(5):
        break
    assert closed == [service.__name__]
    stream = service(5)
    next(stream)
    stream.close()
    assert closed == [service.__name__] * 2


def test_items_are_encoded_as_they_are_made():
    assert list(lists()) == [[1], [1, 2]]


def test_another_form_of_call_is_refused():
    for misuse in (lambda: count.start(1), lambda: count.aio(1), lambda: count.map([1])):
        with pytest.raises(msx.UsageError, match=r"use: for item in count\(…\)"):
            misuse()
    with pytest.raises(msx.UsageError, match="idempotency_key"):
        count.options(idempotency_key="k")(1)
    with pytest.raises(msx.UsageError, match="gather takes calls"):
        msx.gather(count(1))


def test_the_hub_of_tests_says_that_it_cannot(msx_hub):
    with pytest.raises(msx.UsageError, match="cannot stream"):
        list(count(1))


def test_the_signature_says_that_it_streams():
    assert _signature.describe(count.fn)["streams"] is True
    assert _signature.describe(words.fn)["streams"] is True
    assert "streams" not in _signature.describe(collected)


def test_a_replay_sends_what_the_hub_does_not_have():
    yielding = Yielding(Call(Run(1, 2, b"", None, [], 1000, yielded=2), "a.a"))
    sent = [yielding.take(item) for item in "abcd"]
    assert [None if item is None else item.index for item in sent] == [None, None, 2, 3]


def test_room_is_asked_for_by_number_and_by_size():
    yielding = Yielding(Call(Run(1, 1, b"", None, [], 1_000_000, yielded=0), "a.a"))
    asked = []
    for item in range(2 * ITEMS_AHEAD):
        yielding.take(item)
        if yielding.wants_room():
            asked.append(yielding.count)
    assert asked == [ITEMS_AHEAD, 2 * ITEMS_AHEAD]
    yielding.take(b"x" * 300_000)
    assert yielding.wants_room()


def test_a_generator_that_is_called_like_a_function_says_so():
    with pytest.raises(msx.UsageError, match="called like a function"):
        Yielding(Call(Run(1, 1, b"", None, [], 1000), "a.a"))
