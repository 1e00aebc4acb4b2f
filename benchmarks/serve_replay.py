"""The replay beside what it replays: a pool of one engine answers texts of unlike length, and the replay foretells how soon."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.minilm import minilm
from benchmarks.serve_engine import Sizes, sentences
from tightrope.base.records import FloatArray, IntArray, RequestEngine, ScalingPolicy
from tightrope.base.units import HOURS_PER_WEEK
from tightrope.perf.compress.graph import as_bytes
from tightrope.perf.compress.quantize import dynamic_int8
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.serve.config.settings import LocalModel, ServedPool
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.batch_curve import HAND_OVER_S
from tightrope.serve.local.batches import EngineBatch
from tightrope.serve.local.engines import Engines
from tightrope.serve.local.pool import LocalPool
from tightrope.serve.records import Call, Caller

NAME = "serve-replay"
DOC = "p95 of a real run of the engine pool as the replay foretells it, MiniLM-L6 int8, Poisson at 70 % of what it carries; target ±10 %"
BATCH, LOAD = 8, 0.7
BACKLOG, REQUESTS, ROUNDS = 400, 1500, 6
"""Texts asked for at once, which say what the pool carries; those that come one by one in a round; rounds, whose quieter half counts."""
WARM_UP = 0.1


@dataclass(frozen=True, slots=True)
class Ran:
    """One round: float64[requests] of seconds, int64[requests] of tokens."""

    arrived_s: FloatArray
    finish_s: FloatArray
    tokens: IntArray
    before: RequestEngine
    """What the pool knew of its engine before the round."""
    after: RequestEngine
    curve: RequestEngine
    """The same as the pool has it, without what it takes to hand a batch over."""
    hand_over_s: float
    """Mean time from the end of a batch to the beginning of the next, where the next waited: the curve does not have it."""
    stopped_s: float
    """Longest that the engine was stopped in a batch (time that its thread did not run), or that a text came late: others ran meanwhile."""


class Watched(LocalPool):
    """A pool that keeps what it hands to its engine."""

    batches: list[EngineBatch]

    def take(self, now_s: float, free: int) -> EngineBatch | float | None:
        """Note the next batch."""
        found = super().take(now_s, free)
        if isinstance(found, EngineBatch):
            self.batches.append(found)
        return found

    def engine(self, hand_over_s: float) -> RequestEngine:
        """Return what the pool knows of its engine by now, and what it takes to hand a batch over."""
        assert self._found is not None
        curve, more_s = self._found.curve, hand_over_s - HAND_OVER_S
        table = tuple(tuple(time_s + more_s for time_s in row) for row in curve.service_s)
        return RequestEngine(tuple(row[-1] for row in table), 0.0, tuple(curve.knots), table)

    def hand_over_s(self) -> float:
        """Return the mean time between two batches of which the second waited for the first."""
        pairs = list(pairwise(self.batches))
        waited = [(first, second) for first, second in pairs if min(item.entered_s for item in second.items) < first.ended_s]
        return float(np.mean([second.began_s - first.ended_s for first, second in waited]))


def run() -> dict:
    """Return the p95 of the quiet rounds as the replay of their arrivals has it, beside the measured one."""
    graph, tokenizer = minilm()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm-int8.onnx"
        path.write_bytes(as_bytes(dynamic_int8(graph)))
        backlogs, rounds = asyncio.run(measure(LocalModel(path, tokenizer=tokenizer, threads=1)))
    quiet = sorted(rounds, key=lambda ran: ran.stopped_s)[: ROUNDS // 2]
    measured = over_all(quiet, [ran.finish_s for ran in quiet])
    told = over_all(quiet, [replayed(ran, ran.after) for ran in quiet])
    each = [over_all([ran], [replayed(ran, ran.after)])["p95_ms"] / over_all([ran], [ran.finish_s])["p95_ms"] for ran in rounds]
    return {
        "name": NAME,
        "value": told["p95_ms"],
        "unit": "ms",
        "peer": "p95 measured at the pool",
        "peer_value": measured["p95_ms"],
        "ratio": told["p95_ms"] / measured["p95_ms"],
        "detail": {
            "targets": {"p95_ms": "±10 %", "per_s": "±5 %"},
            "error": errors(told, measured),
            "error_by_what_was_known_before": errors(over_all(quiet, [replayed(ran, ran.before) for ran in quiet]), measured),
            "error_without_handing_over": errors(over_all(quiet, [replayed(ran, ran.curve) for ran in quiet]), measured),
            "p95_error_of_each_round": [f"{ratio - 1.0:+.1%}" for ratio in each],
            "measured": {name: round(value, 2) for name, value in measured.items()},
            "foretold": {name: round(value, 2) for name, value in told.items()},
            "hand_over_ms": [round(1e3 * ran.hand_over_s, 2) for ran in quiet],
            "carried_per_s": round(carried(backlogs), 1),
            "stopped_ms": [round(1e3 * ran.stopped_s, 1) for ran in rounds],
        },
    }


def over_all(rounds: list[Ran], finish_s: list[FloatArray]) -> dict[str, float]:
    """Return the median and the p95 over all rounds, and the throughput; the first of a round only bring the queue to where it stays."""
    first = int(WARM_UP * REQUESTS)
    latency_ms = 1e3 * np.concatenate([(ends_s - ran.arrived_s)[first:] for ran, ends_s in zip(rounds, finish_s, strict=True)])
    took_s = sum(float(ends_s.max() - ran.arrived_s[0]) for ran, ends_s in zip(rounds, finish_s, strict=True))
    p50_ms, p95_ms = np.quantile(latency_ms, (0.5, 0.95))
    return {"p50_ms": float(p50_ms), "p95_ms": float(p95_ms), "per_s": sum(len(ends_s) for ends_s in finish_s) / took_s}


def carried(backlogs: list[Ran]) -> float:
    """Return texts a second of a backlog, the median of those so far."""
    return float(np.median([BACKLOG / (ran.finish_s.max() - ran.arrived_s[0]) for ran in backlogs]))


def errors(told: dict[str, float], measured: dict[str, float]) -> dict[str, str]:
    """Return how far what was foretold is from what was measured."""
    return {name: f"{told[name] / value - 1.0:+.1%}" for name, value in measured.items()}


# ----------------------------------------------------------------------------------------------------------------- the real run


async def measure(model: LocalModel) -> tuple[list[Ran], list[Ran]]:
    """Return the rounds of a backlog, and those of texts that come one by one at a share of what the pool carries."""
    pool = Watched(
        ServedPool("minilm", "minilm", "int8", local=model, max_batch=BATCH),
        "embed",
        {},
        Engines(1, MachineMeter(1.0, 1)),
        Sizes(),
    )
    pool.batches = []
    await pool.start()
    texts = sentences()
    backlogs: list[Ran] = []
    rounds: list[Ran] = []
    for seed in range(ROUNDS):
        random = np.random.default_rng(seed)
        backlogs.append(await ask(pool, random.choice(texts, BACKLOG).tolist(), np.zeros(BACKLOG)))
        times_s = np.cumsum(random.exponential(1.0 / (LOAD * carried(backlogs)), REQUESTS))
        known_s = (rounds or backlogs)[-1].hand_over_s
        rounds.append(await ask(pool, random.choice(texts, REQUESTS).tolist(), times_s, known_s))
    await pool.stop(10.0)
    return backlogs, rounds


async def ask(pool: Watched, texts: list[str], times_s: FloatArray, known_s: float = HAND_OVER_S) -> Ran:
    """Ask for each text when its time has come, and return when each came in fact and was answered.

    ``known_s`` is what is known before of the time to hand a batch over.
    """
    arrived_s, finish_s, tokens = np.zeros(len(texts)), np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
    caller, before, pool.batches = Caller("bench"), pool.engine(known_s), []
    began_s = time.monotonic()

    async def one(place: int) -> None:
        arrived_s[place] = now_s = time.monotonic()
        reply = await pool.answer(Call("", caller, "embed", "minilm", (texts[place],), now_s))
        finish_s[place], tokens[place] = time.monotonic(), reply.input_tokens

    asked: list[asyncio.Task[None]] = []
    for place, time_s in enumerate(times_s.tolist()):
        while (left_s := began_s + time_s - time.monotonic()) > 0.0:
            await asyncio.sleep(left_s)
        asked.append(asyncio.create_task(one(place)))
    await asyncio.gather(*asked)
    order = np.argsort(arrived_s, kind="stable")
    columns = (arrived_s[order] - began_s, finish_s[order] - began_s, tokens[order])
    hand_over_s = pool.hand_over_s()
    engines = before, pool.engine(hand_over_s), pool.engine(HAND_OVER_S)
    stopped_s = max(batch.ended_s - batch.began_s - batch.busy_s for batch in pool.batches)
    late_s = float((arrived_s - began_s - times_s).max()) if times_s.any() else 0.0
    return Ran(*columns, *engines, hand_over_s, max(stopped_s, late_s))


# --------------------------------------------------------------------------------------------------------------- what is foretold


def replayed(ran: Ran, engine: RequestEngine) -> FloatArray:
    """Return when each request is answered, float64[requests], by the replay of the arrivals on one engine that is always there."""
    pool = FleetPool(
        name="minilm",
        group="minilm",
        engine=engine,
        engines_per_machine=1,
        requests_per_s=1.0,
        start_s=0.0,
        zones=1,
        interruptions_per_hour=0.0,
        schedule=np.ones(HOURS_PER_WEEK, dtype=np.int64),
        ceiling=1,
        deferrable_limit=0,
    )
    fixed = ScalingPolicy(False, 1.0, 1.0, 0.1, 15.0, 0.0, 0.0, 0.0)
    fleet = Fleet(
        (pool,), (FleetClass("texts"),), ("minilm",), np.ones((1, 1, HOURS_PER_WEEK)), np.ones((1, 1), dtype=bool), fixed
    )
    nothing = np.zeros(len(ran.tokens), dtype=np.int64)
    traffic = Traffic(ran.arrived_s, nothing, ran.tokens, nothing + 1)
    return replay_fleet(fleet, traffic, duration_s=float(ran.finish_s.max()), block_offset_s=0.0, seed=0).finish_s
