"""Timers of asyncio that race with calls strike again where they struck, when the call is replayed."""

import pytest


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop(request):
    return request.param


def test_timeouts_that_strike(hub):
    got, last = hub.call("atimers.times_out", 3)
    assert (got, last) == ([-1, 0, -2, 1, -3, 2], 0.3)


def test_timeouts_that_do_not(hub):
    assert hub.call("atimers.in_time", 1) == 4


def test_wait_with_a_timeout(hub):
    assert hub.call("atimers.waits_with_a_timeout") == [[2], [1.4], 0]


def test_sleeps_beside_calls(hub):
    assert hub.call("atimers.sleeps_beside", 4) == [[100, 101, 102, 103], [0.01] * 4 + [0.1]]


def test_many_timers(hub):
    assert hub.call("atimers.heartbeat") == [0.2, True, 2]


@pytest.mark.parametrize(("service", "args", "result"), [("sleeps", (1,), 2), ("first_within", (), 3)])
def test_others(hub, service, args, result):
    assert hub.call(f"atimers.{service}", *args) == result
