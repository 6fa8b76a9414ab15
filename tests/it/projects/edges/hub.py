"""The hub's own functions, called from a service."""

from typing import Any

from described import described
from msx import microservice, orchestrator


@microservice
def asks_hub(function: str, args: list[Any]) -> object:
    try:
        return getattr(orchestrator, function)(*args)
    except Exception as error:
        return described(error)


@microservice
async def aasks_hub() -> list:
    return [await orchestrator.access.aio("echo"), await orchestrator.services.aio()]


@microservice
def stays() -> str:
    return "here"
