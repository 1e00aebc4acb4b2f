"""The gateway's cache of answers hits where the replay's does: the same requests, the same keys, the same moments."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tightrope.base.plan import AnswerCache
from tightrope.base.records import RequestEngine, ScalingPolicy
from tightrope.replay.records import CACHED, Fleet, FleetClass, FleetPool, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.serve.answers.cache import GatewayCache
from tightrope.serve.config.settings import CacheSettings
from tightrope.serve.records import Call, Caller, Reply

SERVICE_S = 0.05
REQUESTS = 4000


def trace(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times and keys of requests that never overlap, the commoner keys more often (Zipf)."""
    rng = np.random.default_rng(seed)
    time_s = np.cumsum(2.0 * SERVICE_S + rng.exponential(0.5, REQUESTS))
    return time_s, np.minimum(rng.zipf(1.3, REQUESTS), 400) - 1


def replayed(time_s: np.ndarray, key: np.ndarray, entries: int, ttl_s: float) -> np.ndarray:
    """Return which requests the replay answers from its cache, bool[requests]."""
    schedule = np.ones(168, dtype=np.int64)
    pool = FleetPool("pool", "m", RequestEngine((SERVICE_S,), 0.0), 1, 20.0, 0.0, 1, 0.0, schedule, 1, 1)
    scaling = ScalingPolicy(False, 1.0, 1.0, 0.1, 15.0, 0.0, 0.0, 0.0)
    fleet = Fleet((pool,), (FleetClass("chat", False),), ("m",), np.ones((1, 1, 168)), np.ones((1, 1), dtype=bool), scaling)
    fleet = replace(fleet, cache=AnswerCache(entries, ttl_s))
    ones = np.ones(REQUESTS, dtype=np.int64)
    requests = Traffic(time_s, np.zeros(REQUESTS, dtype=np.int64), ones, ones, key=key)
    outcome = replay_fleet(fleet, requests, duration_s=float(time_s[-1]) + 1.0, block_offset_s=0.0, seed=0)
    return outcome.ended == CACHED


async def served(time_s: np.ndarray, key: np.ndarray, entries: int, ttl_s: float) -> np.ndarray:
    """Return which requests the gateway answers from its cache, bool[requests]."""
    now_s = 0.0
    metrics = SimpleNamespace(cache=lambda *_, **__: None)
    answers = GatewayCache(CacheSettings(entries=entries, ttl_s=ttl_s), metrics, lambda: now_s)

    async def make(call: Call) -> Reply:
        nonlocal now_s
        now_s += SERVICE_S
        return Reply("pool", "v", outputs=(np.zeros(3),))

    hits = []
    for at_s, which in zip(time_s, key, strict=True):
        now_s = float(at_s)
        call = Call("1", Caller("t"), "embed", "m", (f"text {which}",), now_s)
        hits.append((await answers.answer(call, make)).cached == "hit")
    return np.array(hits)


@pytest.mark.parametrize(("entries", "ttl_s"), [(1000, 1e9), (50, 1e9), (1000, 60.0), (50, 60.0), (1, 10.0)])
def test_the_same_requests_are_answered_from_the_cache(entries: int, ttl_s: float) -> None:
    time_s, key = trace(entries)
    found = asyncio.run(served(time_s, key, entries, ttl_s))
    assert found.tolist() == replayed(time_s, key, entries, ttl_s).tolist()
    assert 0.02 < found.mean() < 0.98
