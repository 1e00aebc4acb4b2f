"""A pool that answers from memory, and a call to ask it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.serve.ports import kept_port

from tightrope.serve.config.settings import ServedPool
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.records import Call, Caller, Reply


class FakePool:
    """Answers each text by ``scores``; what it was asked is kept."""

    def __init__(self, pool: ServedPool, scores: Callable[[str], list[float]] | None = None, *, nusd: int = 1000) -> None:
        self.pool, self.scores, self.nusd = pool, scores or (lambda _: [0.9, 0.1]), nusd
        self.asked: list[Call] = []
        self.state = PoolLoad(replicas_ready=1, requests_per_s=pool.requests_per_s)
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def start(self) -> None:
        """Be ready."""

    async def stop(self, within_s: float) -> None:
        """Go."""

    def load(self) -> PoolLoad:
        """Return ``state``."""
        return self.state

    async def answer(self, call: Call) -> Reply:
        """Answer once the gate is open, where there is one."""
        self.asked.append(call)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        outputs = tuple(np.array(self.scores(text), dtype=np.float32) for text in call.inputs)
        return Reply(
            self.pool.name, self.pool.variant, outputs=outputs, compute_nusd=self.nusd * len(outputs), input_tokens=len(outputs)
        )


@pytest.fixture
def make_call() -> Callable[..., Call]:
    """Return what makes a call for one model."""

    def made(model: str = "m", *inputs: str, **fields: Any) -> Call:
        stated = {"identity": "r1", "caller": Caller("acme"), "task": "classify", "inputs": inputs or ("text",), "arrived_s": 0.0}
        return Call(model=model, **{**stated, **fields})

    return made


@pytest.fixture
def free_port() -> Iterator[int]:
    """Lend a port for a server that a test starts."""
    with kept_port() as port:
        yield port
