"""One attempt of one call in a worker: what it has asked for, and what is already known.

A call numbers its children and memos from 0 in order of creation (`seq`). When it is run again, the results
of its earlier attempt are there from the start, each with the service and the ident of the arguments that it
answers; the program must ask for the same things in the same order, else it is a NonDeterminismError.

The state is per call and decides everything: an exception that user code swallows changes nothing, because
every further use of msx by a suspended or failed call raises again (`_bar`), and its answer is decided by
`suspended` and `failure`, not by how the function ended.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NoReturn
from zlib import crc32

from . import _codec, _protocol
from ._batches import Batch
from ._differences import describe_call, explain
from ._errors import LimitExceeded, NonDeterminismError, Suspend, UsageError
from ._info import CallInfo
from ._lines import source_line
from ._options import CallOptions
from ._process import die
from ._protocol import (
    Answers,
    Asked,
    Difference,
    Entry,
    Evicted,
    Memo,
    Message,
    Raise,
    Recorded,
    Resume,
    Return,
    Run,
)
from ._registry import parameter_name
from ._remote import decode_error, encode_error, raise_as_it_is

if TYPE_CHECKING:
    from ._service import Service

Outcome = tuple[bool, bytes]  # ok, payload

MEMO = "msx.run"
TIMER = crc32(b"asyncio timer")  # the ident of a memo that says that one has struck (`_timers`)
UNWOUND_MAX = 1000

_in_memo: ContextVar[bool] = ContextVar("msx_in_memo", default=False)


class Call:
    """The part that `def` and `async def` share."""

    __slots__ = (
        "_arguments", "_arguments_crc", "_expires", "_identities", "_unwound", "attempt", "batch", "deadline",
        "difference", "failure", "id", "inbox", "known", "limit", "next_seq", "public_id", "recorded",
        "service", "suspended", "via", "yielded",
    )  # fmt: skip

    def __init__(self, run: Run, service: str) -> None:
        self.id = run.call
        self.attempt = run.attempt
        self.public_id = run.id
        self.service = service
        self.via = run.via
        self.batch = None if run.batch is None else Batch(run.batch)
        self.limit = run.limit
        self.yielded = run.yielded
        # When its caller stops waiting, by time.monotonic(), and by time.time().
        self.deadline: float | None = None
        self._expires: float | None = None
        if run.remaining is not None:
            seconds = run.remaining / 1000
            self.deadline, self._expires = monotonic() + seconds, time() + seconds
        self.next_seq = 0
        self._arguments = run.payload  # the hub may call this call otherwise when it runs elsewhere
        self._arguments_crc: int | None = None
        self._identities = 0
        self.suspended = False
        self._unwound = 0
        self.failure: NonDeterminismError | None = None
        self.difference: Difference | None = None  # what it is about
        # What is known but was not asked for yet; in the order in which it became known.
        self.recorded = {result.seq: result for result in run.results} if run.results else None
        self.known = len(run.results)  # results that this attempt was told, or made itself
        self.inbox: dict[int, Outcome] = {}
        if run.results:
            self.inbox = {result.seq: (result.ok, result.payload) for result in run.results}

    def info(self) -> CallInfo:
        via = () if self.via is None else (self.via,)
        return CallInfo(self.public_id, via, self.attempt, self._expires, is_replay=self.attempt > 1)

    def arguments(self, service: Service[..., Any], payload: bytes) -> Any:
        """What the function is called with: (args, kwargs)."""
        return service.decode_arguments(payload) if self.batch is None else self.batch.open(service, payload)

    def new_identity(self) -> tuple[int, int]:
        """For what is hashed by identity: the same in every attempt, on any instance."""
        if self._arguments_crc is None:  # once: arguments may be large, and futures many
            self._arguments_crc = crc32(self._arguments)
        self._identities += 1
        return self._arguments_crc, self._identities

    def claim(
        self,
        service: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions | None,
        line: str | None,
    ) -> Entry:
        """The next child call. It is already answered if its seq is in the inbox."""
        self.check(service)
        payload, ident = encode_arguments(service, args, kwargs, self.limit)
        entry = Entry(self.next_seq, service, ident, payload, options, line)
        self.next_seq += 1
        self.identify(entry)
        return entry

    def check(self, service: str) -> None:
        """Raises if the call can make no others now."""
        if self.suspended or self.failure is not None or _in_memo.get():
            self._bar(service)

    def identify(self, entry: Entry) -> None:
        """Raises if what is recorded under its number is something else."""
        if self.recorded is None:
            return
        known = self.recorded.pop(entry.seq, None)
        if known is None or (known.ident == entry.ident and _means(entry.service, known.service)):
            return
        now = Asked(describe_call(entry.service, entry.payload, entry.ident), entry.line)
        raise self.differs(known, now)

    def differs(self, known: Recorded, now: Asked | None) -> NonDeterminismError:
        """From here on the attempt does nothing but end with this error."""
        text = describe_call(known.service, known.arguments, known.ident)
        if known.service == MEMO:
            text = "a timer of asyncio" if known.ident == TIMER else f"{MEMO}(…)"
        self.difference = Difference(known.seq, Asked(text, known.line), now)
        self.failure = NonDeterminismError(explain(self.service, self.difference))
        return self.failure

    def unwind(self) -> NoReturn:
        """Raises Suspend; not for ever, if the code catches it in a loop: its place is needed."""
        self._unwound += 1
        if self._unwound > UNWOUND_MAX:
            die(
                f"{self.service} has to give up its place, but its code catches msx.Suspend in a loop and "
                "calls again; an `except:` or `except BaseException:` around a call must end in `raise`"
            )
        raise Suspend

    def _bar(self, service: str) -> None:
        if self.suspended:
            self.unwind()
        if self.failure is not None:
            raise self.failure
        raise UsageError(f"{service} was called inside of msx.run(…): call it before, and pass its result on")

    def learn(self, resume: Resume) -> None:
        for result in resume.results:
            self.inbox[result.seq] = (result.ok, result.payload)
        self.known += len(resume.results)

    def memo(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`msx.run`: what the first attempt got is what every attempt gets."""
        line = source_line()
        if inspect.iscoroutinefunction(fn):
            return self.memo_async(fn, args, kwargs, line)
        seq, ident = self.open_memo(fn, line)
        if seq not in self.inbox:
            token = _in_memo.set(True)
            try:
                outcome = self._outcome_of(True, fn(*args, **kwargs))
            except Exception as error:
                outcome = self._outcome_of(False, error)
            finally:
                _in_memo.reset(token)
            self._record(seq, ident, outcome, line)
        return read(self.inbox.pop(seq))

    async def memo_async(self, fn: Any, args: Any, kwargs: dict[str, Any], line: str | None) -> Any:
        seq, ident = self.open_memo(fn, line)
        if seq not in self.inbox:
            await self.make_memo(seq, ident, fn(*args, **kwargs), line)
        return read(self.inbox.pop(seq))

    async def make_memo(
        self, seq: int, ident: int, steps: Coroutine[Any, Any, Any], line: str | None
    ) -> None:
        token = _in_memo.set(True)
        try:
            outcome = self._outcome_of(True, await steps)
        except Exception as error:
            outcome = self._outcome_of(False, error)
        finally:
            _in_memo.reset(token)
        self._record(seq, ident, outcome, line)

    def open_memo(self, fn: Any, line: str | None) -> tuple[int, int]:
        self.check(MEMO)
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        seq, ident = self.next_seq, crc32(name.encode())
        self.next_seq = seq + 1
        self.identify_memo(seq, ident, name, line)
        return seq, ident

    def identify_memo(self, seq: int, ident: int, name: str, line: str | None) -> None:
        if self.recorded is None:
            return
        known = self.recorded.pop(seq, None)
        if known is not None and (known.ident, known.service) != (ident, MEMO):
            raise self.differs(known, Asked(f"{MEMO}({name})", line))

    def _outcome_of(self, ok: bool, result: Any) -> Outcome:
        if ok:
            return True, encode_result(MEMO, result, self.limit)
        return False, encode_error(result, self.service, self.limit)

    def _record(self, seq: int, ident: int, outcome: Outcome, line: str | None) -> None:
        """Also when the call was suspended meanwhile: what was done must not be done again."""
        self.send_memo(Memo(self.id, self.attempt, seq, ident, *outcome, self.known, line))
        if self.suspended:
            self.unwind()
        self.inbox[seq] = outcome
        self.known += 1

    def send_memo(self, memo: Memo) -> None:
        raise NotImplementedError

    def summarise(self, text: str) -> None:
        if not self.suspended:
            self.send_summary(text)

    def send_summary(self, text: str) -> None:
        raise NotImplementedError

    def answer(self, error: BaseException | None, value: Any) -> Message:
        """The message that ends this attempt; however the function ended, it gets one."""
        if self.suspended:
            return Evicted(self.id, self.attempt)
        error = self.failure or error
        if self.batch is not None:
            return self._answer_batch(self.batch, error, value)
        if error is None:
            try:
                payload = encode_result(self.service, value, self.limit)
                return Return(self.id, self.attempt, payload)
            except Exception as failure:
                error = failure
        payload = _describe_error(error, self.service, self.limit)
        return Raise(self.id, self.attempt, payload, self.difference)

    def _answer_batch(self, batch: Batch, error: BaseException | None, value: Any) -> Message:
        try:
            results = batch.answers(self.service, error, value)
            outcomes = [_protocol.Outcome(*self._outcome_for_one(result)) for result in results]
            _weigh_batch(self.service, outcomes, self.limit)
            return Answers(self.id, self.attempt, outcomes)
        except BaseException as failure:
            return Raise(self.id, self.attempt, _describe_error(failure, self.service, self.limit))

    def _outcome_for_one(self, result: Any) -> Outcome:
        if not isinstance(result, BaseException):
            try:
                return True, encode_result(self.service, result, self.limit)
            except Exception as failure:
                result = failure
        return False, _describe_error(result, self.service, self.limit)


