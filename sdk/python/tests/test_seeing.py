"""What a worker tells of its calls: their stacks, their summaries, their ids."""

import os
import time

import msx
from fake_hub import ASK_STACKS, CALLS, EVICT, EVICTED, INTERRUPT, RAISE, RETURN, STACKS, SUMMARY, RawWorker
from msx import _codec

FOREVER = 10**12
SDK = os.path.dirname(msx.__file__)


def stacks_of(worker, nonce=1):
    worker.control.send(ASK_STACKS, nonce)
    answered, stacks = worker.control.expect(STACKS)
    assert answered == nonce
    return stacks


def running(worker):
    """The stacks, once some code runs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        stacks = stacks_of(worker)
        if any("seen.py" in stack[4] for stack in stacks):
            return stacks
    raise AssertionError(stacks)


def test_a_stuck_loop_shows_its_line():
    with RawWorker("seen.spins") as worker:
        worker.hello()
        lanes = [worker.lane(), worker.lane()]
        worker.run(lanes[0], FOREVER)
        busy, idle = running(worker)
        assert busy[:4] == ["lane-0", 1, 1, "running"]
        assert SDK not in busy[4], "only frames of the user's are shown"
        assert idle == ["lane-1", 0, 0, "idle", ""]
        worker.control.send(INTERRUPT, 1, 1, "test")
        worker.control.recv()  # its stack
        lanes[0].expect(RAISE)


def test_a_blocked_event_loop_shows_its_line():
    with RawWorker("seen.blocks") as worker:
        worker.hello()
        worker.run(worker.lane(), FOREVER)
        (stack,) = running(worker)
        assert stack[:4] == ["call", 1, 1, "running"]


def test_a_parked_call_shows_where_it_waits():
    with RawWorker("seen.waits") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, 7)
        assert lane.expect(SUMMARY) == [1, 1, "waits for 7"]
        entries = lane.expect(CALLS)[2]
        (stack,) = stacks_of(worker, 2**64 - 1)
        assert stack[:4] == ["lane-0", 1, 1, "parked"]
        assert stack[4].endswith("return child(x), msx.context().id\n")
        lane.send(EVICT, 1, 1)
        lane.expect(EVICTED)
        result = [entries[0][0], "seen.child", entries[0][2], True, _codec.encode("seven")]
        worker.run(lane, 7, attempt=2, results=[result])
        assert lane.expect(SUMMARY) == [1, 2, "waits for 7"]
        assert _codec.decode(lane.expect(RETURN)[2]) == ("seven", "id1")


def test_the_tasks_of_a_call_are_shown():
    with RawWorker("seen.awaits") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, 7)
        assert lane.expect(SUMMARY) == [1, 1, "s" * 200], "what nobody keeps is not sent"
        waits = None
        while waits is None:
            waits = lane.expect(CALLS)[3]
        stacks = stacks_of(worker)
        assert [stack[1:4] for stack in stacks] == [[1, 1, "parked"]] * 3
        lines = [stack[4].splitlines()[-1].strip() for stack in stacks]
        assert lines[1:] == ["return await child.aio(y)"] * 2
        assert "asyncio.gather(part(x), part(x + 1))" in lines[0]


def test_an_import_that_takes_long_is_seen():
    with RawWorker("starts_slowly.f") as worker:
        deadline = time.monotonic() + 30
        (stack,) = stacks_of(worker)
        while "starts_slowly.py" not in stack[4]:
            assert time.monotonic() < deadline, stack
            (stack,) = stacks_of(worker)
        assert stack[:4] == ["MainThread", 0, 0, "running"]


def test_without_a_hub_nobody_looks():
    msx.summary("order 17")
    assert msx.context().id == ""
