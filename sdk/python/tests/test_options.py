"""`a.options(…)`: what it accepts, and what of it travels."""

from datetime import timedelta

import pytest

import msx
from fake_hub import CALLS, LIMIT, RETURN, RUN, RawWorker, arguments
from msx import _codec, microservice


def returned(lane):
    return _codec.decode(lane.expect(RETURN)[2])


@microservice
def plain(x: int) -> int:
    return x + 1


def test_options_make_another_stub():
    quick = plain.options(timeout=0.5)
    assert (quick.name, quick.call_options) == (plain.name, {"timeout": 500})
    assert plain.call_options is None
    assert quick.options(timeout=timedelta(minutes=1)).call_options == {"timeout": 60_000}
    assert plain.options(timeout=0.0001).call_options == {"timeout": 1}


def test_options_in_plain_mode_change_nothing():
    assert plain.options(timeout=1)(1) == 2
    assert plain.options(timeout=1).start(1).result() == 2


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "1s", True])
def test_a_timeout_that_is_none(timeout):
    with pytest.raises(msx.UsageError, match="timeout"):
        plain.options(timeout=timeout)


@pytest.mark.parametrize("retries", [-1, 101, 1.5, True, "3"])
def test_retries_that_are_none(retries):
    with pytest.raises(msx.UsageError, match="retries is"):
        plain.options(retries=retries)


@pytest.mark.parametrize("retry_on", [ValueError("x"), int, "ValueError", (KeyError, None)])
def test_retry_on_takes_exceptions(retry_on):
    with pytest.raises(msx.UsageError, match="retry_on takes exception classes"):
        plain.options(retry_on=retry_on)


@pytest.mark.parametrize("key", ["", "k" * 257, "é" * 129, 7])
def test_keys_that_are_none(key):
    with pytest.raises(msx.UsageError, match="idempotency_key must be a text"):
        plain.options(idempotency_key=key)


@pytest.mark.parametrize("key", ["", 7])
def test_keys_for_turns_that_are_none(key):
    with pytest.raises(msx.UsageError, match="plain: key must be a text"):
        plain.options(key=key)


def test_keys_travel():
    with RawWorker("options.keyed") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane)
        _, _, entries, _ = lane.expect(CALLS)
        assert entries[0][4] == {"idempotency_key": "order-7", "key": "seven"}


def test_names_of_exceptions_travel():
    with RawWorker("options.retried") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane)
        _, _, entries, _ = lane.expect(CALLS)
        assert entries[0][4] == {"retries": 2, "retry_on": ["builtins.KeyError", "builtins.OSError"]}


@pytest.mark.parametrize("service", ["options.calls", "options.acalls"])
def test_options_travel_with_the_entry(service):
    with RawWorker(service) as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane)
        _, _, entries, _ = lane.expect(CALLS)
        assert [entry[4] for entry in entries] == [{"timeout": 1500}]


@pytest.mark.parametrize("service", ["options.remaining", "options.remaining_by_context"])
def test_the_deadline_of_a_call_is_what_remains_for_its_caller(service):
    with RawWorker(service) as worker:
        worker.hello()
        lane = worker.lane()
        lane.send(RUN, 1, 1, arguments(), None, [], LIMIT, "", 60_000)
        assert 55 < returned(lane) <= 60
        worker.run(lane, call=2)
        assert returned(lane) is None
