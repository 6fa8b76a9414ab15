"""The decorator `microservice`, and the stub `Service` that it makes of a function.

The stub is all that a program sees of a service, in its own module too: calling it sends a message when it is
used inside of a worker's call, and runs the function in process everywhere else (`_plain`).
"""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypedDict, TypeVar, overload

import msgspec

from . import _batches, _classes, _context, _registry
from ._arguments import argument_decoder
from ._fanout import Mapped
from ._options import CallOptions, RetryOn, call_options
from ._streams import Stream, refuse_as_call, refuse_key

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._futures import Future

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
A_contra = TypeVar("A_contra", contravariant=True)
B_contra = TypeVar("B_contra", contravariant=True)


class Options(TypedDict, total=False):
    """Keys of `[services.NAME]` in the manifest, which overrides them; the hub checks the values."""

    name: str
    threads: int
    concurrency: int
    max_parked: int
    run_timeout: str | float
    durability: str
    idempotent: bool
    concurrency_key: int
    on_nondeterminism: str
    retries: int | dict[str, Any]
    instances: int | dict[str, Any]
    min: int
    max: int
    scale: dict[str, Any]
    queue: dict[str, Any]
    expose: bool
    env: dict[str, str]
    env_file: str
    cwd: str
    limits: dict[str, Any]
    depends_on: dict[str, Any]
    stop: dict[str, Any]
    watch: list[str]
    server: str
    python: str


class BatchOptions(Options, total=False):
    """Those of a function that takes several calls at once."""

    batch: int
    within: str


class _Callable(Protocol[P, R_co]):
    """An object of a class that can be a service."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Decorator(Protocol):
    """`@microservice(…)`"""

    @overload
    def __call__(self, fn: type[_Callable[P, R]], /) -> Service[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Service[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


class _BatchDecorator(Protocol):
    """`@microservice(batch=…)`: a function of lists, of up to three, becomes a service of single elements."""

    @overload
    def __call__(
        self,
        fn: type[_Callable[[list[A]], Coroutine[Any, Any, list[T]]]]
        | Callable[[list[A]], Coroutine[Any, Any, list[T]]],
        /,
    ) -> Service[[A], Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(
        self, fn: type[_Callable[[list[A]], list[T]]] | Callable[[list[A]], list[T]], /
    ) -> Service[[A], T]: ...
    @overload
    def __call__(
        self,
        fn: type[_Callable[[list[A], list[B]], Coroutine[Any, Any, list[T]]]]
        | Callable[[list[A], list[B]], Coroutine[Any, Any, list[T]]],
        /,
    ) -> Service[[A, B], Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(
        self, fn: type[_Callable[[list[A], list[B]], list[T]]] | Callable[[list[A], list[B]], list[T]], /
    ) -> Service[[A, B], T]: ...
    @overload
    def __call__(
        self,
        fn: type[_Callable[[list[A], list[B], list[C]], Coroutine[Any, Any, list[T]]]]
        | Callable[[list[A], list[B], list[C]], Coroutine[Any, Any, list[T]]],
        /,
    ) -> Service[[A, B, C], Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(
        self,
        fn: type[_Callable[[list[A], list[B], list[C]], list[T]]]
        | Callable[[list[A], list[B], list[C]], list[T]],
        /,
    ) -> Service[[A, B, C], T]: ...
    @overload
    def __call__(self, fn: Any, /) -> Service[..., Any]: ...
    def __call__(self, fn: Any, /) -> Any: ...


class Takes1(Protocol[A_contra, T]):
    """A service that can be called with one argument. For type checkers, as `Concatenate` infers nothing."""

    def start(self, x: A_contra, /) -> Future[T]: ...


class Takes2(Protocol[A_contra, B_contra, T]):
    """The same with two."""

    def start(self, x: A_contra, y: B_contra, /) -> Future[T]: ...


class Service(Generic[P, R_co]):
    fn: Callable[P, R_co]
    name: str
    is_async: bool
    streams: bool  # it is a generator
    settings: Options
    call_options: CallOptions | None = None  # of the calls that are made by this stub
    batched: bool  # a run is given lists, with an element of each call
    needs_hub: bool  # there is no function to run in plain mode

    def __init__(self, fn: Callable[P, R_co], name: str, options: Options, needs_hub: bool = False) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.name = name
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
        self.streams = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
        self.settings = options
        self.batched = "batch" in options
        self.needs_hub = needs_hub

    @functools.cached_property
    def decode_arguments(self) -> Callable[[bytes], Any]:
        """From a payload to (args, kwargs); made when needed, as annotations may name later classes."""
        return argument_decoder(self.fn, batched=self.batched)

    @functools.cached_property
    def call_one(self) -> Callable[..., Any]:
        """The function, for one call."""
        return _batches.single(self) if self.batched else self.fn

    @overload
    def __call__(
        self: Service[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def __call__(self: Service[P, Iterator[T]], /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def __call__(self: Service[P, AsyncIterator[T]], /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        call = _context.runtime.current()
        if self.streams:
            refuse_key(self)
            return call.stream(self, args, kwargs)
        if self.is_async:
            return call.defer(self, args, kwargs)
        return call.ask(self, args, kwargs)

    @overload
    def start(
        self: Service[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def start(self, /, *args: P.args, **kwargs: P.kwargs) -> Future[R_co]: ...
    def start(self, /, *args: Any, **kwargs: Any) -> Any:
        """Starts the call now; wait for it later by `.result()` or `await`."""
        refuse_as_call(self)
        return _context.runtime.current().start(self, args, kwargs)

    @overload
    def aio(self: Service[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def aio(self, /, *args: P.args, **kwargs: P.kwargs) -> Future[R_co]: ...
    def aio(self, /, *args: Any, **kwargs: Any) -> Any:
        """`await a.aio(x)`: the call for code on an event loop."""
        refuse_as_call(self)
        return _context.runtime.current().defer(self, args, kwargs)

    def options(
        self,
        *,
        timeout: float | timedelta | None = None,
        retries: int | None = None,
        retry_on: RetryOn | None = None,
        idempotency_key: str | None = None,
        key: str | None = None,
    ) -> Service[P, R_co]:
        """The same stub, for calls with options: `a.options(timeout=2)(x)`.

        `timeout`: seconds after which the call is cancelled, with all that it called, and raises
        `msx.TimeoutError` here. `retries`: how often it is tried again when it fails, instead of the
        service's own setting; `retry_on`: only after these exceptions. `idempotency_key`: calls of this
        service with the same key are one call, for a day. `key`: of calls with the same key, only as many
        run at once as the service's `concurrency_key` says.
        """
        given = call_options(self.name, timeout, retries, retry_on, idempotency_key, key)
        other = copy.copy(self)
        other.call_options = {**(self.call_options or {}), **given}
        return other

    def __copy__(self) -> Service[P, R_co]:
        other: Service[P, R_co] = Service.__new__(Service)
        other.__dict__.update(self.__dict__)
        return other

    @overload
    def map(self: Takes1[A_contra, T], xs: Iterable[A_contra], /, *, limit: int = 64) -> Mapped[T]: ...
    @overload
    def map(
        self: Takes2[A_contra, B_contra, T],
        xs: Iterable[A_contra],
        ys: Iterable[B_contra],
        /,
        *,
        limit: int = 64,
    ) -> Mapped[T]: ...
    def map(self, /, *iterables: Iterable[Any], limit: int = 64) -> Mapped[Any]:
        """Calls it with each item: `for y in a.map(xs)`, `list(a.map(xs))`. Results keep the items' order.

        As with `concurrent.futures`, calls start at once, and several iterables give several arguments.
        Unlike there, at most `limit` of them are unfinished at a time: whenever one ends while you iterate,
        the next one starts, so `xs` may be long. An exception is raised where its result would stand, and
        is the last that the iteration gives.

        In an `async def`: `async for y in a.map(xs)`, or `await a.map(xs)` for the list.
        """
        refuse_as_call(self)
        return Mapped(self, zip(*iterables), limit)  # noqa: B905  (as `map` does)

    def local(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Runs the function right here, as part of the current call."""
        result: R_co = self.call_one(*args, **kwargs)
        return result

    def __reduce__(self) -> str:
        """Pickled by name, as functions are."""
        return self.fn.__qualname__

    def __repr__(self) -> str:
        return f"<microservice {self.name}>"


