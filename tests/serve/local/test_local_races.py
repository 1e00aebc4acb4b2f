"""Pools that share engine threads, with clients that hang up, give up and come while models sleep: each call ends once, costs add up."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_models import Noted, call, served

import tightrope.serve.local.pool as pool_module
from tightrope.serve.config.settings import LocalModel, ServedPool
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.batch_curve import Curve
from tightrope.serve.local.engines import Engines
from tightrope.serve.local.model_loading import LoadedModel, LoadMeasurement
from tightrope.serve.local.models import NoModel, NoSession
from tightrope.serve.local.pool import LocalPool
from tightrope.serve.records import Call, Caller, Reply
from tightrope.serve.refusals import Failed, Unavailable

CORES, THREADS = 5, {"narrow": 1, "wide": 2}
CLASSES = {one.name: one for one in (served("first", 1, 0.5), served("then", 0, 2.0))}
CALLS = 300


class Hasty(NoModel):
    """Answers each text with itself after a moment; fails on some."""

    def __init__(self) -> None:
        """Take texts to embed."""
        super().__init__("embed")

    def heavy(self, call: Call) -> bool:
        """Return whether the items are made in a thread."""
        return len(call.inputs) == 5

    def items(self, ticket: Any) -> Any:
        """Return items that know their text."""
        items = super().items(ticket)
        for item, text in zip(items, ticket.call.inputs, strict=True):
            item.payload, item.length, item.tokens = text, len(text), 1
        return items

    def run(self, session: Any, items: Any) -> list[Any]:  # noqa: ARG002 - as a model has it
        """Take a moment."""
        time.sleep(random.choice((0.0, 0.0, 2e-4, 1e-3)))  # noqa: S311 - a test
        if any(item.payload.startswith("bad") for item in items):
            raise ValueError
        return [np.array([float(item.payload.rpartition(" ")[2])], np.float32) for item in items]


class Bench:
    """Two pools on one machine, and what became of each call."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the pools up; nothing is loaded yet."""
        self.random = random.Random(seed)  # noqa: S311 - a test
        self.meter = MachineMeter(3600.0, CORES)
        self.engines = Engines(CORES, self.meter)
        self.late: list[Reply] = []
        self.calls: list[Call] = []
        self.ended: Counter[str] = Counter()
        self.charged_nusd = 0
        monkeypatch.setattr(pool_module, "load", _load)
        self.pools = [self._pool(name) for name in THREADS]

    def _pool(self, name: str) -> LocalPool:
        """Return a pool; one of them unloads its model whenever nobody asks for a moment."""
        local = LocalModel(Path("model.onnx"), keep_loaded=name == "narrow", idle_s=0.01)
        stated = ServedPool(name, "model", "variant", local=local, max_batch=4, max_wait_s=1e-3, deferrable_limit=3)
        pool = LocalPool(stated, "embed", CLASSES, self.engines, Noted())
        pool.late = lambda _, reply: self.late.append(reply)
        return pool

    async def start(self) -> None:
        """Start the pools."""
        for pool in self.pools:
            await pool.start()

    async def stop(self, within_s: float) -> None:
        """Stop the pools at once."""
        await asyncio.gather(*(pool.stop(within_s) for pool in self.pools))

    async def ask(self, number: int) -> None:
        """Make a call that ends as chance has it; note that it did."""
        draw = self.random
        texts = tuple(f"{'bad' if draw.random() < 0.02 else 'good'} {number}" for _ in range(draw.choice((1, 1, 2, 5, 9))))
        asked = call(texts, traffic_class=draw.choice(("first", "then")), caller=Caller(f"tenant-{draw.randrange(3)}"))
        if draw.random() < 0.3:
            asked.deadline_s = time.monotonic() + draw.random()
        self.calls.append(asked)
        task = asyncio.ensure_future(draw.choice(self.pools).answer(asked))
        fate, after_s = draw.random(), draw.random() * 0.01
        if fate < 0.5:
            asyncio.get_running_loop().call_later(after_s, self._give_up, asked, task, fate)
        await self._note(asked, texts, task)

    def _give_up(self, asked: Call, task: "asyncio.Future[Reply]", fate: float) -> None:
        """Hang up, as it is told at once or only by the end of the call; or give up for the time that it takes."""
        asked.gone = fate < 0.3
        if fate > 0.1:
            task.cancel()

    async def _note(self, asked: Call, texts: tuple[str, ...], task: "asyncio.Future[Reply]") -> None:
        """Note how a call ended, and what it was charged."""
        try:
            reply = await task
        except (Unavailable, Failed, asyncio.CancelledError) as error:
            wrong = isinstance(error, Failed) and not any(text.startswith("bad") for text in texts)
            self.ended["wrong" if wrong else type(error).__name__] += 1
            self.charged_nusd += sum(lost.compute_nusd or 0 for lost in asked.lost)
        else:
            assert [part.tolist() for part in reply.outputs] == [[float(text.rpartition(" ")[2])] for text in texts]
            assert not asked.lost
            self.ended["answered"] += 1
            self.charged_nusd += reply.compute_nusd or 0

    def check(self) -> None:
        """Assert that nothing is left, and that what was paid for was charged once."""
        assert self.ended.total() == len(self.calls)
        assert not self.ended["wrong"]
        for pool in self.pools:
            load = pool.load()
            assert (load.in_flight, pool._running, len(pool._waiting), set(load.waiting.values())) == (0, 0, 0, {0})
            assert not pool._waiting._places
        assert self.engines.free_slots(1) == CORES == sum(self.engines._free)
        assert self.charged_nusd + sum(reply.compute_nusd or 0 for reply in self.late) == self.meter.read(1e9).ended_nusd


def _load(pool: ServedPool, *_: Any) -> LoadedModel:
    """Return the model, after a moment."""
    time.sleep(1e-3)
    curve = Curve(pool.max_batch, (4, 8), (2e-4, 3e-4, 4e-4, 5e-4))
    threads = THREADS[pool.name]
    return LoadedModel(Hasty(), (NoSession(),) * (CORES // threads), LoadMeasurement(threads, curve))


def on(bench: Bench, use: Callable[[Bench], Any]) -> None:
    """Run a test within a time in which nothing can hang."""

    async def whole() -> None:
        await bench.start()
        await asyncio.wait_for(use(bench), 60)

    asyncio.run(whole())
    bench.check()


async def asks(bench: Bench) -> None:
    """Make all calls, in bursts with pauses in which a model may be unloaded."""
    async with asyncio.TaskGroup() as group:
        for number in range(CALLS):
            group.create_task(bench.ask(number))
            if bench.random.random() < 0.2:
                await asyncio.sleep(bench.random.choice((0.0, 1e-3, 5e-3, 0.03)))


@pytest.mark.parametrize("seed", [1, 2], ids=["seed-1", "seed-2"])
def test_each_call_ends_once_and_its_cost_is_charged_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(seed, monkeypatch)

    async def use(bench: Bench) -> None:
        await asks(bench)
        await bench.stop(10.0)

    on(bench, use)
    assert {"answered", "CancelledError", "Failed", "Unavailable"} <= set(bench.ended)
    assert bench.late, "some were given up while they ran"


def test_pools_that_stop_while_they_are_busy_refuse_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(3, monkeypatch)

    async def use(bench: Bench) -> None:
        asking = asyncio.ensure_future(asks(bench))
        await asyncio.sleep(0.1)
        await bench.stop(1e-3)
        await asking

    on(bench, use)
    assert {"answered", "Unavailable"} <= set(bench.ended)
