"""A second service with the short name of another."""

from msx import microservice


@microservice
def pack(item: int) -> str:
    return "depot"
