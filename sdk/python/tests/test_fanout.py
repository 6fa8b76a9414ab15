"""`map`, `as_completed`, `first`, nested gathers and `msx.context`, in real workers."""

import uuid

import pytest

import msx

BOTH = pytest.mark.parametrize("kind", ["fans", "afans"])


@BOTH
@pytest.mark.parametrize("n", [0, 1, 12])
def test_as_completed(hub, kind, n):
    before = hub.made
    assert hub.call(f"{kind}.completed", n) == list(range(n))
    assert hub.made == before + 2 * n


@BOTH
def test_as_completed_of_calls_that_are_waited_for_elsewhere(hub, kind):
    before = hub.made
    assert hub.call(f"{kind}.completed_late", 6) == [3, 3, [0, 1, 2, 3, 4, 5], True]
    assert hub.made == before + 12


@BOTH
def test_first(hub, kind):
    before = hub.made
    assert hub.call(f"{kind}.first", 5) == [True, True, [0, 1, 2, 3, 4]]
    assert hub.made == before + 6
    assert hub.call(f"{kind}.first_fails") == 2


@BOTH
@pytest.mark.parametrize(("n", "limit"), [(0, 3), (1, 3), (30, 1), (30, 4), (30, 64)])
def test_map(hub, kind, n, limit):
    before = hub.made
    assert hub.call(f"{kind}.maps", n, limit) == [i + 1 for i in range(n)]
    assert hub.call(f"{kind}.maps_and_calls", n, limit) == [2 * i + 100 for i in range(n)]
    assert hub.made == before + 3 * n


@BOTH
def test_an_exception_ends_a_map(hub, kind):
    before = hub.made
    assert hub.call(f"{kind}.map_fails", 50) == [0, 1, 2, -1]
    assert hub.made - before < 10


@pytest.mark.parametrize("limit", [1, 3])
def test_a_map_of_calls(hub, limit):
    assert hub.call("fans.maps_lazily", str(uuid.uuid4()), limit) == [1] * 6


@BOTH
def test_nested(hub, kind):
    inner = [[1, 2, 3], [2, 3, 4]]
    expected = [*inner, 0, 1] if kind == "fans" else [inner[0], [inner[1]], 0, 1, []]
    assert hub.call(f"{kind}.nested") == expected


def test_nested_in_asyncio(hub):
    assert hub.call("afans.asyncio_nested") == [[2, 4], 6, 8]


def test_beside_other_tasks(hub):
    n = 8
    total = n * (n - 1) // 2
    assert hub.call("afans.maps_beside", n) == [total, total + n, total + 2 * n, 0, 0, 0]


def test_a_result_that_came_along_is_not_seen_earlier(hub):
    assert hub.call("afans.settled_unseen", str(uuid.uuid4())) == [[11, 10], 1]


def test_one_race_is_for_one_task(hub):
    assert "two tasks wait" in hub.call("afans.two_tasks_wait")


def test_on_a_loop_of_a_def(hub):
    assert hub.call("fans.own_loop", 5) == [[0, 1, 2, 3, 4], 2, [4, 6]]


@BOTH
def test_the_context(hub, kind):
    attempt = 2 if hub.replay else 1
    rest = [attempt, hub.replay, None, True]
    assert hub.call(f"{kind}.about") == [True, [], *rest]
    assert hub.call(f"{kind}.about_child") == [True, [f"{kind}.about_child"], *rest]


def test_the_context_is_read_only():
    with pytest.raises(AttributeError):
        msx.context().attempt = 2
