"""Callers of services that the hub does not know."""

import msx
from described import described
from msx import microservice
from outside import astranger, stranger
from plain import aecho, echo


@microservice
def asks_stranger() -> list:
    try:
        answer = stranger(1)
    except msx.ServiceUnavailable as error:
        answer = described(error)
    return [answer, echo("and on")]


@microservice
async def aasks_stranger() -> list:
    try:
        answer = await msx.gather(aecho("before"), astranger(1))
    except msx.ServiceUnavailable as error:
        answer = described(error)
    return [answer, await aecho("and on")]
