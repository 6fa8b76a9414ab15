"""Calls from threads that a `def` service has started itself."""

import uuid

import pytest

import msx


def test_one(hub):
    before = hub.made
    assert hub.call("guests.one", 1) == 2
    assert hub.made == before + 1


def test_many_threads_and_the_calls_own(hub):
    before = hub.made
    each = [2 * (i + 10) for i in range(4)]
    assert hub.call("guests.many", 4) == [each, 3, each, 4]
    assert hub.made == before + 2 * 4 * 3 + 3


def test_a_pool(hub):
    assert hub.call("guests.pool", 20) == list(range(1, 21))


def test_while_the_calls_own_thread_waits(hub):
    n = 10
    before = hub.made
    expected = [list(range(n)), list(range(100, 100 + n)), list(range(200, 200 + n))]
    assert hub.call("guests.beside", n) == expected
    assert hub.made == before + 3 * n


def test_each_form(hub):
    assert hub.call("guests.forms", 1) == [[1, 2, 3], [1, 2, 3], 6, [2, 3, 4], True]


def test_futures_are_shared(hub):
    assert hub.call("guests.hands_over", 1) == [2, 3]


def test_a_queue(hub):
    assert hub.call("guests.queues", 5) == [0, 1, 2, 3, 4]


def test_the_same_call_twice_runs_twice(hub):
    assert hub.call("guests.same_twice", str(uuid.uuid4())) == [1, 2]


def test_errors(hub):
    assert hub.call("guests.guest_error") == "TypeError"
    assert "msx.run on a thread of your own" in hub.call("guests.in_memo")


def test_several_calls_with_guests(hub):
    hub.slots = 1
    roots = [hub.submit("guests.beside", 5) for _ in range(6)]
    assert all(hub.wait_for(root)[0] == [0, 1, 2, 3, 4] for root in roots)


def test_a_guest_that_outlives_its_call(hub):
    for x in range(3):
        assert hub.call("guests.outlived", x) == x
        assert hub.call("guests.outlived", x) == x


def test_what_is_not_asked_again_is_an_error(one_hub):
    one_hub.replay, one_hub.max_parked = True, 256
    with pytest.raises(msx.NonDeterminismError, match=r"before: basic.add\(.*\n  now:    no such call"):
        for _ in range(100):  # one whose answer comes before it waits is not run again
            one_hub.call("guests.not_deterministic")
