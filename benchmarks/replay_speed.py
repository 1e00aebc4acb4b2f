"""How many token-level requests a second the replay gets through, beside the plain-Python reference of the tests in the same run."""

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tightrope.base.records import ScalingPolicy, TokenEngine
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Outcome, Traffic
from tightrope.replay.run import replay_fleet

NAME = "replay-speed"
DOC = "token-level requests replayed a second on 40 replicas with autoscaling and spot, compiled code cached; target 100,000"
REQUESTS, PEER_REQUESTS = 500_000, 2_000
REPLICAS, RATE_PER_S = 40, 60.0
TARGET_PER_S = 100_000
ENGINE = TokenEngine(
    overhead_s=0.004,
    weights_s=0.028,
    per_token_s=0.0002,
    per_cached_token_s=4e-7,
    kv_capacity_tokens=60_000,
    max_sequences=64,
    chunk_tokens=512,
    load_s=60.0,
)
"""About a 7B model on a GPU of 24 GB: the size of step, cache and batch decide the work of the replay, not whose they are."""


def run() -> dict:
    """Return requests a second of the replay, after a run that compiles or loads it, and of the reference on fewer requests."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "replay"))
    replay_slowly = importlib.import_module("reference").replay_slowly
    replay_fleet(fleet(), chats(100), duration_s=60.0, block_offset_s=0.0, seed=1)
    value, outcome = requests_per_s(replay_fleet, REQUESTS)
    peer_value, _ = requests_per_s(replay_slowly, PEER_REQUESTS)
    return {
        "name": NAME,
        "value": value,
        "unit": "requests/s",
        "peer": f"the tests' reference in plain Python, {PEER_REQUESTS:,} requests",
        "peer_value": peer_value,
        "ratio": value / peer_value,
        "detail": {
            "requests": REQUESTS,
            "replicas": REPLICAS,
            "output_tokens": int(outcome.traffic.output_tokens.sum()),
            "utilisation": float(outcome.busy_hours.sum() / outcome.machine_hours.sum()),
            "ttft_p95_s": float(np.quantile(outcome.ttft_s, 0.95)),
            "interruptions": outcome.interruptions,
            "target_per_s": TARGET_PER_S,
        },
    }


def requests_per_s(replay: Callable[..., Outcome], requests: int) -> tuple[float, Outcome]:
    """Return how fast so many requests are replayed, and what became of them."""
    traffic = chats(requests)
    start = time.perf_counter()
    outcome = replay(fleet(), traffic, duration_s=float(traffic.time_s[-1]), block_offset_s=0.0, seed=1)
    return requests / (time.perf_counter() - start), outcome


def chats(requests: int) -> Traffic:
    """Return Poisson arrivals with the sizes of chats: log-normal, means of about 1,150 tokens in and 210 out."""
    random = np.random.default_rng(1)
    time_s = np.cumsum(random.exponential(1.0 / RATE_PER_S, requests))
    prompt, answer = (random.lognormal(np.log(middle), 0.7, requests) for middle in (900.0, 165.0))
    sizes = [np.clip(tokens, 1, 8000).astype(np.int64) for tokens in (prompt, answer)]
    return Traffic(time_s, np.zeros(requests, dtype=np.int64), *sizes)


def fleet() -> Fleet:
    """Return half the replicas on demand and half on spot, and the autoscaler on."""
    half = REPLICAS // 2
    pools = tuple(
        FleetPool(
            name=f"pool {interruptions}",
            group="chat",
            engine=ENGINE,
            engines_per_machine=1,
            requests_per_s=2.5,
            start_s=150.0,
            zones=3,
            interruptions_per_hour=interruptions,
            schedule=np.full(168, half),
            ceiling=half + 10,
            deferrable_limit=1,
        )
        for interruptions in (0.0, 0.2)
    )
    scaling = ScalingPolicy(True, 0.7, 1.5, 0.1, 15.0, 30.0, 300.0, 90.0)
    return Fleet(pools, (FleetClass("chat"),), ("chat",), np.ones((1, 1, 168)), np.ones((1, 2), dtype=bool), scaling)
