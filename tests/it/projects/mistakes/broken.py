"""A service whose instances end at once; it can be imported where services are looked for."""

import os
import sys

import msx
from msx import microservice


@msx.on_start
def connect() -> None:
    print("connecting to the database", file=sys.stderr)
    print("no database at localhost:5432", file=sys.stderr, flush=True)
    os._exit(3)


@microservice
def crash() -> None:
    pass
