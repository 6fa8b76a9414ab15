"""A worker process, message by message."""

import json
import os
import signal
import struct
import time
from contextlib import suppress

import pytest

import msx
from fake_hub import (
    ALARM,
    ASK_BACK,
    CALLS,
    DRAIN,
    EVICT,
    EVICTED,
    GIVE_BACK,
    INTERRUPT,
    LANE,
    LIMIT,
    MEMO,
    PING,
    PONG,
    RAISE,
    RESUME,
    RETURN,
    RUN,
    STACK,
    RawWorker,
    arguments,
    message_bytes,
)  # fmt: skip
from msx import _codec
from msx._remote import decode_error


def returned(lane):
    call, attempt, payload, micros = lane.expect(RETURN)
    assert 0 <= micros < 60_000_000
    return _codec.decode(payload)


def raised(lane):
    call, attempt, payload, difference = lane.expect(RAISE)
    assert difference is None
    return decode_error(payload)


def test_hello_says_who_it_is():
    with RawWorker("life.spin") as worker:
        protocol, sdk, python, pid, service, kind, signature = worker.hello()
        assert (protocol, sdk, pid, service, kind) == (
            1,
            msx.__version__,
            worker.process.pid,
            "life.spin",
            "def",
        )
        assert python.startswith("3.")
        assert json.loads(signature)["text"] == "(seconds, started=None)"


def test_lanes_that_come_early_are_served_after_the_hooks():
    with RawWorker("life.state") as worker:
        lanes = [worker.lane() for _ in range(3)]
        for call, lane in enumerate(lanes):
            worker.run(lane, call=call)
        worker.hello()
        assert [returned(lane) for lane in lanes] == [["open", "more"]] * 3


def test_it_answers_pings_while_it_computes():
    with RawWorker("life.spin") as worker:
        worker.hello()
        worker.run(worker.lane(), 60)
        worker.control.send(PING, 7)
        assert worker.control.expect(PONG) == [7]


def test_many_messages_in_one_read_and_one_in_many():
    with RawWorker("life.echo") as worker:
        worker.hello()
        lane = worker.lane()
        lane.send_bytes(b"".join(
            message_bytes(RUN, [call, 1, arguments(call), None, [], LIMIT, ""]) for call in range(200)
        ))  # fmt: skip
        assert [returned(lane) for _ in range(200)] == list(range(200))
        for byte in message_bytes(RUN, [1, 1, arguments("x"), None, [], LIMIT, ""]):
            lane.send_bytes(bytes([byte]))
        assert returned(lane) == "x"


def test_large_messages_between_small_ones():
    with RawWorker("life.echo") as worker:
        worker.hello()
        lane = worker.lane()
        for value in ["x", b"y" * 5_000_000, 1, b"z" * 70_000, [1] * 100_000, 2]:
            worker.run(lane, value)
            assert returned(lane) == value


def test_unknown_trailing_fields_are_ignored():
    with RawWorker("life.echo") as worker:
        worker.hello()
        lane = worker.lane()
        lane.send(RUN, 1, 1, arguments(5), None, [], LIMIT, "", None, None, None, "new", 1)
        assert returned(lane) == 5


def test_the_limit_is_the_hubs():
    with RawWorker("life.echo") as worker:
        worker.hello()
        lane = worker.lane()
        lane.send(RUN, 1, 1, arguments("x" * 2000), None, [], 1000, "")
        assert "the limit is 1000" in str(raised(lane))


