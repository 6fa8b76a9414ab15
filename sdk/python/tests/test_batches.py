"""Functions that take several calls at once."""

import asyncio
import importlib
import inspect

import msgspec
import pytest

from fake_hub import LIMIT, RAISE, RUN, RawWorker, arguments
from msx import _codec, microservice
from msx._remote import decode_error
from test_discover import discover  # noqa: F401

ANSWERS = 60


def run(name, *calls, limit=LIMIT):
    """What a worker answers a batch of these calls, which are (args, kwargs)."""
    payload = msgspec.msgpack.encode([msgspec.Raw(arguments(*args, **kwargs)) for args, kwargs in calls])
    with RawWorker(name) as worker:
        worker.hello()
        lane = worker.lane()
        lane.send(RUN, 1, 1, payload, None, [], limit, "", None, 0, len(calls))
        tag, fields = lane.recv()
        if tag == RAISE:
            return decode_error(fields[2])
        assert (tag, fields[:2]) == (ANSWERS, [1, 1])
        return [_codec.decode(payload) if ok else decode_error(payload) for ok, payload in fields[2]]


def one(*args, **kwargs):
    return args, kwargs


def test_a_result_for_each_call():
    assert run("batches.doubles", one(1), one(xs=2), one(3)) == [2, 4, 6]


def test_arguments_become_what_their_annotations_say():
    importlib.import_module("batches")  # else the results do not resolve here
    moved = run("batches.moves", one({"x": 1}, by=2), one({"x": 5}, by=1))
    assert [point.x for point in moved] == [3, 6]


def test_an_exception_in_the_list_is_of_one_call():
    first, second = run("batches.doubles", one(-1), one(2))
    assert isinstance(first, ValueError)
    assert str(first) == "-1 is negative"
    assert second == 4


def test_arguments_that_do_not_fit_are_of_one_call():
    first, second, third = run("batches.doubles", one(), one(2), one(1, 2))
    assert str(first) == "doubles(): missing a required argument: 'xs'"
    assert second == 4
    assert isinstance(third, TypeError)


def test_a_run_for_nobody_is_none():
    [error] = run("batches.odd", one())
    assert "missing a required argument" in str(error)


def test_who_cannot_be_answered_beside_those_whose_arguments_do_not_fit():
    raised, bad = run("batches.odd", one("raise"), one())
    assert isinstance(raised, KeyError)
    assert isinstance(bad, TypeError)


def test_a_result_that_cannot_travel_is_of_one_call():
    first, second = run("batches.odd", one("fine"), one("object"))
    assert first == "fine"
    assert str(second).startswith("batches.odd: its result: a value of type object cannot travel")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("short", "for its 2 calls it must return a list of 2, in their order, but it returned 1"),
        ("none", "it must return a list with a result for each of its calls, not a NoneType"),
        ("generator", "not a list_iterator"),
        ("text", "not a str"),
        ("raise", "all"),
    ],
)
def test_what_is_no_list_is_an_error_for_all(kind, text):
    assert text in str(run("batches.odd", one(kind), one("second")))


def test_results_that_do_not_fit_into_one_message():
    error = run("batches.odd", one("x" * 600), one("y" * 600), limit=1000)
    assert "batches.odd: the results of 2 calls take 1206 bytes together; the limit is 1000" in str(error)


def test_without_a_hub_a_run_is_given_lists_of_one():
    from batches import Point, doubles, moves, odd

    assert doubles(3) == 6
    assert doubles.local(3) == 6
    assert doubles.start(3).result() == 6
    assert list(doubles.map([1, 2])) == [2, 4]
    assert asyncio.run(_await(moves, Point(1), by=2)) == Point(3)
    assert asyncio.run(moves.local(Point(1), by=2)) == Point(3)
    with pytest.raises(ValueError, match="-1 is negative"):
        doubles(-1)
    with pytest.raises(ValueError, match="-1 is negative"):
        doubles.local(-1)
    with pytest.raises(ValueError, match="for its 1 call it must return a list of 1"):
        odd("short")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        doubles()


async def _await(service, *args, **kwargs):
    return await service(*args, **kwargs)


def test_numpy_rows():
    numpy = pytest.importorskip("numpy")

    assert rows(3).tolist() == [3, 3]
    assert isinstance(rows(3), numpy.ndarray)


@microservice(batch=8)
def rows(xs: list[int]):
    import numpy

    return numpy.repeat(numpy.array(xs)[:, None], 2, axis=1)


def test_in_a_test_of_users(msx_hub):
    from batches import Point, doubles, moves

    assert list(doubles.map(range(5))) == [0, 2, 4, 6, 8]
    assert moves.start(Point(1), by=2).result() == Point(3)
    with pytest.raises(ValueError, match="-1 is negative"):
        doubles(-1)


def test_the_outside_sees_one_call(discover):  # noqa: F811
    found, _ = discover("batches")
    assert found["errors"] == []
    doubles, moves, odd = found["services"]
    assert doubles["options"] == {"batch": 4, "within": "5ms"}
    assert doubles["signature"]["text"] == "(xs: int)"
    assert doubles["signature"]["returns"] == "int"
    assert doubles["signature"]["params"][0]["schema"] == {"type": "integer"}
    assert moves["signature"]["text"] == "(points: batches.Point, *, by: int)"
    assert odd["signature"]["text"] == "(xs)"
    assert odd["signature"]["params"][0]["schema"] is None


def none():
    return []


def default(xs, by=1):
    return xs


def variadic(*xs):
    return xs


def keywords(xs, **others):
    return xs


def stream(xs):
    yield from xs


class Model:
    def __call__(self):
        return []


@pytest.mark.parametrize(
    ("fn", "text"),
    [
        (none, "none: with batch= it is given a list for each of its parameters, but it has none"),
        (default, "its parameter 'by' is a list with an element of each call, so it has no default"),
        (variadic, r"\*xs is no such"),
        (keywords, r"\*\*others is no such"),
        (stream, "generators"),
        (Model, "Model: with batch= it is given a list for each of its parameters, but it has none"),
    ],
)
def test_what_cannot_take_lists(fn, text):
    with pytest.raises(TypeError, match=text):
        microservice(batch=4)(fn)


def test_within_needs_batch():
    with pytest.raises(TypeError, match=r"within= says how long calls wait for a batch: add batch="):
        microservice(within="5ms")


def test_its_own_signature_is_that_of_the_function():
    from batches import doubles

    assert str(inspect.signature(doubles)) == "(xs: list[int]) -> list[int]"