def _describe_error(error: BaseException, service: str, limit: int) -> bytes:
    try:
        return encode_error(error, service, limit)
    except Exception as failure:
        text = f"{service} raised a {type(error).__name__} that cannot be described: {type(failure).__name__}"
        return encode_error(RuntimeError(text), service, limit)


def _means(asked: str, canonical: str) -> bool:
    """A stub of `msx.services` may ask by the short name; what is recorded has the canonical one."""
    return asked == canonical or ("." not in asked and canonical.rpartition(".")[2] == asked)


def read(outcome: Outcome) -> Any:
    """Returns the value of an outcome, or raises its error."""
    ok, payload = outcome
    return _codec.decode(payload) if ok else raise_as_it_is(decode_error(payload))


# --- payloads, with errors that name the service ----------------------------------------------------------


def encode_arguments(
    service: str, args: tuple[Any, ...], kwargs: dict[str, Any], limit: int
) -> tuple[bytes, int]:
    try:
        payload, ident = _codec.encode_arguments(args, kwargs)
    except _codec.CannotTravel as error:
        raise TypeError(f"{service}: {_culprit(service, args, kwargs)}: {error}") from None
    except _codec.TooLarge as error:
        raise _too_large(service, "arguments take", error.size, limit) from None
    if len(payload) > limit // 2:
        _weigh(service, "arguments take", len(payload), limit)
    return payload, ident


