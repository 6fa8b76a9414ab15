"""`async def` services in real workers."""

import sys
import uuid

import pytest

import msx

needs_groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup came with 3.11")


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop(request):
    return request.param


@pytest.mark.parametrize("service", ["fib", "gather_fib", "task_fib"])
def test_recursion(hub, service):
    assert hub.call(f"aio.{service}", 9) == 34


@pytest.mark.parametrize("service", ["fan", "task_fan"])
def test_a_fan(hub, service):
    assert hub.call(f"aio.{service}", 200) == 200 * 199 // 2 + 200


def test_a_chain(hub):
    assert hub.call("aio.chain", 60) == 60


def test_tasks_that_make_calls_replay(hub):
    assert hub.call("aio.pipelines", 7) == [300 + i for i in range(7)]
    assert hub.call("aio.first_of", 7) == sum(range(7))


@pytest.mark.parametrize(
    ("service", "argument", "result"),
    [
        ("mixed", 1, [3, 2, 4, 5]),
        ("completed", 5, [10, 11, 12, 13, 14]),
        ("waits_for", 1, 2),
        ("nested", 4, 4 * 3 + 3 * 6),
        pytest.param("group", 4, [1, 3, 5, 7], marks=needs_groups),
    ],
)
def test_what_asyncio_offers(hub, service, argument, result):
    before = hub.made
    assert hub.call(f"aio.{service}", argument) == result
    made = hub.made - before
    assert hub.call(f"aio.{service}", argument) == result
    assert hub.made - before == 2 * made


def test_it_calls_def_services(hub):
    assert hub.call("aio.calls_def", 1) == [2, 3]
    assert hub.call("aio.counted", str(uuid.uuid4())) == [1, 2]


@pytest.mark.parametrize("service", ["sync_call", "sync_result"])
def test_blocking_the_loop_is_refused(hub, service):
    with pytest.raises(msx.UsageError, match="use: await"):
        hub.call(f"aio.{service}", 1)


def test_other_threads_have_no_call(hub):
    with pytest.raises(msx.NoCallContext, match="on another thread"):
        hub.call("aio.in_thread")


def test_what_surrounds_a_call_changes_nothing(hub):
    before = hub.made
    assert hub.call("aio.swallow", 1) == [2, 3]
    assert hub.made == before + 2


def test_waiting_for_other_things(hub):
    assert hub.call("aio.sleeps", 1) == 3


def test_a_timeout_of_its_own(one_hub):
    one_hub.replay, one_hub.max_parked = False, 256
    one_hub.slots = 2
    assert one_hub.call("aio.timeout", 1) == 2


def test_msx_run_runs_once(hub):
    first, two, second = hub.call("aio.memo", str(uuid.uuid4()))
    assert (two, second) == (2, first + 1)


@pytest.mark.parametrize("service", ["exits", "exits_in_task"])
def test_exit_is_an_error_and_the_worker_lives(hub, service):
    for _ in range(2):
        with pytest.raises(msx.RemoteError, match="3"):
            hub.call(f"aio.{service}")


def test_the_first_error_of_gather(hub):
    assert hub.call("aio.gather_errors") == "not here"


def test_a_task_that_outlives_its_call(hub):
    assert hub.call("aio.forgets_task", 1) == 3


def test_many_at_once(hub):
    roots = [hub.submit("aio.chain", n % 10) for n in range(30)]
    assert [hub.wait_for(root) for root in roots] == [n % 10 for n in range(30)]
