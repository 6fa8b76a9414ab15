"""Streams that a connected program takes from the hub: each has a connection to itself.

The hub lets the generator go on as far as this program reads; to close the connection is to cancel it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _codec, _context
from ._asks import ITEM, RETURNED, Items, request
from ._connection import Connection
from ._remote import decode_error, raise_as_it_is
from ._streams import Stream

if TYPE_CHECKING:
    from ._connect import Session
    from ._service import Service


class HubStream(Stream[Any]):
    def __init__(self, session: Session, service: Service[..., Any], args: Any, kwargs: Any) -> None:
        self._session, self._options = session, service.call_options
        self.__name__ = service.name
        self._arguments = (args, kwargs)
        self._items = Items()
        self._connection: Connection | None = None
        self._over = False

    def __next__(self) -> Any:
        _context.refuse_on_loop(self.__name__, "async for item in {short}(…)")
        if self._over:
            raise StopIteration
        if not self._items.parts:
            try:
                if self._connection is None:
                    data = self._request()
                    self._connection = self._session.send(self.__name__, data)
                self._connection.receive_some(self.__name__, self._items)
            except BaseException:
                self.close()
                raise
        is_item, value = self._take()
        if not is_item:
            raise StopIteration(value)
        return value

    async def __anext__(self) -> Any:
        if self._over:
            raise StopAsyncIteration
        if not self._items.parts:
            loop = _context.running_loop()
            try:
                if self._connection is None:
                    data = self._request()
                    self._connection = self._session.take()
                    await self._connection.send_on(loop, self.__name__, data)
                await self._connection.receive_some_on(loop, self.__name__, self._items)
            except BaseException:
                self.close()
                raise
        is_item, value = self._take()
        if not is_item:
            raise StopAsyncIteration
        return value

    def _request(self) -> bytes:
        self._session.check_open(self.__name__)
        (args, kwargs), self._arguments = self._arguments, ((), {})
        return request(self.__name__, args, kwargs, self._session.timeout, self._options, stream=True)

    def _take(self) -> tuple[bool, Any]:
        """Whether it is an item, and the item; what the generator raised is raised."""
        if not self._items.is_stream:
            self.close()
            return False, self._items.value(self.__name__)
        kind, payload = self._items.parts.popleft()
        if kind == ITEM:
            return True, _codec.decode(payload)
        self.close()
        return False, _codec.decode(payload) if kind == RETURNED else raise_as_it_is(decode_error(payload))

    def close(self) -> None:
        self._over = True
        self._items.parts.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        if self.__dict__.get("_connection") is not None:
            self.close()
