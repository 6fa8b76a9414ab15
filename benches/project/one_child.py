"""Calls that make one child call: suspend, park, resume."""

from msx import microservice
from noop import anoop, noop


@microservice
def one_child(x):
    return noop(x)


@microservice
async def aone_child(x):
    return await anoop(x)
