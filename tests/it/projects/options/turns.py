"""Calls with keys, of which only so many run at once."""

import time

import msx
from marks import mark, marks
from msx import microservice


@microservice(threads=8, concurrency_key=1)
def visits(account: str, name: str) -> int:
    """Stays until the gate of its name is open; returns how many of its account were there meanwhile."""
    mark(f"{account}.in")
    inside = marks(f"{account}.in") - marks(f"{account}.out")
    while not marks(f"{name}.open"):
        time.sleep(0.005)
    mark(f"{account}.out")
    return inside


@microservice
def one_by_one(account: str) -> list:
    """Five calls under one key; the gate is open."""
    mark(f"{account}.open")
    visit = visits.options(key=account)
    return msx.gather(*[visit.start(account, account) for _ in range(5)])


@microservice
def side_by_side(account: str) -> list:
    """Three under a key with a closed gate do not keep one under another key from running."""
    stuck = [visits.options(key=account).start(account, account) for _ in range(3)]
    other = visits.options(key=f"{account}.other")
    mark(f"{account}.other.open")
    passed = other(f"{account}.other", f"{account}.other")
    mark(f"{account}.open")
    return [passed, *[call.result() for call in stuck]]


@microservice(concurrency_key=1)
def again(account: str) -> str:
    try:
        return again.options(key=account)(account)
    except msx.LimitExceeded as error:
        return str(error)


@microservice
def circles(account: str) -> str:
    return again.options(key=account)(account)
