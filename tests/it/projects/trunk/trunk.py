from branch import branch
from msx import microservice
from waves import waves


@microservice
def trunk(x: int):
    """3 x + 7"""
    return branch(x) + branch(x) + waves.start(x).result()
