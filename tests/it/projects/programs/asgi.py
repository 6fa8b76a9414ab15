"""What an ASGI server has read, as JSON; and a WebSocket that answers each message."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute


async def seen(request):
    raw = request.scope["raw_path"].decode()
    query = request.scope["query_string"].decode()
    return JSONResponse({
        "method": request.method,
        "target": f"{raw}?{query}" if query else raw,
        "body": (await request.body()).decode("latin-1"),
        "host": request.headers.get("host"),
        "x": ",".join(request.headers.getlist("x-mine")) or None,
        "for": request.headers.get("x-forwarded-for"),
    })


async def talk(socket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())


async def count(request):
    async def numbers():
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(numbers(), media_type="text/event-stream")


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
app = Starlette(routes=[
    WebSocketRoute("/talk", talk),
    Route("/count", count),
    Route("/{path:path}", seen, methods=METHODS),
])
