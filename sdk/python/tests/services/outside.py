"""A service that does what a program outside should do."""

import msx
from msx import microservice


@microservice
def connects():
    try:
        msx.connect()
    except msx.UsageError as error:
        return str(error)
