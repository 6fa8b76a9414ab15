import pytest, time
from fake_hub import FakeHub

@pytest.mark.parametrize("replay", [False, True])
def test_all(replay):
    with FakeHub("aio.add", "aio.fib", "aio.gather_fib", "aio.task_fib", replay=replay) as hub:
        assert hub.call("aio.add", 1, 2) == 3
        for f in ("fib", "gather_fib", "task_fib"):
            t=time.time(); assert hub.call("aio."+f, 10) == 55; print(f, time.time()-t)
