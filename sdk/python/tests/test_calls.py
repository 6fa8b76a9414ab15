"""`def` services in real workers: calls of calls, under parking, eviction and replay."""

import re
import uuid

import pytest

import msx


def test_calls_of_calls(hub):
    assert hub.call("basic.fib", 9) == 34
    assert hub.call("basic.gather_fib", 9) == 34


def test_a_chain(hub):
    assert hub.call("basic.chain", 60) == 60


def test_a_fan(hub):
    assert hub.call("basic.fan", 300) == 300 * 299 // 2 + 300


def test_futures_in_any_order(hub):
    assert hub.call("basic.futures", 1) == [3, 2, 3]


def test_a_call_that_nobody_awaits_is_made(hub):
    before = hub.made
    assert hub.call("basic.forgotten") == "done"
    assert hub.made == before + 1


def test_the_same_call_twice_runs_twice(hub):
    assert hub.call("basic.same_twice", str(uuid.uuid4())) == [1, 2]


@pytest.mark.parametrize(
    ("service", "result", "calls"),
    [
        ("except_exception", [2, 3], 2),
        ("bare_except", [2, 3], 2),
        ("finally_return", 1, 1),
        ("finally_call", 2, 2),
    ],
)
def test_what_surrounds_a_call_changes_nothing(hub, service, result, calls):
    before = hub.made
    assert hub.call(f"basic.{service}", 1) == result
    assert hub.made == before + calls


def test_none_is_an_answer(hub):
    assert hub.call("basic.nothing") is None


def test_locks_and_thread_locals_stay_the_calls_own(hub):
    roots = [hub.submit("basic.own_state", x) for x in (1, 2, 3)]
    assert [hub.wait_for(root) for root in roots] == [[x, x, True, x + 1] for x in (1, 2, 3)]


def test_each_call_has_a_fresh_context(hub):
    assert hub.call("basic.own_state", 5)[1] == 5
    assert hub.call("basic.leaked_context") == 0


def test_sets_replay(hub):
    words = {"a", "b", "c", "d", "e"}
    assert sorted(hub.call("basic.set_loop", words)) == ["a!", "b!", "c!", "d!", "e!"]


def test_msx_run_runs_once(hub):
    assert hub.call("basic.memo", str(uuid.uuid4())) == [True, 1, 3, 2, 2]


def test_msx_run_records_errors(hub):
    assert hub.call("basic.memo_error", "gone") == [2, "gone", True]


def test_no_calls_inside_of_msx_run(hub):
    with pytest.raises(msx.UsageError, match="inside of msx.run"):
        hub.call("basic.call_in_memo")


def test_an_event_loop_inside_of_a_def(hub):
    assert hub.call("basic.through_loop", 1) == [2, 3, [4, 5]]
    with pytest.raises(msx.UsageError, match=r"use: await add\.aio\("):
        hub.call("basic.blocks_loop", 1)


def test_other_threads_have_no_call(hub):
    (message,) = hub.call("basic.other_thread")
    assert "on a thread that msx did not start" in message


def test_other_calls_on_replay_are_an_error(one_hub):
    one_hub.replay, one_hub.max_parked = True, 256
    with pytest.raises(msx.NonDeterminismError) as caught:
        one_hub.call("basic.not_deterministic")
    assert "basic.not_deterministic was run again" in str(caught.value)
    first, before, now, help = str(caught.value).splitlines()
    assert first.endswith("did something else than before at its call number 0:")
    assert re.fullmatch(r"  before: basic\.add\(\d+, 1\) at .*basic\.py:207 in not_deterministic", before)
    assert re.fullmatch(r"  now:    basic\.add\(\d+, 1\) at .*basic\.py:207 in not_deterministic", now)
    assert before[10:] != now[10:]
    assert "msx.run(…)" in help


def test_errors_of_the_hub(hub):
    with pytest.raises(TimeoutError) as caught:
        hub.call("basic.slow_child")
    assert type(caught.value) is msx.TimeoutError
    assert (caught.value.service, caught.value.via) == ("hub.times_out", ("basic.slow_child",))


def test_the_hub_answers_for_the_orchestrator(hub):
    with pytest.raises(msx.ServiceUnavailable, match=r"msx\.orchestrator\.access"):
        hub.call("basic.remote_only")
