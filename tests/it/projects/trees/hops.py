"""An exception that starts three services deep."""

from msx import RemoteError, microservice


class OutOfStock(ValueError):
    def __init__(self, item: str, left: int) -> None:
        super().__init__(f"only {left} of {item} left")
        self.item = item
        self.left = left


def described(error: BaseException) -> dict:
    remote = isinstance(error, RemoteError)
    return {
        "type": type(error).__name__,
        "bases": [kind.__name__ for kind in type(error).__mro__],
        "message": str(error),
        "service": error.service if remote else None,
        "via": list(error.via) if remote else None,
        "traceback": error.traceback if remote else None,
        "attributes": {k: v for k, v in vars(error).items() if k in ("item", "left")},
        "cause": described(error.__cause__) if error.__cause__ is not None else None,
    }


@microservice
def shelf(item: str) -> None:
    try:
        {}[item]
    except KeyError as error:
        raise OutOfStock(item, 2) from error


@microservice
async def store(item: str) -> None:
    await shelf.aio(item)


@microservice
def shop(item: str) -> None:
    store.start(item).result()


@microservice
def customer(item: str) -> dict:
    try:
        shop(item)
    except OutOfStock as error:
        return described(error)
    return {}
