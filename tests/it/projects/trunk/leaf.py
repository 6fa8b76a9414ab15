import time

from msx import microservice


@microservice
def leaf(x: int):
    time.sleep(0.002)
    return x
