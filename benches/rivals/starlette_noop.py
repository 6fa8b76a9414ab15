"""The no-op as a Starlette service."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


def noop(x=None):
    return x


async def call(request):
    return JSONResponse(noop(**await request.json()))


app = Starlette(routes=[Route("/noop", call, methods=["POST"])])
