"""Services that programs outside call."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import msx
from msx import microservice

HERE = Path(__file__).parent


class OutOfStock(LookupError):
    def __init__(self, item, left):
        super().__init__(f"there is no {item}")
        self.left = left


@dataclass
class Order:
    item: str
    size: tuple[int, int]


@microservice
def pid():
    return os.getpid()


@microservice
def price(item: str):
    if item == "plum":
        raise OutOfStock(item, 0)
    return {"apple": 3, "pear": 4}[item]


@microservice
def total(*items: str):
    """Two waits, by stubs that are imported by name."""
    from msx.services import price, same

    first = price(items[0])
    return first + sum(msx.gather(*[price.start(item) for item in same(items[1:])]))


@microservice
async def same(value):
    return value


@microservice
def mistyped():
    from msx.services import prise

    return prise("apple")


@microservice
def waits(name: str):
    """Until the file is there; tells when it begins, and when it is cancelled."""
    (HERE / f"{name}.begun").touch()
    try:
        while not (HERE / name).exists():
            time.sleep(0.01)
    except BaseException:
        (HERE / f"{name}.cancelled").touch()
        raise
    return name


@microservice
def flaky(name: str, failures: int):
    """Fails so often; then the number of the attempt."""
    log = HERE / f"{name}.attempts"
    with log.open("a") as file:
        file.write("x")
    attempt = log.stat().st_size
    if attempt <= failures:
        raise ConnectionError(f"attempt {attempt}")
    return attempt


inside = {}


@microservice(threads=4, concurrency_key=1)
def alone(account: str):
    """The most calls of this account that were here at once."""
    inside[account] = inside.get(account, 0) + 1
    time.sleep(0.02)
    most = inside[account]
    inside[account] -= 1
    return most


@microservice(threads=4, concurrency_key=1)
def alone_in_turn(name: str):
    """The same for a generator."""
    yield (HERE / f"{name}.alone").exists()
    (HERE / f"{name}.alone").touch()
    time.sleep(0.02)
    (HERE / f"{name}.alone").unlink()