@pytest.mark.parametrize("service", ["life.spin", "life.swallows_cancel"])
def test_interrupt(service, tmp_path):
    with RawWorker(service) as worker:
        worker.hello()
        lane = worker.lane()
        started = tmp_path / "started"
        worker.run(lane, *([60] if service == "life.spin" else []), str(started), call=3, attempt=2)
        until(started.exists)
        stack = interrupted(worker, 3, 2)
        assert "life.py" in stack
        assert "/msx/_" not in stack
        if service == "life.spin":
            error = raised(lane)
            assert isinstance(error, msx.Cancelled)
            assert str(error) == "too slow"
        else:
            assert returned(lane) == "swallowed"
        assert interrupted(worker, 99, 1) == ""


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupted(worker, call, attempt):
    """Interrupts, and returns the stack when that has been done."""
    worker.control.send(INTERRUPT, call, attempt, "too slow")
    worker.control.send(PING, 1)
    told, of, stack = worker.control.expect(STACK)
    assert (told, of) == (call, attempt)
    worker.control.expect(PONG)
    return stack


@pytest.mark.parametrize("service", ["life.echo", "alife.echo"])
def test_an_interrupt_that_comes_before_its_run(service):
    with RawWorker(service) as worker:
        worker.hello()
        lane = worker.lane()
        assert interrupted(worker, 3, 2) == ""
        worker.run(lane, "x", call=3, attempt=1)
        assert returned(lane) == "x"
        worker.run(lane, "x", call=3, attempt=2)
        error = raised(lane)
        assert isinstance(error, msx.Cancelled)
        assert str(error) == "too slow"
        worker.run(lane, "y", call=3, attempt=3)
        assert returned(lane) == "y"


@pytest.mark.parametrize("service", ["life.echo", "alife.echo"])
def test_only_the_last_interrupts_are_kept(service):
    with RawWorker(service) as worker:
        worker.hello()
        lane = worker.lane()
        for call in range(70):
            assert interrupted(worker, call, 1) == ""
        # The control thread has handed all of them on; when a call behind them has run, a loop has them, too.
        worker.run(lane, "behind", call=99)
        assert returned(lane) == "behind"
        for call in range(70):
            worker.run(lane, call, call=call)
        assert [lane.recv()[0] for _ in range(70)] == [RETURN] * 6 + [RAISE] * 64


def test_an_interrupt_that_comes_before_the_resume():
    with RawWorker("life.cancelled_where") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, call=3)
        assert lane.expect(CALLS)[3] is None
        assert lane.expect(CALLS)[3] == [0, [1]]
        assert interrupted(worker, 3, 1) == ""
        lane.send(RESUME, 3, 1, [[1, True, _codec.encode("done")]])
        assert returned(lane) == "call: too slow"
        worker.run(lane, call=4)
        lane.expect(CALLS)
        lane.expect(CALLS)
        lane.send(RESUME, 4, 1, [[1, True, _codec.encode("done")]])
        assert returned(lane) == "done"


def test_an_interrupt_of_a_call_that_is_evicted():
    with RawWorker("life.waits") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, call=3)
        lane.expect(CALLS)
        interrupted(worker, 3, 1)
        lane.send(EVICT, 3, 1)
        assert lane.expect(EVICTED) == [3, 1]
        worker.run(lane, call=3, attempt=2)
        lane.expect(CALLS)
        lane.send(RESUME, 3, 2, [[0, True, _codec.encode("done")]])
        assert returned(lane) == "done"


def test_an_interrupt_of_a_coroutine_that_is_evicted(tmp_path):
    """It has a memo in the making, which it waits for; the interrupt must not keep it from answering."""
    with RawWorker("alife.memo_and_child") as worker:
        worker.hello()
        lane = worker.lane()
        released = tmp_path / "released"
        worker.run(lane, str(released), call=3)
        until_parked(lane, 3)
        lane.send(EVICT, 3, 1)
        worker.run(lane, str(released), call=4)
        until_parked(lane, 4)  # so call 3 unwinds
        interrupted(worker, 3, 1)
        released.touch()
        while (message := lane.recv()) != (EVICTED, [3, 1]):
            assert message[0] in (MEMO, ALARM)


def until_parked(lane, call):
    while (told := lane.expect(CALLS))[3] is None:
        assert told[0] == call


