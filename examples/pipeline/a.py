from msx import microservice
from pace import work


@microservice
def a(x: int) -> int:
    """Returns `x` after 1 second of work."""
    work(1)
    return x
