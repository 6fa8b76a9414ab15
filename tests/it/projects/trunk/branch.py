import msx
from leaf import leaf
from msx import microservice


@microservice
def branch(x: int):
    """x + 3"""
    return leaf(x) + sum(msx.gather(leaf.start(1), leaf.start(2)))
