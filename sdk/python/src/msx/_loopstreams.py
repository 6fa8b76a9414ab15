"""Streams on the event loop of an `async def` worker; `_streams` has what they share with a `def`'s."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from . import _context
from ._streams import NEXT, ROOM, CallStream, Yielding
from ._tasks import LoopCall, LoopFuture


class LoopStream(CallStream):
    """One in a call on the loop."""

    _call: LoopCall

    def __next__(self) -> Any:
        _context.refuse_on_loop(self.__name__, "async for item in {short}(…)")
        raise AssertionError("an event loop runs wherever a LoopCall is current")

    async def __anext__(self) -> Any:
        while not self._items:
            if self._over:
                self._end()
                raise StopAsyncIteration
            await self._pull()
        return self._pop()

    async def _pull(self) -> None:
        self._open()
        call = self._call
        if self._unsent is not None and call.next_seq not in call.inbox:
            first, self._unsent = self._unsent, None
            call.add_entry(first)
        answer = await LoopFuture(call, NEXT, (self._seq,), {}, {"next": self._seq})
        if not self._over:  # closed by another task
            self._take(answer)

    def close(self) -> None:
        seq = self._leave()
        if seq is not None and not self._call.ended:
            self._call.send_close(seq)

    def __del__(self) -> None:
        """Left early by `break`; behind the call's end nobody needs to be told."""
        if self.__dict__.get("_seq", -1) >= 0 and self._is_open() and not self._call.ended:
            self._call.close_left(self._seq)


async def yield_all(call: LoopCall, generator: AsyncGenerator[Any, None]) -> None:
    """Runs an async generator."""
    yielding = Yielding(call)
    try:
        async for item in generator:
            message = yielding.take(item)
            if message is not None:
                call.send_item(message)
            if yielding.wants_room():
                await LoopFuture(call, ROOM, (yielding.count,), {}, None)
            elif message is not None:
                await asyncio.sleep(0)  # it goes out now, also if the generator never waits
    finally:
        await generator.aclose()
