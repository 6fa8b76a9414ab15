"""Services that use the options of calls."""

import time

import msx
from msx import _context, microservice


@microservice
def callee() -> int:
    return 1


@microservice
def calls() -> int:
    return callee.options(timeout=1.5)()


@microservice
async def acalls() -> int:
    return await callee.options(timeout=1.5).aio()


@microservice
def remaining() -> float | None:
    deadline = _context.runtime.current().deadline
    return None if deadline is None else deadline - time.monotonic()


@microservice
def remaining_by_context() -> float | None:
    deadline = msx.context().deadline
    return None if deadline is None else deadline - time.time()


@microservice
def retried() -> int:
    return callee.options(retries=2, retry_on=(KeyError, OSError))()


@microservice
def keyed() -> int:
    return callee.options(idempotency_key="order-7", key="seven")()
