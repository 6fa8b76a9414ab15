"""Leaf calls that do nothing: what is measured is msx."""

from msx import microservice


@microservice
def noop(x=None):
    return x