def test_interrupts_at_any_moment_hit_their_call_only():
    """Calls that end or park just when they are interrupted: each has one answer, and the lane goes on."""
    with RawWorker("life.either") as worker:
        worker.hello()
        lane = worker.lane()
        for call in range(0, 600, 2):
            worker.run(lane, False, call=call)
            worker.control.send(INTERRUPT, call, 1, "now")
            tag, fields = lane.recv()
            assert tag in (RETURN, RAISE)
            assert fields[:2] == [call, 1]
            worker.run(lane, False, call=call + 1)
            assert returned(lane) == "end"
            assert worker.control.expect(STACK)[:2] == [call, 1]


def test_an_interrupt_does_not_hit_the_next_call(tmp_path):
    """The call ends when the control thread has found it running, and has not raised in it yet."""
    with RawWorker("life.ends_under_interrupt") as worker:
        worker.hello()
        lane = worker.lane()
        started = tmp_path / "started"
        worker.run(lane, str(started), call=1)
        until(started.exists)
        assert interrupted(worker, 1, 1)
        assert returned(lane) == "end"
        worker.run(lane, call=2)
        lane.expect(CALLS)
        lane.send(RESUME, 2, 1, [[0, True, _codec.encode("done")]])
        assert returned(lane) == "done"


def test_interrupts_at_any_moment_are_not_lost():
    with RawWorker("life.either") as worker:
        worker.hello()
        lane = worker.lane()
        for call in range(300):
            worker.run(lane, True, call=call)
            interrupted(worker, call, 1)
            tag, _ = lane.recv()
            if tag == CALLS:
                lane.send(RESUME, call, 1, [[0, True, _codec.encode("done")]])
                assert isinstance(raised(lane), msx.Cancelled)
            else:
                assert tag == RAISE


def test_park_resume_and_old_attempts():
    with RawWorker("life.waits") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, call=5, attempt=2)
        ident = struct.unpack("<I", struct.pack("<I", _codec.encode_arguments((), {})[1]))[0]
        call, attempt, ((*entry, line),), wait = lane.expect(CALLS)
        assert [call, attempt, entry, wait] == [5, 2, [0, "life.state", ident, arguments(), None], [0, [0]]]
        assert line.endswith(" in waits")
        lane.send(RESUME, 5, 1, [[0, True, _codec.encode("old")]])
        lane.send(EVICT, 5, 1)
        lane.send(RESUME, 5, 2, [[0, True, _codec.encode("new")]])
        assert returned(lane) == "new"


def sent_ahead(lane, *runs):
    """Runs in one write, with calls numbered from 1."""
    fields = [[call, 1, arguments(*args), None, [], LIMIT, ""] for call, args in enumerate(runs, 1)]
    lane.send_bytes(b"".join(message_bytes(RUN, run) for run in fields))


def test_what_waits_behind_a_long_call_is_given_back_when_the_hub_asks(tmp_path):
    with RawWorker("life.spin") as worker:
        worker.hello()
        lane, started = worker.lane(), tmp_path / "started"
        sent_ahead(lane, [0], [60, str(started)], [0], [0])
        until(started.exists)
        worker.run(lane, 0, call=5)  # the process has not read this one
        worker.control.send(ASK_BACK, 0)
        assert returned(lane) == "end"  # the first, which waited for others to go out with it
        assert [lane.expect(GIVE_BACK) for _ in range(3)] == [[5, 1], [4, 1], [3, 1]]


def test_to_ask_an_idle_lane_back_changes_nothing():
    with RawWorker("life.echo") as worker:
        worker.hello()
        lane = worker.lane()
        for round in range(200):
            sent_ahead(lane, [1], [2], [3])
            worker.control.send(ASK_BACK, 0)
            got = [lane.recv() for _ in range(3)]
            assert sorted(fields[0] for _, fields in got) == [1, 2, 3], round
            assert [fields[0] for tag, fields in got if tag == RETURN][:1] in ([1], []), round


