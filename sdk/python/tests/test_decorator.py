"""The decorator and the stub."""

import copy
import functools
import inspect
import pickle

import pytest

import msx
from msx import Service, microservice


@microservice
def documented(x: int, *, y: str = "a") -> str:
    """What it does.

    And more.
    """
    return y * x


@microservice(threads=4, instances={"min": 1, "max": 3})
def with_options():
    return 1


@microservice()
async def with_no_options():
    return 2


def test_the_stub_looks_like_the_function():
    assert isinstance(documented, Service)
    assert documented.name == "test_decorator.documented"
    assert documented.__name__ == documented.__qualname__ == "documented"
    assert documented.__module__ == __name__
    assert inspect.getdoc(documented) == "What it does.\n\nAnd more."
    assert str(inspect.signature(documented)) == "(x: int, *, y: str = 'a') -> str"
    assert repr(documented) == "<microservice test_decorator.documented>"
    assert callable(documented)


def test_it_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(documented)) is documented
    assert copy.deepcopy([documented])[0] is documented


def test_options_are_kept():
    assert documented.settings == {}
    assert with_options.settings == {"threads": 4, "instances": {"min": 1, "max": 3}}
    assert with_no_options.settings == {}
    assert with_options() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thread": 4}, "@microservice has no option 'thread'; did you mean 'threads'?"),
        ({"idempotnet": True}, "did you mean 'idempotent'?"),
        ({"zzz": 1}, "has no option 'zzz'; it has name, threads, "),
        ({"env": {"x": object()}}, "the option 'env' must be plain data"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(TypeError) as caught:
        microservice(**options)
    assert message in str(caught.value)


class NoService:
    pass


class Thing:
    def method(self):
        pass

    def __call__(self):
        pass


def nested():
    def inner():
        pass

    return inner


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (NoService, "make a service of NoService: it has no __call__"),
        (Thing.method, "make a service of Thing.method: it is a method"),
        (Thing().method, "it is of type method"),
        (staticmethod(nested), "it is a method"),
        (nested(), "nested.<locals>.inner: it is defined inside of a function"),
        (lambda: 1, "a lambda has no name"),
        (functools.partial(nested), "it is of type partial"),
        (len, "it is of type builtin_function_or_method"),
        (Thing(), "it is of type Thing"),
        (documented, "it is one already"),
        (7, "it is of type int"),
    ],
)
def test_what_cannot_be_a_service(fn, reason):
    with pytest.raises(TypeError) as caught:
        microservice(fn)
    assert "@microservice cannot make a service of" in str(caught.value)
    assert reason in str(caught.value)


def test_the_exports():
    assert sorted(msx.__all__) == [
        "CallInfo", "Cancelled", "Fatal", "Future", "IdempotencyConflict", "InstanceDied", "LimitExceeded",
        "NoCallContext", "NonDeterminismError", "RemoteError", "Service", "ServiceUnavailable", "Stream",
        "Suspend", "TimeoutError", "UsageError", "as_completed", "connect", "context", "first", "gather",
        "microservice", "on_start", "on_stop", "orchestrator", "run", "summary",
    ]  # fmt: skip
    assert all(hasattr(msx, name) for name in msx.__all__)
    public = {name for name in vars(msx) if not name.startswith("_")} - {"services", "testing"}  # modules
    assert public == set(msx.__all__)


def test_the_exceptions():
    import builtins

    remote = [
        msx.TimeoutError,
        msx.ServiceUnavailable,
        msx.InstanceDied,
        msx.NonDeterminismError,
        msx.LimitExceeded,
    ]
    assert all(issubclass(kind, msx.RemoteError) for kind in remote)
    assert issubclass(msx.TimeoutError, builtins.TimeoutError)
    assert issubclass(msx.NoCallContext, msx.UsageError)
    assert not any(issubclass(kind, Exception) for kind in (msx.Cancelled, msx.Suspend))
    assert {kind.__module__ for kind in [*remote, msx.Cancelled, msx.UsageError]} == {"msx"}
