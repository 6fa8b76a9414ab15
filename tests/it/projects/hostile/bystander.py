import os

from msx import microservice


@microservice
def bystander():
    return os.getpid()
