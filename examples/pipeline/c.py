from msx import microservice
from pace import work


@microservice
def c(x: int) -> int:
    """Returns `x` after 3 seconds of work."""
    work(3)
    return x
