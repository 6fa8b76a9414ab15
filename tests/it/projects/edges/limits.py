"""Calls that take too long, go too deep, or carry too much."""

import asyncio
import time

import msx
from cases import Cases
from described import described
from gates import gate
from marks import mark
from msx import microservice
from plain import aecho, echo

HOWS = Cases()
CARRIES = Cases()


@HOWS
def sleeps(name):
    time.sleep(60)


@HOWS
def naps(name):
    while True:
        time.sleep(0.01)


@HOWS
def swallows(name):
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            mark(f"{name}.swallowed")


@HOWS
def computes(name):
    while True:
        pass


@HOWS
def catches(name):
    try:
        naps(name)
    except msx.Cancelled as error:
        mark(f"{name}.cancelled")
        return f"too late: {error}"


@HOWS
def counts(name):
    return name


@microservice(run_timeout="1s")
def spins(how: str, name: str) -> object:
    return HOWS[how](name)


async def awaits(name):
    await asyncio.sleep(60)


async def aswallows(name):
    while True:
        try:
            while True:
                await asyncio.sleep(0.01)
        except BaseException:
            mark(f"{name}.swallowed")


@microservice(run_timeout="1s")
async def aspins(how: str, name: str) -> object:
    if how in ("awaits", "aswallows"):
        return await {"awaits": awaits, "aswallows": aswallows}[how](name)
    return HOWS[how](name)


@microservice(run_timeout="1s")
def patient(name: str) -> str:
    return gate(name)


@microservice(run_timeout="1s")
async def apatient(name: str) -> str:
    return await gate.aio(name)


@microservice
def watches(how: str, name: str, of: str = "spins") -> dict:
    try:
        return {"value": {"spins": spins, "aspins": aspins}[of].start(how, name).result()}
    except TimeoutError as error:
        return described(error)


@microservice
def down(n: int) -> int:
    return up(n + 1)


@microservice
def up(n: int) -> int:
    return down(n + 1)


@microservice
async def adown(n: int) -> int:
    return await aup(n + 1)


@microservice
async def aup(n: int) -> int:
    return await adown(n + 1)


@microservice
def reaches(depth: int) -> int:
    """As deep as allowed, and back."""
    return 0 if depth == 0 else reaches(depth - 1) + 1


MEBIBYTE = 1024 * 1024


@microservice
def makes(mebibytes: int) -> bytes:
    return b"x" * (mebibytes * MEBIBYTE)


@microservice
async def amakes(mebibytes: int) -> bytes:
    return b"x" * (mebibytes * MEBIBYTE)


@microservice
def carries(how: str, mebibytes: int = 0) -> object:
    try:
        return CARRIES[how](mebibytes)
    except Exception as error:
        return described(error)


@CARRIES
def argument(mebibytes):
    return len(echo(b"x" * (mebibytes * MEBIBYTE)))


@CARRIES
def result(mebibytes):
    return len(makes(mebibytes))


@CARRIES
def async_result(mebibytes):
    return len(amakes.start(mebibytes).result())


@CARRIES
def several(mebibytes):
    """Together they are more than one message can hold."""
    return sum(len(part) for part in msx.gather(*[makes.start(mebibytes) for _ in range(6)]))


@CARRIES
def one_after_another(mebibytes):
    return sum(len(makes(mebibytes)) for _ in range(6))


@CARRIES
def memos(mebibytes):
    got = [msx.run(makes.local, mebibytes) for _ in range(6)]
    echo(1)
    return sum(map(len, got))


@CARRIES
def too_many(mebibytes):
    return sum(len(makes(mebibytes)) for _ in range(20))


@microservice
async def acarries(how: str, mebibytes: int) -> object:
    data = b"x" * (mebibytes * MEBIBYTE)
    if how == "arguments":
        return sum(len(part) for part in await msx.gather(*[aecho(data) for _ in range(6)]))
    return sum(len(part) for part in await msx.gather(*[amakes(mebibytes) for _ in range(6)]))