def test_what_waits_behind_a_call_that_parks_is_given_back():
    with RawWorker("life.either") as worker:
        worker.hello()
        lane = worker.lane()
        sent_ahead(lane, [True], [False], [False])
        assert [lane.expect(GIVE_BACK) for _ in range(2)] == [[3, 1], [2, 1]]
        assert lane.expect(CALLS)[0] == 1
        worker.run(lane, False, call=4)
        assert lane.expect(GIVE_BACK) == [4, 1]
        lane.send(RESUME, 1, 1, [[0, True, _codec.encode("there")]])
        assert returned(lane) == "there"
        worker.run(lane, False, call=2, attempt=1)
        assert returned(lane) == "end"


@pytest.mark.parametrize("service", ["life.spin", "alife.spin"])
def test_a_killed_worker_leaves_word_of_what_it_had_begun_with(service, tmp_path):
    with RawWorker(service) as worker:
        tally, started = worker.tally(), tmp_path / "started"
        worker.hello()
        lane = worker.lane()
        worker.run(lane, 0)
        assert returned(lane) == "end"
        worker.run(lane, 60, str(started), call=2)
        until(started.exists)
        worker.run(lane, 0, call=3)
        worker.process.kill()
        worker.process.wait()
        assert struct.unpack("<2Q", os.pread(tally, 16, 0)) == (2, 0)
        os.close(tally)


def test_evict_and_replay():
    with RawWorker("life.waits") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, call=5)
        ((seq, service, ident, *_),) = lane.expect(CALLS)[2]
        lane.send(EVICT, 5, 1)
        assert lane.expect(EVICTED) == [5, 1]
        worker.run(lane, call=5, attempt=2, results=[[seq, service, ident, True, _codec.encode("kept")]])
        assert returned(lane) == "kept"
        worker.run(lane, call=5, attempt=3, results=[[seq, "a.other", ident, True, _codec.encode("kept")]])
        *_, payload, difference = lane.expect(RAISE)
        assert isinstance(decode_error(payload), msx.NonDeterminismError)
        assert difference[0] == 0
        assert [asked[0].partition("(")[0] for asked in difference[1:]] == ["a.other", service]
        assert difference[1][1] is None
        assert " in waits" in difference[2][1]


@pytest.mark.parametrize("service", ["life.live_calls", "alife.live_calls"])
def test_calls_leave_no_cycles(service):
    with RawWorker(service) as worker:
        worker.hello()
        lane = worker.lane()
        for call in range(100):
            worker.run(lane, bool(call % 2), call=call)
            lane.recv()
        worker.run(lane, False)
        assert returned(lane) <= 3


@pytest.mark.parametrize("service", ["life.stubborn", "alife.stubborn"])
def test_a_loop_that_catches_everything_does_not_hang(service):
    worker = RawWorker(service)
    worker.hello()
    lane = worker.lane()
    worker.run(lane)
    lane.expect(CALLS)
    lane.send(EVICT, 1, 1)
    status, errors = worker.wait()
    assert status == 1
    assert f"{service} has to give up its place, but its code catches msx.Suspend in a loop" in errors
    worker.close()


def test_memo_messages():
    with RawWorker("basic.memo_error") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, "gone", call=5)
        call, attempt, seq, ident, ok, payload, known, line = lane.expect(MEMO)
        assert line is not None
        assert (call, attempt, seq, ok, known) == (5, 1, 0, False, 0)
        lane.expect(CALLS)
        lane.send(EVICT, 5, 1)
        lane.expect(EVICTED)
        worker.run(lane, "gone", call=5, attempt=2, results=[[0, "msx.run", ident, ok, payload]])
        assert lane.expect(CALLS)[2][0][0] == 1


def test_a_closed_lane_ends_its_thread_only():
    with RawWorker("life.waits") as worker:
        worker.hello()
        parked, other = worker.lane(), worker.lane()
        worker.run(parked)
        parked.expect(CALLS)
        parked.sock.close()
        worker.run(other)
        other.expect(CALLS)


