"""A link of the chain a, b, c."""

from chain_b import chain_b
from msx import microservice


@microservice
def chain_a(x):
    return chain_b(x) + 1
