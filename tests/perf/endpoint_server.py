"""A server on the loopback with an engine of known coefficients, and a clock that jumps: a run of minutes takes seconds, without noise."""

import asyncio
import json
import selectors
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from aiohttp import web

from tightrope.base.records import TokenEngine

Result = TypeVar("Result")


class Jumping(selectors.SelectSelector):  # `epoll` would round 0.2 ms up to 1 ms
    """Waits for sockets only; if none is ready, jumps to the time of the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return the sockets that are ready; where there are none, let the time of the next timer come."""
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            ready = super().select(2e-4 if timeout is not None else 5.0)
            if not ready and timeout is not None:
                self.now_s += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of its selector."""

    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        """Return the time that has been jumped to."""
        return self.jumping.now_s


def run(job: Coroutine[Any, Any, Result]) -> Result:
    """Return what a coroutine returns, in time that jumps."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(job)


@dataclass(eq=False)
class Request:
    """One request on the engine; ``None`` in its queue is the end."""

    prompt: int
    left: int
    written: int = 0
    read: int = 0
    queue: "asyncio.Queue[int | None]" = field(default_factory=asyncio.Queue)


@dataclass
class Engine:
    """Continuous batching with chunked prompts, a bounded KV cache, preemption: by the rules of the replay, written apart from it."""

    model: TokenEngine
    noise: Callable[[], float] = lambda: 1.0
    waiting: "deque[Request]" = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    reading: Request | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    steps: int = 0
    preempted: int = 0

    def occupied(self) -> int:
        """Return the tokens that memory is taken for."""
        held = sum(request.prompt + request.written - 1 for request in self.running)
        return held + (self.reading.prompt + self.reading.written if self.reading else 0)

    def make_room(self) -> bool:
        """Preempt until each running request has memory for a token more."""
        found = False
        while self.occupied() + len(self.running) > self.model.kv_capacity_tokens:
            if self.reading:
                last, self.reading = self.reading, None
            else:
                last = self.running.pop()
            last.read = 0
            self.waiting.appendleft(last)
            self.preempted += 1
            found = True
        return found

    def fill(self, *, may_start: bool) -> tuple[int, list[Request]]:
        """Return the prompt tokens of the next step and the prompts that end with it."""
        budget, tokens, complete = self.model.chunk_tokens - len(self.running), 0, []
        while budget > 0:
            if self.reading is None:
                if not may_start or not self.waiting or not self.fits(self.waiting[0], complete):
                    break
                self.reading = self.waiting.popleft()
            need = self.reading.prompt + self.reading.written - self.reading.read
            part = min(budget, need)
            self.reading.read += part
            budget, tokens = budget - part, tokens + part
            if part == need:
                complete.append(self.reading)
                self.reading = None
        return tokens, complete

    def fits(self, request: Request, complete: list[Request]) -> bool:
        """Return whether a prompt may begin."""
        held = self.occupied() + len(self.running) + sum(other.prompt + other.written for other in complete)
        seats = len(self.running) + len(complete) < self.model.max_sequences
        return seats and held + request.prompt + request.written <= self.model.kv_capacity_tokens

    def begin(self) -> tuple[float, list[Request]]:
        """Return the time of the next step, 0 where there is nothing to do, and the prompts that end with it."""
        preempted = self.make_room()
        cached = sum(request.prompt + request.written - 1 for request in self.running) + (
            self.reading.read if self.reading else 0
        )
        tokens, complete = self.fill(may_start=not preempted)
        total, model = tokens + len(self.running), self.model
        if not total:
            return 0.0, complete
        dense_s = max(model.weights_s, total * model.per_token_s)
        return (model.overhead_s + dense_s + cached * model.per_cached_token_s) * self.noise(), complete

    def end(self, complete: list[Request]) -> None:
        """Give every running request its token, and those whose prompts are read."""
        for request in [*self.running, *complete]:
            request.written += 1
            request.left -= 1
            request.queue.put_nowait(request.written)
            if not request.left:
                request.queue.put_nowait(None)
        self.running = [request for request in [*self.running, *complete] if request.left]
        self.steps += 1

    async def work(self) -> None:
        """Run step after step, each from the end of the one before."""
        loop = asyncio.get_running_loop()
        while True:
            self.wake.clear()
            at_s = loop.time()
            while True:
                step_s, complete = self.begin()
                if not step_s:
                    break
                at_s += step_s
                await asyncio.sleep(at_s - loop.time())
                self.end(complete)
            await self.wake.wait()

    def submit(self, prompt: int, tokens: int) -> Request:
        """Take a request in."""
        request = Request(prompt, tokens)
        self.waiting.append(request)
        self.wake.set()
        return request


