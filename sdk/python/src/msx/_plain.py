"""Plain mode: outside of a worker a stub runs the function in this process.

Arguments and results are encoded and decoded on the way, and exceptions arrive as they would from a worker,
so that shared mutable state and values that cannot travel show in tests. It never looks for a hub.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from . import _codec, _context
from ._errors import RemoteError, UsageError
from ._futures import Composite, Future, all_outcomes
from ._info import PLAIN, CallInfo
from ._protocol import MESSAGE_BYTES_MAX
from ._races import PlainRace
from ._registry import imported
from ._remote import encode_error, from_map, raise_as_it_is
from ._replay import encode_arguments, encode_result
from ._streams import Stream, refuse_as_call

if TYPE_CHECKING:
    from ._service import Service

LIMIT = 32 * 1024 * 1024


def _travelled(service: Service[..., Any], args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    payload, _ = encode_arguments(service.name, args, kwargs, LIMIT)
    arguments: tuple[list[Any], dict[str, Any]] = service.decode_arguments(payload)
    return arguments


def _returned(service: Service[..., Any], value: Any) -> Any:
    return _codec.decode(encode_result(service.name, value, LIMIT))


def _raise(service: Service[..., Any], error: BaseException) -> NoReturn:
    """As from a worker, but with its real traceback, so that a debugger finds the frames."""
    if isinstance(error, RemoteError) and "_msx_origin" in error.__dict__:
        raise error
    content = _codec.decode(encode_error(error, service.name, MESSAGE_BYTES_MAX))
    remote = from_map(content, local=True)
    raise_as_it_is(remote.with_traceback(error.__traceback__))


def _check_runs_here(service: Service[..., Any]) -> None:
    if service.needs_hub:
        raise UsageError(
            f"{service.name} is answered by a running hub: call it in a `with msx.connect():`, from a "
            f"script of `msx run`, from a service that `msx up` runs, or by `msx call {service.name}`"
        )


def run_def(service: Service[..., Any], args: Any, kwargs: Any) -> Any:
    _check_runs_here(service)
    args, kwargs = _travelled(service, args, kwargs)
    try:
        value = service.call_one(*args, **kwargs)
        return _returned(service, value)
    except (Exception, SystemExit) as error:
        failure = error
    _raise(service, failure)


async def run_async(service: Service[..., Any], args: Any, kwargs: Any) -> Any:
    _check_runs_here(service)
    args, kwargs = _travelled(service, args, kwargs)
    try:
        value = await service.call_one(*args, **kwargs)
        return _returned(service, value)
    except (Exception, SystemExit) as error:
        failure = error
    _raise(service, failure)


class PlainFuture(Future[Any]):
    __slots__ = ("_args", "_kwargs", "_service", "seq", "task")

    def __init__(self, service: Service[..., Any], args: Any, kwargs: Any) -> None:
        super().__init__(service.name)
        self._service, self._args, self._kwargs = service, args, kwargs
        self.task: Any = None

    def begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        loop = _context.running_loop()
        if loop is None:
            self._run_now()
        else:
            self.task = loop.create_task(self._steps_on_loop())

    def _run_now(self) -> None:
        """There is nothing to run it beside, so it runs while it is started."""
        try:
            if self._service.is_async:
                import asyncio

                value = asyncio.run(run_async(self._service, self._args, self._kwargs))
            else:
                value = run_def(self._service, self._args, self._kwargs)
        except Exception as error:
            self.settle(False, error)
        else:
            self.settle(True, value)

    async def _steps_on_loop(self) -> None:
        """A `def` runs in a thread: in its own worker no event loop would be in its way."""
        import asyncio

        try:
            if self._service.is_async:
                value = await run_async(self._service, self._args, self._kwargs)
            else:
                value = await asyncio.to_thread(run_def, self._service, self._args, self._kwargs)
        except Exception as error:
            self.settle(False, error)
        else:
            self.settle(True, value)

    def wait(self) -> None:
        if not self.done:
            raise UsageError(f"{self.__name__} was started on an event loop that is not running any more")

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.done:
            self.begin()
            yield from self.task.__await__()
        return self.outcome()


class PlainStream(Stream[Any]):
    """The generator itself; its items go through the encoding."""

    def __init__(self, service: Service[..., Any], args: Any, kwargs: Any) -> None:
        _check_runs_here(service)
        self._service, self._arguments = service, (args, kwargs)
        self._generator: Any = None
        self._loop: Any = None  # for an async generator that a `def` iterates over

    def _begun(self) -> Any:
        if self._generator is None:
            args, kwargs = _travelled(self._service, *self._arguments)
            self._arguments = (), {}
            self._generator = self._service.fn(*args, **kwargs)
        return self._generator

    def __next__(self) -> Any:
        short = "async for item in {short}(…)"
        _context.refuse_on_loop(self._service.name, short)
        try:
            return self._item(next(self._begun()) if not self._service.is_async else self._next_of_async())
        except (StopIteration, StopAsyncIteration) as stop:
            end = StopIteration(*stop.args)
        except (Exception, SystemExit) as error:
            _raise(self._service, error)
        raise end

    def _next_of_async(self) -> Any:
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(self._begun().__anext__())

    async def __anext__(self) -> Any:
        """A `def` runs in a thread: in its own worker no event loop would be in its way."""
        import asyncio

        try:
            if self._service.is_async:
                return self._item(await self._begun().__anext__())
            value = await asyncio.to_thread(next, self._begun(), _END)
            if value is not _END:
                return self._item(value)
        except StopAsyncIteration:
            pass
        except (Exception, SystemExit) as error:
            _raise(self._service, error)
        raise StopAsyncIteration

    def _item(self, value: Any) -> Any:
        return _codec.decode(encode_result(self._service.name, value, LIMIT, "an item of it"))

    def close(self) -> None:
        if self._generator is not None and not self._service.is_async:
            self._generator.close()
        elif self._loop is not None and self._generator is not None:
            self._loop.run_until_complete(self._generator.aclose())
            self._loop.close()
            self._loop = None

    async def aclose(self) -> None:
        if self._generator is not None and self._service.is_async:
            await self._generator.aclose()
        else:
            self.close()

    def __del__(self) -> None:
        if self.__dict__.get("_loop") is not None:
            self.close()


_END = object()


class PlainGather(Composite[list[Any]]):
    """What `gather` returns on an event loop."""

    __slots__ = ("_futures",)

    def __init__(self, futures: Sequence[Future[Any]]) -> None:
        super().__init__("gather")
        self._futures = futures

    def complete(self) -> Generator[Any, Any, None]:
        import asyncio

        if not self.done:
            if self._futures:
                yield from asyncio.gather(*self._futures, return_exceptions=True).__await__()
            self.settle_by(lambda: all_outcomes(self._futures))


class PlainCall:
    """Answers as a worker's call would (`_context.LiveCall`); there is one for all."""

    deadline: float | None = None

    def summarise(self, text: str) -> None:
        """There is nobody to see it."""

    def current(self) -> PlainCall:
        return self

    def ask(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _context.refuse_on_loop(service.name)
        service = imported(service)
        refuse_as_call(service)
        if service.is_async:
            return PlainFuture(service, args, kwargs).result()
        return run_def(service, args, kwargs)

    def defer(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        service = imported(service)
        refuse_as_call(service)
        return PlainFuture(service, args, kwargs)

    def start(self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        future = self.defer(service, args, kwargs)
        future.begin()
        return future

    def stream(
        self, service: Service[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stream[Any]:
        return PlainStream(imported(service), args, kwargs)

    def gather(self, futures: Sequence[Future[Any]]) -> Any:
        for future in futures:
            future.begin()
        if _context.running_loop() is not None:
            return PlainGather(futures)
        for future in futures:
            future.wait()
        return all_outcomes(futures)

    def race(self) -> PlainRace:
        return PlainRace()

    def info(self) -> CallInfo:
        return PLAIN

    def memo(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = fn(*args, **kwargs)
        return _memo_async(value) if isinstance(value, Coroutine) else _memo_value(value)


async def _memo_async(steps: Coroutine[Any, Any, Any]) -> Any:
    return _memo_value(await steps)


def _memo_value(value: Any) -> Any:
    return _codec.decode(encode_result("msx.run", value, LIMIT))


_context.install(PlainCall())
