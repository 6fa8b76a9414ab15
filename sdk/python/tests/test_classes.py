"""Classes as services: constructed once per instance, and called like functions."""

import inspect
from pathlib import Path

import pytest

from msx import microservice
from test_discover import discover  # noqa: F401


def test_constructed_once_before_the_first_call(hub):
    first, second = hub.call("classes.Counter", 1), hub.call("classes.Counter", 2, times=3)
    assert (first[0], first[2], second[2]) == (["model"], 11, 16)
    assert second[1] == first[1] + 1
    assert second[3] == first[3]


def test_async_on_its_loop(hub):
    assert hub.call("classes.Loop", 4) == [14, True]


def test_recursion(hub):
    assert hub.call("classes.Asks", 3) == 3


def test_errors_name_the_parameters(one_hub):
    one_hub.replay, one_hub.max_parked = False, 256
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'by'"):
        one_hub.call("classes.Counter")


def test_without_a_hub():
    from classes import Counter, Fails

    assert Counter(1)[1:3] == [1, 11]
    assert Counter.local(1)[1] == 2
    assert str(inspect.signature(Counter)) == "(by: int, *, times: int = 1) -> list"
    assert Counter.__doc__ == "Counts its calls."
    with pytest.raises(TypeError, match="classes.Counter: argument 'by': a value of type object"):
        Counter(object())
    with pytest.raises(LookupError, match="no model here"):
        Fails()


def test_discovery(discover):  # noqa: F811
    found, _ = discover("classes")
    assert found["errors"] == []
    counter, loop, *_ = found["services"]
    assert (counter["name"], counter["kind"], loop["kind"]) == ("classes.Counter", "def", "async")
    assert Path(counter["file"]).name == "classes.py"
    assert counter["line"] > 20
    assert counter["signature"]["text"] == "(by: int, *, times: int = 1)"
    assert counter["signature"]["doc"] == "Counts its calls."
    assert loop["signature"]["doc"] == "Doubles on its own loop."
    assert counter["signature"]["params"][0]["schema"] == {"type": "integer"}
    assert loop["options"] == {"concurrency": 5}


class NoCall:
    pass


class Wants:
    def __init__(self, path, *, size=1): ...

    def __call__(self): ...


class Outer:
    class Inner:
        def __call__(self): ...


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (NoCall, "it has no __call__"),
        (Wants, "its __init__ wants the argument 'path', but is called without any"),
        (Outer.Inner, "it is defined inside of a class"),
    ],
)
def test_what_is_no_service(kind, reason):
    with pytest.raises(TypeError, match=reason):
        microservice(kind)
