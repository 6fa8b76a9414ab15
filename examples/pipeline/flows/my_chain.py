from a import a
from b import b
from c import c
from msx import microservice


@microservice
def my_chain(x: int) -> int:
    """Hands `x` through three services, one after the other."""
    return c(b(a(x)))