def _culprit(service: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    named = [(parameter_name(service, index), value) for index, value in enumerate(args)]
    named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
    for name, value in named:
        try:
            _codec.encode(value)
        except _codec.CannotTravel:
            return name
    return "the arguments"


def encode_result(service: str, value: Any, limit: int, what: str = "its result") -> bytes:
    try:
        payload = _codec.encode(value)
    except _codec.CannotTravel as error:
        raise TypeError(f"{service}: {what}: {error}") from None
    except _codec.TooLarge as error:
        raise _too_large(service, "result takes", error.size, limit) from None
    if len(payload) > limit // 2:
        _weigh(service, "result takes", len(payload), limit)
    return payload


_SMALLER = "pass a path or a key instead of the data, or send it in parts"
_warned: set[str] = set()  # services that were told that their messages grow


def _too_large(service: str, what: str, size: int, limit: int) -> LimitExceeded:
    return LimitExceeded(
        f"{service}: its {what} {size} bytes; the limit is {limit} for one message: {_SMALLER}"
    )


def _weigh_batch(service: str, outcomes: list[_protocol.Outcome], limit: int) -> None:
    size = sum(len(outcome.payload) for outcome in outcomes)
    if size > limit:
        raise LimitExceeded(
            f"{service}: the results of {len(outcomes)} calls take {size} bytes together; the limit is "
            f"{limit} for one message: make `batch` smaller, or pass a path or a key instead of the data"
        )


def _weigh(service: str, what: str, size: int, limit: int) -> None:
    """Refuses what no message can hold; warns of what comes near it, once for each service."""
    if size > limit:
        raise _too_large(service, what, size, limit)
    if service not in _warned:
        _warned.add(service)
        print(
            f"msx: {service}: its {what} {size} bytes, more than half of the limit of {limit} for one "
            f"message; beyond it the call fails: {_SMALLER}",
            file=sys.stderr,
        )
