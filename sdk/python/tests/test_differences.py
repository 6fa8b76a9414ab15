"""Where calls are made, and how a replay that differs tells of them."""

import msgspec
import pytest

from msx import _codec, _lines, _protocol
from msx._differences import describe_call, explain
from msx._errors import NonDeterminismError
from msx._protocol import Asked, Difference, Recorded, Run
from msx._replay import MEMO, TIMER, Call
from msx._tasks import LoopCall

LIMIT = 1024 * 1024


@pytest.mark.parametrize(
    ("service", "args", "where"),
    [
        ("basic.fan", (3,), "basic.py:55 in fan"),
        ("basic.futures", (3,), "basic.py:61 in futures"),
        ("aio.chain", (3,), "aio.py:41 in chain"),
        ("aio.task_fib", (2,), "aio.py:33 in task_fib"),
    ],
)
def test_a_call_says_where_it_was_made(one_hub, service, args, where):
    one_hub.replay, one_hub.max_parked = False, 256
    before = max(one_hub.calls, default=0)
    one_hub.call(service, *args)
    lines = {call.line for ident, call in one_hub.calls.items() if ident > before and call.parent}
    shown = {line.rpartition("/")[2] for line in lines}  # before Python 3.12 a comprehension is a frame
    assert {line.removesuffix(".<locals>.<listcomp>") for line in shown} == {where}


def test_lines_are_worked_out_once_and_not_without_bound():
    lines = {_lines.source_line() for _ in range(3)}
    assert len(lines) == 1
    assert " in test_lines_are_worked_out_once_and_not_without_bound" in lines.pop()
    _lines._places.clear()
    code = "\n".join("seen.append(line())" for _ in range(_lines._PLACES_MAX + 10))
    seen = []
    exec(compile(code, "/many.py", "exec"), {"seen": seen, "line": _lines.source_line})
    assert seen[-1] == f"/many.py:{len(seen)} in <module>"
    assert len(_lines._places) <= _lines._PLACES_MAX


def test_arguments_are_shown_if_they_are_short_and_can_be_read():
    def shown(*args, **kwargs):
        return describe_call("a.a", _codec.encode_arguments(args, kwargs)[0], 7)

    assert shown(1, "x", n=None) == "a.a(1, 'x', n=None)"
    assert len(shown(*["long text"] * 100)) < 200
    assert shown("x" * 5000) == describe_call("a.a", None, 7) == "a.a(…) with arguments 00000007"
    assert describe_call("a.a", b"\xc1", 7) == "a.a(…) with arguments 00000007"


def test_the_error_names_both():
    before, now = Asked("a.a(1)", "x.py:1 in f"), Asked("a.a(2)", None)
    assert explain("b.b", Difference(3, before, now)) == (
        "b.b was run again and did something else than before at its call number 3:\n"
        "  before: a.a(1) at x.py:1 in f\n"
        "  now:    a.a(2)\n"
        "what comes from random, time, I/O and the like belongs into msx.run(…)"
    )
    assert "did something else than before:\n" in explain("b.b", Difference(3, before, None))


def replay(kind, service, ident, **more):
    recorded = Recorded(0, service, ident, True, _codec.encode(0), "x.py:1 in f")
    run = Run(1, 2, b"", None, [recorded], LIMIT)
    return kind(run, "b.b", *more.values())


@pytest.mark.parametrize(
    ("kind", "more"), [(Call, {}), (LoopCall, {"engine": None})], ids=["def", "async def"]
)
@pytest.mark.parametrize(
    ("service", "ident", "before"),
    [
        ("a.a", 7, "a.a(…) with arguments 00000007"),
        (MEMO, 7, "msx.run(…)"),
        (MEMO, TIMER, "a timer of asyncio"),
    ],
)
def test_a_call_or_a_memo_in_place_of_another(kind, more, service, ident, before):
    call = replay(kind, service, ident, **more)
    with pytest.raises(NonDeterminismError) as caught:
        call.claim("a.a", (1,), {}, None, "x.py:2 in f")
    assert f"before: {before} at x.py:1 in f\n  now:    a.a(1) at x.py:2 in f\n" in str(caught.value)
    with pytest.raises(NonDeterminismError):
        call.claim("a.a", (1,), {}, None, None)
    answer = call.answer(None, "what it returns does not count")
    assert msgspec.to_builtins(answer.difference) == [0, [before, "x.py:1 in f"], ["a.a(1)", "x.py:2 in f"]]

    call = replay(kind, service, ident, **more)
    with pytest.raises(NonDeterminismError, match=r"now:    msx\.run\(print\) at x\.py:3"):
        call.open_memo(print, "x.py:3 in f")


def test_an_answer_without_a_difference():
    call = Call(Run(1, 1, b"", None, [], LIMIT), "b.b")
    answer = call.answer(ValueError("x"), None)
    assert isinstance(answer, _protocol.Raise)
    assert answer.difference is None