@pytest.mark.parametrize("service", ["life.spin", "alife.sleeps"])
def test_it_ends_with_the_control_channel(service):
    worker = RawWorker(service)
    worker.hello()
    worker.run(worker.lane(), *([60] if service == "life.spin" else []))
    worker.control.sock.close()
    assert worker.wait() == (0, "")


def test_drain_runs_the_stop_hooks():
    worker = RawWorker("life.state")
    worker.hello()
    worker.lane()
    worker.control.send(DRAIN)
    assert worker.wait() == (0, "stopped 3\n")
    worker.close()


def test_drain_before_hello():
    worker = RawWorker("life.state")
    worker.control.send(DRAIN)
    assert worker.wait()[0] == 0
    worker.close()


@pytest.mark.parametrize(("service", "lanes"), [("life.forks", 3), ("alife.forks", 1)])
def test_forked_processes_have_no_part_in_it(service, lanes):
    """They neither call nor hold a channel."""
    with RawWorker(service) as worker:
        worker.hello()
        lane, *_ = [worker.lane() for _ in range(lanes)]
        interrupted(worker, 99, 1)  # so the lanes have arrived
        worker.run(lane)
        said, closed = returned(lane)
        assert "forked from a worker" in said
        assert closed == 1 + lanes


@pytest.mark.parametrize(
    ("service", "texts"),
    [
        (
            "classes.Fails",
            ["classes.py", "no model here", "classes.Fails: its class cannot be constructed"],
        ),
        ("broken.f", ["broken.py", "JSONDecodeError", "broken.f: its module 'broken' cannot be imported"]),
        ("no_module.f", ["No module named 'no_module'"]),
        ("exits.f", ["SystemExit: no config"]),
        ("calls_at_import.f", ["NoCallContext", "while its module was imported", ".local("]),
        ("basic.nope", ["the module 'basic' has no @microservice of that name"]),
        ("nodots", ["usage: python -m msx._worker"]),
    ],
)
def test_what_cannot_start_says_why(service, texts):
    worker = RawWorker(service)
    status, errors = worker.wait()
    assert status == 1
    for text in texts:
        assert text in errors
    assert "importlib" not in errors
    assert "/msx/_main" not in errors
    worker.close()


def test_another_protocol_version():
    worker = RawWorker("life.state", env={"MSX_PROTOCOL": "2"})
    status, errors = worker.wait()
    assert status == 1
    assert "the hub speaks version 2 of the worker protocol, this SDK version 1" in errors
    worker.close()


@pytest.mark.parametrize(
    "message", [message_bytes(99, []), message_bytes(LANE, [0]), b"\xff\xff\xff\xff\x00"]
)
def test_a_broken_control_channel(message):
    worker = RawWorker("life.state")
    worker.hello()
    worker.control.send_bytes(message)
    status, errors = worker.wait()
    assert status == 1
    assert errors.startswith("msx worker: control channel: ProtocolError(")
    worker.close()


@pytest.mark.parametrize(
    ("limit", "room", "reason"),
    [
        ("RLIMIT_NOFILE", 2, "this process has no descriptor left for it"),
        ("RLIMIT_AS", 20_000_000, "can't start new thread"),
    ],
)
def test_more_lanes_than_the_system_allows(limit, room, reason):
    worker = RawWorker("life.lowers_limit")
    worker.hello()
    lane = worker.lane()
    worker.run(lane, limit, room)
    assert returned(lane) is None
    with suppress(BrokenPipeError):  # it may end before all of them are sent
        for _ in range(5):
            worker.lane()
    status, errors = worker.wait()
    assert status == 1
    assert f"msx worker: it cannot open another lane: {reason}; " in errors
    assert "ulimit" in errors
    assert "max_parked" in errors
    assert "version" not in errors
    worker.close()


