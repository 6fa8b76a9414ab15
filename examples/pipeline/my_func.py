from a import a
from b import b
from msx import microservice


@microservice
def my_func(x: int, y: int) -> int:
    """Adds what two other services return. While they work it waits, and holds nothing."""
    return a(x) + b(y)