@overload
def microservice(fn: type[_Callable[P, R]], /) -> Service[P, R]: ...
@overload
def microservice(fn: Callable[P, R], /) -> Service[P, R]: ...
@overload
def microservice(*, batch: int, within: str = ..., **options: Unpack[Options]) -> _BatchDecorator: ...
@overload
def microservice(**options: Unpack[Options]) -> _Decorator: ...
def microservice(fn: Any = None, /, **options: Any) -> Any:
    """Makes a service of a function, or of a class: `@microservice`, or `@microservice(threads=4)`.

    `@microservice(batch=32, within="5ms")` makes one of a function that takes lists and returns one: callers
    give single elements, one run takes up to 32 of their calls, and a free one waits up to 5 ms for more.
    """
    _check_options(options)
    if fn is None:
        return functools.partial(_decorate, options=options)
    return _decorate(fn, options=options)


def _decorate(fn: Any, *, options: Any) -> Service[..., Any]:
    _check_function(fn)
    if isinstance(fn, type):
        fn = _classes.function_of(fn)
    if "batch" in options:
        _refuse(fn, _batches.why_not(fn))
    service: Service[..., Any] = Service(fn, f"{fn.__module__}.{fn.__name__}", options)
    _registry.services[service.name] = service
    return service


def _check_options(options: dict[str, Any]) -> None:
    known = BatchOptions.__annotations__
    for option, value in options.items():
        if option not in known:
            close = difflib.get_close_matches(option, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"
            raise TypeError(f"@microservice has no option {option!r}{hint}")
        try:
            msgspec.json.encode(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"@microservice: the option {option!r} must be plain data: {error}") from None
    if "within" in options and "batch" not in options:
        raise TypeError(
            "@microservice: within= says how long calls wait for a batch: add batch=, the most calls of one"
        )


def _check_function(fn: Any) -> None:
    _refuse(fn, _why_not(fn))


def _refuse(fn: Any, reason: str | None) -> None:
    if reason is not None:
        name = getattr(fn, "__qualname__", None) or repr(fn)
        raise TypeError(f"@microservice cannot make a service of {name}: {reason}")


def _why_not(fn: Any) -> str | None:
    if isinstance(fn, Service):
        return "it is one already"
    if isinstance(fn, type):
        return _classes.why_not(fn) or _why_not_reachable(
            fn, "defined inside of a class; move it to the module"
        )
    if isinstance(fn, (staticmethod, classmethod)):
        return "it is a method; decorate a function of the module"
    if not inspect.isfunction(fn):
        return f"it is of type {type(fn).__name__}; decorate a function that is written with def or async def"
    return _why_not_reachable(fn)


def _why_not_reachable(fn: Any, as_member: str = "a method; decorate a function of the module") -> str | None:
    """A worker imports the module and takes the function by its name."""
    if fn.__name__ == "<lambda>":
        return "a lambda has no name; write it with def"
    if "<locals>" in fn.__qualname__:
        return "it is defined inside of a function, where a worker cannot find it; move it to the module"
    if fn.__qualname__ != fn.__name__:
        return f"it is {as_member}"
    return None
