from typing import Any

from msx import microservice
from msx.services import quote


@microservice
def order(items: dict[str, int]) -> str:
    """A quote for the items, as a line of text."""
    lines: dict[str, Any] = quote(items)
    return f"{len(items)} items, {lines['net']} + {lines['tax']} tax"


@microservice
def tax(net: int) -> int:
    """The tax on an amount, in whole cents."""
    if net < 0:
        raise ValueError(f"an amount of {net} has no tax")
    return net * 19 // 100
