"""A server in a process of its own: says its port on stdout, and goes when stdin ends."""

import asyncio
import json
import sys
import time
from pathlib import Path

from aiohttp import web


async def healthy(_: web.Request) -> web.Response:
    """Answer a check."""
    return web.Response()


async def answer(request: web.Request) -> web.StreamResponse:
    """Do as the message says: ``busy PATH`` does nothing else until there is such a file, ``stream`` pauses within a stream."""
    what, *path = json.loads(await request.read())["messages"][0]["content"].split()
    if what == "busy":
        while not Path(*path).exists():
            time.sleep(0.005)
    if what != "stream":
        return web.json_response({"choices": [{"message": {"content": "Hello"}}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n')
    await asyncio.sleep(0.1)
    await response.write(b'data: {"choices": [{"delta": {"content": "b"}}]}\n\ndata: [DONE]\n\n')
    return response


async def serve() -> None:
    """Answer until nobody holds the other end of stdin."""
    app = web.Application()
    app.router.add_get("/health", healthy)
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