@dataclass
class Server:
    """Speaks OpenAI's interface over an engine; ``metrics`` is what it says of itself."""

    engine: Engine
    fixed: int = 0
    """Tokens that a chat adds to each prompt."""
    metrics: str = ""
    models: tuple[str, ...] = ("model",)
    context_tokens: int | None = None
    front_s: float = 0.0
    asked: int = 0
    key: str = ""
    per_word: int = 1
    """Tokens of a word."""
    info: dict[str, Any] = field(default_factory=dict)
    """What it says by ``/server_info``, as SGLang does."""
    half_letters: bool = False
    """The last token has no text, since it is half a letter: as of vLLM."""
    beside: bool = False
    """The event that says the tokens has an empty choice beside them, as of LiteLLM."""
    done: bool = True
    """Ends a stream with ``[DONE]``, which ``transformers serve`` does not."""

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """Stream one answer."""
        self.asked += 1
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": f"not with {request.headers.get('Authorization')}"}, status=401)
        body = await request.json()
        chat = "messages" in body
        text = body["messages"][0]["content"] if chat else body["prompt"]
        prompt = self.per_word * len(text.split()) + (self.fixed if chat else 0)
        if self.context_tokens and prompt + body["max_tokens"] > self.context_tokens:
            return web.json_response({"error": {"message": "too long"}}, status=400)
        await asyncio.sleep(self.front_s)
        work = self.engine.submit(prompt, body["max_tokens"])
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await answer.prepare(request)
        if chat:
            await answer.write(event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}))
        while (token := await work.queue.get()) is not None:
            said = "" if self.half_letters and not work.left else f" {token}"
            piece = {"delta": {"content": said}} if chat else {"text": said}
            await answer.write(event({"choices": [{"index": 0, **piece, "finish_reason": None if work.left else "length"}]}))
        usage = {"prompt_tokens": prompt, "completion_tokens": work.written}
        await answer.write(
            event({"choices": [{"index": 0, "delta": {}}] if self.beside else [], "usage": usage})
            + (b"data: [DONE]\n\n" if self.done else b"")
        )
        return answer

    async def listed(self, _: web.Request) -> web.Response:
        """List the models."""
        limit = {"max_model_len": self.context_tokens} if self.context_tokens else {}
        return web.json_response({"data": [{"id": name, **limit} for name in self.models]})

    async def measures(self, _: web.Request) -> web.Response:
        """Show metrics, where there are some."""
        return web.Response(text=self.metrics, status=200 if self.metrics else 404)

    async def says(self, _: web.Request) -> web.Response:
        """Say what it was started with, where it says that."""
        return web.json_response(self.info, status=200 if self.info else 404)

    def app(self) -> web.Application:
        """Return the server's paths."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/server_info", self.says)
        app.router.add_post("/v1/completions", self.generate)
        app.router.add_post("/v1/chat/completions", self.generate)
        app.router.add_get("/v1/models", self.listed)
        app.router.add_get("/metrics", self.measures)
        return app


def event(said: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(said).encode() + b"\n\n"


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Lend the address of an application on a free port of the loopback."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """Lend the address of a server whose engine works."""
    work = asyncio.create_task(server.engine.work())
    try:
        async with served(server.app()) as url:
            yield url
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def lognormal(sigma: float, seed: int = 3) -> Callable[[], float]:
    """Return a source of factors around 1."""
    random = np.random.default_rng(seed)
    return lambda: float(np.exp(random.normal(0.0, sigma)))
