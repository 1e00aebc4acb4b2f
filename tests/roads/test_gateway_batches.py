"""Two roads to every batch: what a gateway's engine chooses from its queue, and what the replay of the same arrivals makes of it."""

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.records import FloatArray, RequestEngine, ScalingPolicy
from tightrope.policy.batching import ROOM, rate_after
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.serve.local.batch_choice import BatchRules, choose
from tightrope.serve.local.batch_curve import Curve
from tightrope.serve.local.wait_queue import WaitQueue, WorkItem

FIXED = ScalingPolicy(False, 1.0, 1.0, 0.1, 15.0, 0.0, 0.0, 0.0)
URGENT, PATIENT, WAITS = range(3)


@dataclass(frozen=True)
class Case:
    """One engine and who comes to it: arrays [requests]; ``kind`` is urgent, of lower priority, or can wait."""

    engine: RequestEngine
    max_wait_s: float
    within_s: tuple[float, float]
    limit: int
    arrived_s: FloatArray
    kind: np.ndarray
    length: np.ndarray
    deadline_s: FloatArray


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw an engine, and arrivals from a trickle to far more than it can answer, none at the same moment."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most, count = draw(st.sampled_from([1, 2, 5, 16, 80])), draw(st.sampled_from([5, 60, 300]))
    lengths = np.unique(random.integers(1, 200, draw(st.integers(1, 5))))
    grid = random.uniform(0.0, 1.0) + 0.01 * np.outer(np.arange(1, most + 1) ** random.uniform(0.6, 1.0), lengths)
    arrived_s = np.cumsum(random.exponential(draw(st.sampled_from([0.05, 0.5, 2.0])), count))
    few = draw(st.booleans())  # of few lengths, some batches are of one
    return Case(
        engine=RequestEngine(tuple(grid[:, -1].tolist()), 0.0, tuple(lengths.tolist()), tuple(map(tuple, grid.tolist()))),
        max_wait_s=draw(st.sampled_from([0.0, 0.5, 5.0])),
        within_s=(draw(st.sampled_from([2.0, 20.0, math.inf])), draw(st.sampled_from([5.0, math.inf]))),
        limit=draw(st.sampled_from([1, 4, 80])),
        arrived_s=arrived_s,
        kind=random.choice(3, count, p=draw(st.sampled_from([(1.0, 0.0, 0.0), (0.5, 0.3, 0.2), (0.2, 0.0, 0.8)]))),
        length=random.choice([10, 40], count) if few else random.integers(1, 250, count),
        deadline_s=arrived_s + draw(st.sampled_from([3.0, 1000.0])),
    )


def as_replayed(case: Case) -> FloatArray:
    """Return when each request began by the replay."""
    pool = FleetPool(
        name="pool",
        group="model",
        engine=case.engine,
        engines_per_machine=1,
        requests_per_s=1.0,
        start_s=0.0,
        zones=1,
        interruptions_per_hour=0.0,
        schedule=np.ones(168, dtype=np.int64),
        ceiling=1,
        deferrable_limit=case.limit,
        max_wait_s=case.max_wait_s,
    )
    classes = (
        FleetClass("urgent", priority=1, answer_within_s=case.within_s[0]),
        FleetClass("patient", answer_within_s=case.within_s[1]),
        FleetClass("waits", deferrable=True),
    )
    fleet = Fleet((pool,), classes, ("model",), np.ones((3, 1, 168)), np.ones((3, 1), dtype=bool), FIXED)
    traffic = Traffic(case.arrived_s, case.kind, case.length, np.ones_like(case.length), deadline_s=case.deadline_s)
    return replay_fleet(fleet, traffic, duration_s=float(case.arrived_s[-1]), block_offset_s=0.0, seed=0).begin_s


class Gateway:
    """The queue of a pool, and one engine that asks it."""

    def __init__(self, case: Case) -> None:
        """Begin with nobody there."""
        curve = Curve(case.engine.max_batch, case.engine.lengths)
        curve.service_s = [list(row) for row in case.engine.service_by_length_s]
        self.rules = BatchRules(curve, case.engine.max_batch, case.max_wait_s, case.limit, ROOM * min(case.within_s))
        self.case, self.waiting, self.begin_s = case, WaitQueue(2), np.full(len(case.kind), math.inf)
        self.free_s, self.again_s, self.rate_per_s, self.counted_s = 0.0, math.inf, 0.0, 0.0

    def come(self, number: int) -> None:
        """Let a request join the queue."""
        case, now_s, kind = self.case, float(self.case.arrived_s[number]), int(self.case.kind[number])
        item = WorkItem(None, number, None, int(case.length[number]), 0, 0)  # type: ignore[arg-type] - nobody waits for it
        item.entered_s, item.level = now_s, 0 if kind == WAITS else kind
        item.due_s = float(case.deadline_s[number]) if kind == WAITS else now_s + case.within_s[kind]
        self.waiting.push([item], item.due_s if kind == WAITS else None)
        if kind != WAITS:
            self.rate_per_s, self.counted_s = rate_after(self.rate_per_s, now_s - self.counted_s, 1), now_s

    def look(self, now_s: float) -> None:
        """Begin a batch, if the engine is free and one is due."""
        if now_s < self.free_s:
            return
        found = choose(self.waiting, self.rules, now_s, 1, self.rate_per_s)
        self.again_s = found if isinstance(found, float) else math.inf
        if isinstance(found, list):
            self.begin_s[[item.index for item in found]] = now_s
            self.free_s = now_s + self.rules.curve.seconds(len(found), max(item.length for item in found))
            self.again_s = self.free_s

    def run(self) -> FloatArray:
        """Return when each request began."""
        for number, arrived_s in enumerate(self.case.arrived_s.tolist()):
            while self.again_s <= arrived_s:
                self.look(self.again_s)
            self.come(number)
            self.look(arrived_s)
        while self.again_s < math.inf:
            self.look(self.again_s)
        return self.begin_s


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_the_replay_batches_as_the_gateway_does(case: Case) -> None:
    served, replayed = Gateway(case).run(), as_replayed(case)
    assert np.isfinite(served).all()
    np.testing.assert_allclose(replayed, served, rtol=1e-9, atol=1e-9)
