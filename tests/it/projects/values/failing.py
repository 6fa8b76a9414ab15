"""A failure that passes three services, with a cause and a note; and groups of failures."""

from msx import microservice


class Refused(ValueError):
    def __init__(self, code, *, why):
        super().__init__(f"refused {code}")
        self.code, self.why = code, why


@microservice
def deep(code: int) -> None:
    raise Refused(code, why=("a", 1))


@microservice
def middle(code: int) -> None:
    try:
        deep(code)
    except Refused as error:
        error.add_note("asked by middle")
        raise


@microservice
def wraps(code: int) -> None:
    try:
        middle(code)
    except Refused as error:
        failure = LookupError("no price")
        failure.add_note("see the price list")
        raise failure from error


@microservice
def top(code: int) -> None:
    wraps(code)


@microservice
def sees(code: int) -> list:
    try:
        top(code)
    except LookupError as error:
        cause = error.__cause__
        return [error.service, list(error.via), cause.service, cause.code, list(cause.why), cause.__notes__[0]]
    return []


@microservice
def grouped() -> None:
    raise ExceptionGroup("several", [Refused(1, why=()), OSError(2, "gone")])


@microservice
def sorts() -> dict:
    """By `except*`."""
    found = {}
    try:
        grouped()
    except* Refused as group:
        found["refused"] = [error.code for error in group.exceptions]
    except* OSError as group:
        found["os"] = [error.errno for error in group.exceptions]
    return found
