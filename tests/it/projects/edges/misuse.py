"""Stubs where there is no call that could wait for them."""

import asyncio
import os
import threading

import msx
from cases import Cases
from msx import microservice
from plain import aecho, echo

HOWS = Cases()
AHOWS = Cases()

try:
    echo(1)
except msx.NoCallContext as error:
    AT_IMPORT = str(error)
else:
    AT_IMPORT = "no error"

IN_HOOK = []


@msx.on_start
def calls_in_hook():
    try:
        echo(1)
    except msx.NoCallContext as error:
        IN_HOOK.append(str(error))


@microservice
def misuses(how: str) -> str:
    try:
        return f"no error: {HOWS[how]()}"
    except msx.UsageError as error:
        return f"{type(error).__name__}: {error}"


@HOWS
def at_import():
    return AT_IMPORT


@HOWS
def in_hook():
    return IN_HOOK


@HOWS
def in_thread(work=lambda: echo(1)):
    caught = []

    def run():
        try:
            work()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if caught:
        raise caught[0]


@HOWS
def future_in_thread():
    future = echo.start(1)
    in_thread(future.result)


@HOWS
def in_fork():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            echo(1)
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    return os.read(reader, 10_000).decode()


@HOWS
def on_own_loop():
    async def main():
        return echo(1)

    return asyncio.run(main())


@HOWS
def awaited_on_own_loop():
    async def main():
        return await echo.aio(1)

    return asyncio.run(main())


@HOWS
def gathers_values():
    return msx.gather(echo(1), echo(2))


@microservice
async def amisuses(how: str) -> str:
    try:
        return f"no error: {await AHOWS[how]()}"
    except msx.UsageError as error:
        return f"{type(error).__name__}: {error}"


@AHOWS
async def calls():
    return echo(1)


@AHOWS
async def waits():
    return aecho.start(1).result()


@AHOWS
async def in_executor():
    return await asyncio.to_thread(echo, 1)


KEPT = []


@AHOWS
async def keeps_a_future():
    KEPT.append(echo.start(1))
    return "kept"


@AHOWS
async def uses_a_kept_future():
    return await KEPT[0]
