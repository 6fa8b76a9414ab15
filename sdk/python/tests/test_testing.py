"""The fixture `msx_hub`: services in this process, with the engines of real workers."""

import asyncio
import concurrent.futures
import contextvars
import threading
from dataclasses import dataclass

import pytest

import msx
from msx import microservice, services

begun = []


@dataclass
class Point:
    x: int


@microservice
def double(x):
    return 2 * x


@microservice
async def adouble(x):
    await asyncio.sleep(0)
    return 2 * x


@microservice
def quad(x):
    begun.append(threading.current_thread().name)
    return double(double(x))


@microservice
async def aquad(x):
    return await adouble(await adouble(x))


@microservice
def fib(n):
    return n if n < 2 else sum(msx.gather(fib.start(n - 1), fib.start(n - 2)))


@microservice
async def afib(n):
    return n if n < 2 else sum(await asyncio.gather(afib(n - 1), afib(n - 2)))


@microservice
def fails(x):
    raise LookupError("no", x)


@microservice
def tries(x):
    try:
        return double(x)
    except msx.InstanceDied as error:
        return error.service


@microservice
def differs():
    double(len(begun))
    begun.append(1)
    double(0)


@microservice
def memos():
    value = msx.run(begun.append, 1)
    double(1)
    return value, len(begun)


@microservice
def holds(event):
    double(1)
    return services.nobody(1)


class Gate:
    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()


@microservice
def parks_or_runs(parks):
    if parks:
        return double(1)
    gates[-1].begun.set()
    return gates[-1].open.wait(30)


gates = []


@pytest.fixture
def gate():
    gates.append(Gate())
    yield gates[-1]
    gates[-1].open.set()


@pytest.fixture(autouse=True)
def nothing_begun():
    begun.clear()


def test_calls(msx_hub):
    assert quad(1) == 4
    assert begun == ["lane-0"]
    assert msx_hub.runs(double) == msx_hub.runs(double.name) == 2
    assert aquad.start(2).result() == 8
    assert services.quad(3) == 12
    assert double(Point(1).x) == 2
    assert msx.gather(double.start(1), adouble(2)) == [2, 4]
    with pytest.raises(LookupError) as raised:
        fails(7)
    assert isinstance(raised.value, msx.RemoteError)
    assert raised.value.args == ("no", 7)
    with pytest.raises(msx.ServiceUnavailable, match="'nobody' is not the name of one service"):
        holds(1)
    with pytest.raises(TypeError, match="cannot travel"):
        double(object())


def test_on_a_loop(msx_hub):
    async def main():
        assert await quad.aio(1) == 4
        assert await asyncio.gather(aquad(1), afib(5)) == [4, 5]
        with pytest.raises(msx.UsageError, match="use: await double.aio"):
            double(1)
        with pytest.raises(LookupError):
            await fails.aio(1)

    asyncio.run(main())


@pytest.mark.msx(slots=1)
def test_a_parked_call_holds_no_slot(msx_hub):
    assert fib(7) == 13
    assert msx_hub.runs(fib) == 41


@pytest.mark.msx(replay="always", slots=1)
def test_every_call_is_replayed(msx_hub):
    assert fib(5) == 5
    assert afib.start(5).result() == 5
    assert quad(1) == 4
    assert msx_hub.runs(quad) == 3
    assert services.memos() == (None, 4)


@pytest.mark.msx(max_parked=2, slots=1)
def test_room_for_two(msx_hub):
    assert fib(6) == 8
    assert msx_hub.runs(fib) > 25


def test_a_replay_that_does_something_else(msx_hub):
    msx_hub.replay = "always"
    with pytest.raises(msx.NonDeterminismError, match="was run again and did something else"):
        differs()


def test_an_instance_that_is_lost_while_its_call_waits(msx_hub):
    msx_hub.kill(quad)
    assert quad(1) == 4
    assert msx_hub.runs(quad) == 2
    assert msx_hub.runs(double) == 2
    msx_hub.kill("aquad", "wait")
    assert aquad(1).result() == 4
    assert msx_hub.runs(aquad) == 2


