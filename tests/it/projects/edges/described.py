"""An exception as a value that a test can look at."""

from msx import RemoteError


def described(error: BaseException) -> dict:
    remote = isinstance(error, RemoteError)
    return {
        "type": type(error).__name__,
        "bases": [kind.__name__ for kind in type(error).__mro__],
        "message": str(error),
        "service": error.service if remote else None,
        "traceback": error.traceback if remote else None,
    }
