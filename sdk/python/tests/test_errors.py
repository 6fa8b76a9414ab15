"""Exceptions that cross services."""

import builtins
import sys

import pytest
from failing import Slotted, Trouble

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


def failure_of(hub, service, *arguments):
    with pytest.raises(msx.RemoteError) as caught:
        hub.call(f"failing.{service}", *arguments)
    return caught.value


def test_slots_and_odd_constructors(hub):
    error = failure_of(hub, "slotted")
    assert isinstance(error, Slotted)
    assert (error.code, error._inner, error.args) == (7, ("so",), (7,))


def test_cause_and_context_are_kept_apart(hub):
    error = failure_of(hub, "in_context")
    assert (error.__cause__, error.__suppress_context__) == (None, False)
    assert isinstance(error.__context__, KeyError)
    assert "During handling of the above exception" in error.traceback

    error = failure_of(hub, "suppressed")
    assert (error.__cause__, error.__suppress_context__) == (None, True)
    assert isinstance(error.__context__, KeyError)
    assert "KeyError" not in error.traceback

    error = failure_of(hub, "caused_in_context")
    assert isinstance(error.__cause__, OSError)
    assert isinstance(error.__context__, KeyError)
    assert error.__suppress_context__

    error = failure_of(hub, "caused")
    assert error.__cause__ is error.__context__


def test_a_context_stays_where_another_is_handled(hub):
    error = failure_of(hub, "caught_in_context")
    assert isinstance(error.__context__, KeyError)
    assert error.via == ("failing.caught_in_context",)


def test_rings_and_bushes_end(hub):
    error = failure_of(hub, "ring")
    assert (str(error), str(error.__cause__)) == ("first", "'second'")
    assert error.__cause__.__cause__ is None
    assert error.traceback.count("ValueError: first") == 1
    assert str(failure_of(hub, "bush")) == "branch 39"


def test_a_class_that_is_nowhere(hub):
    error = failure_of(hub, "unimportable")
    assert isinstance(error, KeyError)
    assert (type(error).__name__, error.args) == ("Local", ("k",))


ExceptionGroup = getattr(builtins, "ExceptionGroup", Exception)
needs_notes = pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups came with 3.11")


@needs_notes
def test_three_hops_with_a_cause_and_a_note(hub):
    error = failure_of(hub, "three_hops", 7)
    assert (type(error).__name__, error.service) == ("LookupError", "failing.wraps")
    assert error.via == ("failing.three_hops",)
    cause = error.__cause__
    assert isinstance(cause, Trouble)
    assert (cause.service, cause.via) == ("failing.deep", ("failing.noted", "failing.wraps"))
    assert cause.__notes__[0] == "while it was noted"
    order = [
        "raise Trouble(x, detail=(1, 2))",
        "failing.Trouble: trouble 7",
        "It passed through the service failing.noted:",
        "while it was noted",
        "It passed through the service failing.wraps:",
        "The above exception was the direct cause of the following exception:",
        "LookupError: wrapped",
        "It passed through the service failing.three_hops:",
    ]
    places = [error.traceback.index(part) for part in order]
    assert places == sorted(places), error.traceback


@needs_notes
@pytest.mark.parametrize("service", ["grouped", "passes_group"])
def test_groups(hub, service):
    error = failure_of(hub, service)
    assert isinstance(error, ExceptionGroup)
    assert (error.message, str(error)) == ("several", "several (2 sub-exceptions)")
    trouble, inner = error.exceptions
    assert isinstance(trouble, Trouble)
    assert (trouble.code, trouble.service) == (1, "failing.deep")
    assert isinstance(inner, ExceptionGroup)
    assert [type(member).__name__ for member in inner.exceptions] == ["FileNotFoundError", "SystemError"]
    assert isinstance(inner.exceptions[0].__cause__, KeyError)
    assert all(isinstance(member, msx.RemoteError) for member in (trouble, inner, *inner.exceptions))
    found, rest = error.split(OSError)
    assert found.exceptions[0].exceptions[0].errno == 2
    assert rest.subgroup(Trouble).exceptions == (trouble,)
    assert "Exception Group Traceback" in error.traceback
    assert "KeyError: 'why'" in error.traceback
    assert "/msx/_" not in error.traceback


@needs_notes
def test_except_star(hub):
    caught = []
    space = {"hub": hub, "caught": caught, "Trouble": Trouble}
    exec(
        "try:\n  hub.call('failing.passes_group')\n"
        "except* Trouble as group:\n  caught.append(group.exceptions)\n"
        "except* (OSError, SystemError) as group:\n  caught.append(group.exceptions[0].exceptions)\n",
        space,
    )
    assert [str(error) for errors in caught for error in errors] == ["trouble 1", "[Errno 2] gone", ""]


@needs_notes
def test_a_task_group(hub):
    error = failure_of(hub, "task_group")
    assert isinstance(error, ExceptionGroup)
    assert [(type(part).__name__, part.service) for part in error.exceptions] == [("Trouble", "failing.deep")]
    assert "return deep(x)" not in error.traceback
    assert "raise Trouble(x, detail=(1, 2))" in error.traceback


@needs_notes
def test_an_exit_in_a_group(hub):
    error = failure_of(hub, "exits_in_group")
    assert isinstance(error, ExceptionGroup)
    assert [str(member) for member in error.exceptions] == ["SystemExit: 3", "v"]


def test_the_same_without_a_hub():
    from failing import caused_in_context, in_context

    with pytest.raises(ValueError, match="outer") as caught:
        caused_in_context()
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(caught.value.__context__, KeyError)
    with pytest.raises(ValueError, match="outer") as caught:
        in_context()
    assert isinstance(caught.value.__context__, KeyError)
    assert not caught.value.__suppress_context__
