"""One connection of a program to the hub's control socket, blocking or on an event loop.

To close it while a call is under way is to cancel the call.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from ._asks import Answer, Items
from ._errors import ServiceUnavailable
from ._hub import Hub

if TYPE_CHECKING:
    import asyncio  # not imported by programs that have no use for it

READ_BYTES = 64 * 1024


class Connection:
    """One HTTP connection, for one call at a time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.sock: socket.socket = hub.open()

    def is_alive(self) -> bool:
        """An idle one has nothing to read, but its end."""
        self.sock.setblocking(False)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def send(self, service: str, data: bytes) -> None:
        try:
            self.sock.settimeout(None)
            self.sock.sendall(data)
        except OSError as error:
            self._lost(service, error)

    def receive(self, service: str, timeout: float | None) -> Answer:
        answer = Answer()
        try:
            self.sock.settimeout(timeout)
            while not answer.feed(self._some(self.sock.recv(READ_BYTES))):
                pass
        except OSError as error:
            self._lost(service, error)
        return answer

    def receive_some(self, service: str, items: Items) -> None:
        """Reads until there is an item, however long that is."""
        try:
            self.sock.settimeout(None)
            while not items.feed(self._some(self.sock.recv(READ_BYTES))):
                pass
        except OSError as error:
            self._lost(service, error)

    async def receive_some_on(self, loop: asyncio.AbstractEventLoop, service: str, items: Items) -> None:
        try:
            self.sock.setblocking(False)
            while not items.feed(self._some(await loop.sock_recv(self.sock, READ_BYTES))):
                pass
        except OSError as error:
            self._lost(service, error)

    async def send_on(self, loop: asyncio.AbstractEventLoop, service: str, data: bytes) -> None:
        try:
            self.sock.setblocking(False)
            await loop.sock_sendall(self.sock, data)
        except OSError as error:
            self._lost(service, error)

    async def receive_on(
        self, loop: asyncio.AbstractEventLoop, service: str, timeout: float | None
    ) -> Answer:
        import asyncio

        answer = Answer()
        try:
            self.sock.setblocking(False)
            while not answer.feed(
                self._some(await asyncio.wait_for(loop.sock_recv(self.sock, READ_BYTES), timeout))
            ):
                pass
        except asyncio.TimeoutError:
            self._lost(service, TimeoutError())
        except OSError as error:
            self._lost(service, error)
        return answer

    def _some(self, data: bytes) -> bytes:
        if not data:
            raise ConnectionResetError
        return data

    def _lost(self, service: str, error: Exception) -> NoReturn:
        if isinstance(error, TimeoutError):
            what = f"{self._hub} does not answer the call of {service}, also long after its timeout"
        else:
            what = f"{self._hub} ended before it had answered the call of {service}"
        raise ServiceUnavailable(
            f"{what}; how far the call got is unknown; `msx ps` shows whether the hub runs, "
            "`.msx/logs/hub.log` may say why it ended"
        ) from None

    def close(self) -> None:
        self.sock.close()

    def shut(self) -> None:
        """Ends it under a thread that may be waiting for it."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
