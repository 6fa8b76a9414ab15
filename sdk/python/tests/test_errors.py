"""Exceptions that cross services."""

import pytest
from failing import Trouble

import msx

TROUBLE = "trouble 7"


def test_three_services_deep(hub):
    with pytest.raises(Trouble) as caught:
        hub.call("failing.top", 7)
    error = caught.value
    assert isinstance(error, msx.RemoteError)
    assert isinstance(error, ValueError)
    assert type(error).__qualname__ == "Trouble"
    assert (str(error), error.args) == (TROUBLE, (TROUBLE,))
    assert (error.code, error.detail) == (7, (1, 2))
    assert (error.service, error.via) == ("failing.deep", ("failing.middle", "failing.top"))


def test_the_traceback_has_each_hop(hub):
    with pytest.raises(Trouble) as caught:
        hub.call("failing.top", 7)
    text = caught.value.traceback
    places = [
        "raise Trouble(x, detail=(1, 2))",
        "It passed through the service failing.middle:",
        "return deep(x)",
        "It passed through the service failing.top:",
        "return middle(x)",
    ]
    assert [text.count(place) for place in places] == [1] * 5
    assert sorted(places, key=text.index) == places
    assert "/msx/_" not in text
    assert text.count("failing.Trouble: trouble 7") == 3


def test_what_the_calling_code_sees(hub):
    seen = hub.call("failing.catches")
    assert seen["type"] == "Trouble"
    assert seen["is"] == [True, True, True]
    assert (seen["str"], seen["args"], seen["code"], seen["detail"]) == (TROUBLE, (TROUBLE,), 7, (1, 2))
    assert (seen["service"], seen["via"]) == ("failing.deep", ("failing.middle", "failing.top"))


def test_causes_travel(hub):
    with pytest.raises(ValueError, match="outer") as caught:
        hub.call("failing.caused")
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert cause.args == ("missing",)
    assert str(cause) == "'missing'"
    assert "The above exception was the direct cause" in caught.value.traceback
    assert "KeyError: 'missing'" in caught.value.traceback


@pytest.mark.parametrize(
    ("service", "arguments", "kind", "message"),
    [
        ("leave", (), msx.RemoteError, "3"),
        ("interrupt", (), msx.RemoteError, ""),
        ("unprintable", (), msx.RemoteError, "<str() of this Unprintable raised RuntimeError>"),
        ("recursion", (), RecursionError, "recursion"),
        ("wrong_arguments", (), TypeError, "deep() takes 1 positional argument but 3 were given"),
        (
            "unserialisable",
            (),
            TypeError,
            "failing.unserialisable: its result: a value of type module cannot travel",
        ),
        ("bad_argument", (1,), TypeError, "failing.deep: argument 'x': a value of type object cannot travel"),
        (
            "huge",
            (40_000_000,),
            msx.LimitExceeded,
            "failing.huge: its result takes 40000005 bytes; the limit is ",
        ),
    ],
)
def test_whatever_happens_there_is_an_answer_and_the_worker_lives(one_hub, service, arguments, kind, message):
    one_hub.replay, one_hub.max_parked = False, 256
    for _ in range(2):
        with pytest.raises(kind) as caught:
            one_hub.call(f"failing.{service}", *arguments)
        assert message in str(caught.value)
        assert isinstance(caught.value, msx.RemoteError)


def test_fields_of_c_classes(hub):
    with pytest.raises(FileNotFoundError) as caught:
        hub.call("failing.file")
    assert (caught.value.errno, caught.value.filename) == (2, "/nonexistent/file")
    assert str(caught.value) == "[Errno 2] No such file or directory: '/nonexistent/file'"


def test_a_huge_error_is_cut(hub):
    with pytest.raises(ValueError, match="y+") as caught:
        hub.call("failing.huge_error", 40_000_000)
    assert len(str(caught.value)) == 64 * 1024
