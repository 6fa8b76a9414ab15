"""A link of the chain a, b, c."""

from chain_c import chain_c
from msx import microservice


@microservice
def chain_b(x):
    return chain_c(x) + 1