@pytest.mark.parametrize(("at", "runs"), [("start", 0), ("answer", 1)])
def test_an_instance_that_is_lost_with_a_call(msx_hub, at, runs):
    msx_hub.kill(double, at)
    assert tries(1) == double.name
    assert msx_hub.runs(double) == runs
    msx_hub.kill(adouble, at)
    with pytest.raises(msx.InstanceDied):
        aquad(1).result()
    assert tries(1) == 2


def test_others_in_the_instance_that_is_lost(msx_hub, gate):
    """What runs beside it fails, what is parked there is run again."""
    beside = parks_or_runs.start(False)
    assert gate.begun.wait(30)
    msx_hub.kill(parks_or_runs)
    assert parks_or_runs(True) == 2
    assert msx_hub.runs(parks_or_runs) == 3
    with pytest.raises(msx.InstanceDied):
        beside.result()


def test_a_call_that_does_not_end(msx_hub, gate):
    msx_hub.timeout = 0.05
    with pytest.raises(msx.TimeoutError, match=r"within 0.05 s \(msx_hub.timeout\).*parks_or_runs running"):
        parks_or_runs(False)


def test_mistakes(msx_hub):
    with pytest.raises(msx.UsageError, match="at 'start', 'wait' or 'answer', not at 'never'"):
        msx_hub.kill(double, "never")
    with pytest.raises(msx.UsageError, match="'nobody' is not the name of one service"):
        msx_hub.kill("nobody")
    with pytest.raises(msx.UsageError, match="is '' or 'always', not 'sometimes'"):
        msx_hub.replay = "sometimes"


def test_afterwards_it_is_plain_again():
    assert quad(1) == 4
    assert begun == [threading.current_thread().name]


def test_a_fault_that_nothing_came_to(msx_hub):
    msx_hub.kill(double)
    with pytest.raises(msx.UsageError, match=r"no call came to .*double at 'wait'"):
        msx_hub.close()
    msx_hub._machine.faults.clear()
    msx_hub._machine.close = lambda: None


# --- time ---


@microservice
async def sleeps(seconds):
    await asyncio.sleep(seconds)
    return seconds


@microservice
async def patience(seconds):
    try:
        async with asyncio.timeout(seconds):
            return await sleeps(3600)
    except asyncio.TimeoutError:
        return "gave up"


@microservice
async def hourly(hours):
    return [await sleeps(3600) for _ in range(hours)]


@microservice
def in_its_own_thread(x):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, double, x).result()


@microservice
async def computes():
    return await asyncio.to_thread(gates[-1].open.wait, 30)


MODES = [
    pytest.param(None, id="parked"),
    pytest.param({"replay": "always"}, id="replayed"),
    pytest.param({"max_parked": 2}, id="room for two"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.msx(time="skip")
def test_hours_pass_at_once(msx_hub, mode):
    for name, value in (mode or {}).items():
        setattr(msx_hub, name, value)
    assert hourly(24).result() == [3600] * 24
    assert msx_hub.skipped == pytest.approx(24 * 3600, abs=60)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.msx(time="skip")
@pytest.mark.skipif(not hasattr(asyncio, "timeout"), reason="asyncio.timeout came with Python 3.11")
def test_a_timeout_strikes_before_the_answer(msx_hub, mode):
    for name, value in (mode or {}).items():
        setattr(msx_hub, name, value)
    assert msx.gather(patience(3599), patience(60), patience(7200)) == ["gave up", "gave up", 3600]
    assert msx_hub.skipped == pytest.approx(3600, abs=60)


@pytest.mark.msx(replay="always")
def test_real_time_is_waited_for(msx_hub):
    assert patience(0.05).result() == "gave up"
    assert msx_hub.skipped == 0


@pytest.mark.msx(time="skip")
def test_time_stands_still_while_something_runs(msx_hub, gate):
    beside, computing = parks_or_runs.start(False), computes.start()
    assert gate.begun.wait(30)
    asleep = sleeps.start(3600)
    with pytest.raises(concurrent.futures.TimeoutError):
        asleep.waiting.result(0.2)
    assert msx_hub.skipped == 0
    gate.open.set()
    assert (beside.result(), computing.result(), asleep.result()) == (True, True, 3600)


@pytest.mark.parametrize("replay", ["", "always"])
def test_threads_of_a_call(msx_hub, replay):
    msx_hub.replay = replay
    assert in_its_own_thread(4) == 8
