import pytest
from fake_hub import FakeHub

@pytest.mark.parametrize("replay", [False, True])
def test_all(replay):
    with FakeHub("basic.add", "basic.twice", "basic.fib", "basic.boom", "basic.middle", replay=replay) as hub:
        assert hub.call("basic.add", 1, 2) == 3
        assert hub.call("basic.twice", 2) == 8
        assert hub.call("basic.fib", 10) == 55
        with pytest.raises(ValueError, match="no") as e: hub.call("basic.middle", 3)
        assert e.value.args == ("no", 3)
        print(e.value.traceback, e.value.via)
