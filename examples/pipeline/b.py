from msx import microservice
from pace import work


@microservice
def b(x: int) -> int:
    """Returns `x` after 2 seconds of work."""
    work(2)
    return x
