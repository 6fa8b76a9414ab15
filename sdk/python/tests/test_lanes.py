"""A lane and the threads that use it, at moments that hardly ever come."""

import socket
from contextvars import Context

import pytest

from msx._interrupts import Kept
from msx._threadcalls import ThreadRuntime
from msx._threads import Lane


class Overtaken:
    """A lock that somebody else had between the look at what is to be sent and the lock."""

    def __init__(self, lane):
        self.lane, self.held = lane, False

    def acquire(self, blocking):
        self.lane._out.clear()
        self.held = True
        return True

    def release(self):
        self.held = False


@pytest.fixture
def lane():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Lane(0, theirs, None, ThreadRuntime(), Context(), Kept(), {})


def test_what_another_thread_has_sent_meanwhile_is_not_sent_again(lane):
    lane._sending = lock = Overtaken(lane)
    lane._out.append(b"frame")
    lane._flush()
    assert not lock.held
