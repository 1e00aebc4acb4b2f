"""A server of files and batches on loopback, which asks a fake engine."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from queue_bench import EMBED, WAIT_S, Told

from tightrope.base.plan import ServedClass
from tightrope.base.records import Deferral
from tightrope.serve.app import App, authenticator
from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs.service import Jobs
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Unauthenticated

CLASSES = {
    "chat": ServedClass("chat", (), 0.0),
    "night": ServedClass("night", (), 0.0, Deferral(22.0, 6.0)),
    "bulk": ServedClass("bulk", (), 0.0, Deferral(0.0, 12.0)),
}
CALLERS = {
    "sk-acme": Caller("acme", "acme-1"),
    "sk-other": Caller("other", "other-1"),
    "sk-night": Caller("acme", "acme-2", classes=("chat", "bulk")),
    "sk-infer": Caller("acme", "acme-3", scopes=frozenset({"infer"})),
}
Answer = Callable[[str], Awaitable[tuple[int, object]]]
"""The text asked → status and JSON."""


async def vector(text: str) -> tuple[int, object]:
    """Answer as an engine does."""
    data = [{"object": "embedding", "index": 0, "embedding": [float(len(text))]}]
    return 200, {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": len(text), "total_tokens": len(text)}}


@dataclass
class Engine:
    """Answers a line of a batch, and remembers what it was asked."""

    answer: Answer = vector
    asked: list[tuple[str, str, str, float]] = field(default_factory=list)
    """Tenant, class, text, deadline."""

    async def run(self, endpoint: str, body: bytes, caller: Caller, traffic_class: str, deadline_s: float) -> tuple[int, bytes]:
        """Answer one line."""
        assert endpoint == EMBED
        text = json.loads(body)["input"]
        self.asked.append((caller.tenant, traffic_class, text, deadline_s))
        status, said = await self.answer(text)
        return status, json.dumps(said, indent=1).encode()


class Gateway:
    """Knows keys, and nothing else that is asked of it here."""

    def caller(self, authorization: str | None) -> Caller:
        """Return the caller of a known key."""
        caller = CALLERS.get((authorization or "").removeprefix("Bearer "))
        if caller is None:
            message = f"no such key: {len(authorization or '')} letters"
            raise Unauthenticated(message)
        return caller


@dataclass
class Served:
    """What is at a URL."""

    url: str
    engine: Engine
    told: Told
    jobs: Jobs
    loop: asyncio.AbstractEventLoop


@contextmanager
def serving(queue: str, engine: Engine, limits: Limits | None = None, **more: object) -> Iterator[Served]:
    """Serve in a thread; leave as a gateway does."""
    limits, told, up, leave = limits or Limits(), Told(), threading.Event(), asyncio.Event()
    gateway, found = Gateway(), []

    async def serve(listening: socket.socket) -> None:
        jobs = Jobs(queue, engine.run, CLASSES, limits, told, **more)
        app = App(gateway, limits, jobs.routes(authenticator(gateway)))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", access_log=False))
        await jobs.start()
        serving = asyncio.create_task(server.serve([listening]))
        found.append(Served(f"http://127.0.0.1:{listening.getsockname()[1]}", engine, told, jobs, asyncio.get_running_loop()))
        up.set()
        await leave.wait()
        server.should_exit = True
        await serving
        await jobs.stop(1.0)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(serve(listening)))
        thread.start()
        try:
            while not up.wait(0.1):
                assert thread.is_alive()
            yield found[0]
        finally:
            if found:
                found[0].loop.call_soon_threadsafe(leave.set)
            thread.join(WAIT_S)
            assert not thread.is_alive()