def test_a_broken_lane():
    worker = RawWorker("life.state")
    worker.hello()
    worker.lane().send(RUN, "not a number")
    status, errors = worker.wait()
    assert status == 1
    assert "a malformed message with tag 32" in errors
    worker.close()


def test_not_started_by_a_hub():
    worker = RawWorker("life.state", env={"MSX_FD": "x"})
    assert "a worker is started by the hub" in worker.wait()[1]
    worker.close()


# --- async def ---


def test_hooks_and_calls_share_the_loop():
    worker = RawWorker("alife.same_loop")
    lane = worker.lane()
    assert worker.hello()[5] == "async"
    worker.run(lane)
    assert returned(lane) is True
    worker.control.send(DRAIN)
    assert worker.wait()[0] == 0
    worker.close()


def test_interrupt_a_coroutine():
    with RawWorker("alife.sleeps") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, call=3)
        assert lane.expect(CALLS)[2][0][1] == "alife.same_loop"
        lane.send(RESUME, 3, 1, [[0, True, _codec.encode(True)]])
        worker.run(lane, call=4)
        lane.expect(CALLS)  # so call 3 has been resumed, and sleeps
        worker.control.send(INTERRUPT, 3, 1, "too slow")
        text = worker.control.expect(STACK)[2]
        assert [text.count(name) for name in ("in sleeps", "in nap")] == [1, 1]
        error = raised(lane)
        assert isinstance(error, msx.Cancelled)
        assert str(error) == "too slow"


def test_a_coroutine_that_is_interrupted_early_is_answered():
    with RawWorker("alife.same_loop") as worker:
        worker.hello()
        lane = worker.lane()
        for call in range(100):
            worker.run(lane, call=call)
            worker.control.send(INTERRUPT, call, 1, "now")
            assert lane.recv()[1][:2] == [call, 1]
            assert worker.control.expect(STACK)[:2] == [call, 1]


def test_evict_while_it_waits_for_something_else():
    """It parks, is woken by the resume, and sleeps: an evict that comes then still ends it."""
    with RawWorker("alife.child_first") as worker:
        worker.hello()
        lane = worker.lane()
        worker.run(lane, call=3)
        lane.expect(CALLS)
        lane.send(RESUME, 3, 1, [[0, True, _codec.encode(True)]])
        lane.send(EVICT, 3, 1)
        assert lane.expect(EVICTED) == [3, 1]


@pytest.mark.parametrize("in_task", [False, True])
def test_what_blocks_the_loop_is_told_once(in_task):
    worker = RawWorker("alife.blocks")
    worker.hello()
    lane = worker.lane()
    for _ in range(2):
        worker.run(lane, 0.5, in_task)
        assert returned(lane) is None
    worker.control.send(DRAIN)
    status, errors = worker.wait()
    assert status == 0
    assert errors.count("msx: the event loop of alife.blocks has been blocked for more than 0.1 s by:\n") == 1
    assert "in block\n    time.sleep(seconds)\n" in errors
    for hidden in ("/msx/_", "/asyncio/", "runpy"):
        assert hidden not in errors
    worker.close()


def test_a_loop_that_waits_is_not_blocked():
    """Not even when the process was stopped for a while."""
    worker = RawWorker("alife.child_first")
    worker.hello()
    lane = worker.lane()
    worker.run(lane)
    until_parked(lane, 1)
    lane.send(RESUME, 1, 1, [[0, True, _codec.encode(True)]])
    worker.run(lane, call=2)
    until_parked(lane, 2)  # so call 1 sleeps, and is watched
    worker.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, worker.process.pid, os.WSTOPPED)
    time.sleep(0.3)  # what a watchdog takes for a block
    worker.process.send_signal(signal.SIGCONT)
    worker.control.send(PING, 1)
    worker.control.expect(PONG)
    worker.control.send(INTERRUPT, 1, 1, "enough")
    assert isinstance(raised(lane), msx.Cancelled)
    worker.control.send(DRAIN)
    assert worker.wait() == (0, "")
    worker.close()
