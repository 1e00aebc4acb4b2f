"""An engine that answers when it is let, and notes what it was asked."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tightrope.serve.answers.cache import GatewayCache
from tightrope.serve.config.settings import CacheSettings
from tightrope.serve.records import Call, Caller, RawAnswer, Reply, Task, Tensors


def vector_of(text: str) -> Any:
    """Return what the model says of a text."""
    return np.array([len(text), sum(text.encode()) % 251, text.count("a")], dtype=np.float32)


def tokens_of(text: str) -> int:
    """Return the tokens that the model counts."""
    return len(text.split()) + 2


@dataclass
class Desk:
    """A cache on a clock of its own, before an engine."""

    settings: CacheSettings = field(default_factory=CacheSettings)
    now_s: float = 1000.0
    asked: list[Call] = field(default_factory=list)
    counted: Counter[bool] = field(default_factory=Counter)
    known_tokens: bool = True
    nusd: int | None = 700
    cache_: GatewayCache | None = None
    gate: asyncio.Event | None = None
    """Where given, answers wait for it."""
    failures: list[Exception] = field(default_factory=list)
    """Raised instead of the next answers."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Of every reply."""

    def cache(self, cls: str, hit: bool) -> None:
        """Count, as the metrics do."""
        assert cls == "chat"
        self.counted[hit] += 1

    @property
    def answers(self) -> GatewayCache:
        """The cache."""
        if self.cache_ is None:
            self.cache_ = GatewayCache(self.settings, self, lambda: self.now_s)
        return self.cache_

    def call(
        self,
        *texts: str,
        tenant: str = "a",
        task: Task = "embed",
        inputs: Tensors | None = None,
        body: bytes = b"",
        **others: Any,
    ) -> Call:
        """Return a call."""
        stated = {"traffic_class": "chat", **others}
        return Call("1", Caller(tenant), task, "m", texts if inputs is None else inputs, self.now_s, body=body, **stated)

    async def make(self, call: Call) -> Reply:
        """Answer as a model would."""
        self.asked.append(call)
        if self.gate is not None:
            await self.gate.wait()
            await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        if call.task == "chat":
            raw = RawAnswer(200, "application/json", call.body[::-1])
            if call.stream:
                raw = RawAnswer(200, "text/event-stream", stream=events(b"data: x\n\n", b"data: [DONE]\n\n"))
            return Reply(
                "pool", "v", raw=raw, input_tokens=9, output_tokens=3, compute_nusd=self.nusd, egress_nusd=50, **self.fields
            )
        texts = [str(text) for text in call.inputs] if isinstance(call.inputs, tuple) else []
        rows = np.array([vector_of(text) for text in texts])  # one array for all, as engines have
        outputs = tuple(rows[place] for place in range(len(texts))) if texts else {"y": np.arange(3.0)}
        tokens = tuple(tokens_of(text) for text in texts)
        known = tokens if self.known_tokens else ()
        stated = {"compute_nusd": self.nusd, "egress_nusd": 50 * len(texts), "item_tokens": known, **self.fields}
        return Reply("pool", "v", outputs=outputs, input_tokens=sum(tokens), **stated)

    async def ask(self, call: Call) -> Reply:
        """Return the cache's answer."""
        return await self.answers.answer(call, self.make)

    def texts_asked(self) -> list[tuple[str, ...]]:
        """Return the texts of each call that came to the engine."""
        return [tuple(map(str, call.inputs)) for call in self.asked]


async def events(*parts: bytes) -> AsyncIterator[bytes]:
    """Give parts one by one."""
    for part in parts:
        await asyncio.sleep(0)
        yield part


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's body, not for ever."""

    async def limited() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(limited())
