"""The last link of the chain a, b, c."""

from msx import microservice


@microservice
def chain_c(x):
    return x
