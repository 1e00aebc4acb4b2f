"""How many token-level requests a second the replay gets through, with everything that happens to a fleet of language models."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.loads import (
    CLOCK,
    Timed,
    autoscaled,
    children_cpu_s,
    conversations,
    llama_on_a100,
    percentiles_s,
    replay_slowly,
    timed,
)
from benchmarks.replay_request import simpy_per_s
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.records import Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

NAME = "replay-token"
DOC = "token-level requests replayed a second on 4 replicas, and on 2 and 256; targets 200,000, and 100,000 on 256"
REQUESTS = {2: 200_000, 4: 400_000, 256: 1_000_000}
"""Replicas → requests: enough seconds on the fleet's clock for machines to be asked for, to start and to go."""
SHOWN, PEER_REQUESTS = 4, 4_000
KV_TOKENS = 16_384
"""Of the 46,000 that fit beside the weights: as on a GPU shared with a second model, so that some requests lose their place."""
REPLICA_PER_S, LOAD = 1.9, 0.75
"""What one replica sustains with that cache, and the share of it that arrives."""
TARGET_PER_S = {2: 200_000, 4: 200_000, 256: 100_000}
ELSEWHERE_PER_S = {
    "Vidur at 7d47513": {1: 486.0, 4: 324.0},
    "Dynamo Replay 1.3.1": {2: 13_800.0, 4: 9_200.0},
    "vllm-sr-sim 0.1.0.dev20260713123629": {24: 31_000.0},
}
"""Replicas → requests/s that others reached: measured earlier, on another machine with two shared cores. Vidur with sizes drawn again;
Dynamo Replay on this trace, by its own clock; vllm-sr-sim on drawn requests, not step by step, the best of 11,000-31,000."""
SIMPY_ELSEWHERE_PER_S, SIMPY_REQUESTS = 81_600.0, 50_000
"""What SimPy made of M/M/20 on that other machine; what it makes of it here says how much faster this one is."""


Replayed: TypeAlias = tuple[Outcome, dict[str, list[float]]]
"""What became of the requests, and the percentiles of their latencies."""
SR_SIM = os.environ.get("TIGHTROPE_SR_SIM", "")
"""The command ``vllm-sr-sim``, where somebody installed it (in an environment of its own): then it is timed in the same run, too."""
SR_SIM_REQUESTS, SR_SIM_PER_S, SR_SIM_FLEET = 30_000, 200.0, {"--n-s": 19, "--n-l": 5}
"""The fleet is that of its earlier figure: 19 GPUs for short requests, 5 for long ones."""


def run() -> dict:
    """Return requests a second with 4 replicas, beside the reference in plain Python on fewer requests; the rest in detail."""
    ours = {replicas: measure(replay_fleet, replicas, requests) for replicas, requests in REQUESTS.items()}
    value = REQUESTS[SHOWN] / ours[SHOWN].cpu_s
    peer_per_s = PEER_REQUESTS / measure(replay_slowly(), SHOWN, PEER_REQUESTS).cpu_s
    faster = simpy_per_s(SIMPY_REQUESTS) / SIMPY_ELSEWHERE_PER_S
    return {
        "name": NAME,
        "value": value,
        "unit": "requests/s",
        "peer": f"the tests' reference in plain Python, {PEER_REQUESTS:,} requests",
        "peer_value": peer_per_s,
        "ratio": value / peer_per_s,
        "detail": {
            "clock": CLOCK,
            "traffic": load(SHOWN, REQUESTS[SHOWN])[1],
            "replicas": {str(replicas): facts(replicas, found) for replicas, found in ours.items()},
            "vllm_sr_sim_in_this_run": beside(ours, sum(SR_SIM_FLEET.values()), sr_sim_per_s(), 1.0)
            if SR_SIM
            else "not installed",
            "this_machine_is_faster_by_simpy": faster,
            "others_measured_earlier_on_another_machine": {
                name: {f"on {replicas}": beside(ours, replicas, per_s, faster) for replicas, per_s in figures.items()}
                for name, figures in ELSEWHERE_PER_S.items()
            },
        },
    }


def load(replicas: int, requests: int) -> tuple[Traffic, str]:
    """Return the traffic of so many replicas and where it is from."""
    return conversations(requests, LOAD * REPLICA_PER_S * replicas)


def fleet(replicas: int) -> Fleet:
    """Return the replicas, autoscaled, each with a KV cache that is sometimes full."""
    return autoscaled(replace(llama_on_a100(), kv_capacity_tokens=KV_TOKENS), replicas, REPLICA_PER_S)


def measure(replay: Callable[..., Outcome], replicas: int, requests: int) -> Timed[Replayed]:
    """Time a replay and the percentiles of its latencies, after one of a few requests that compiles what is not yet compiled."""
    traffic, what = load(replicas, requests)[0], fleet(replicas)

    def call() -> Replayed:
        outcome = replay(what, traffic, duration_s=float(traffic.time_s[-1]), block_offset_s=0.0, seed=1)
        return outcome, percentiles_s(outcome)

    replay(what, load(replicas, 10)[0], duration_s=60.0, block_offset_s=0.0, seed=1)
    return timed(call)


def facts(replicas: int, found: Timed[Replayed]) -> dict[str, Any]:
    """Return what shows that the replay had all of it to do: its speed, its load, its cache that was full, its machines."""
    outcome, latencies_s = found.result
    requests, hours = len(outcome.first_s), float(outcome.traffic.time_s[-1]) / SECONDS_PER_HOUR
    return {
        "requests_per_s": requests / found.cpu_s,
        "requests_per_wall_s": requests / found.wall_s,
        "target_per_s": TARGET_PER_S[replicas],
        "requests": requests,
        "output_tokens": int(outcome.traffic.output_tokens.sum()),
        "hours_replayed": hours,
        "busy": float(outcome.busy_hours.sum() / outcome.machine_hours.sum()),
        "machines_on_average": float(outcome.machine_hours.sum()) / hours,
        "preemptions": outcome.preemptions,
        **{f"{name}_p95_s": values[1] for name, values in latencies_s.items()},
    }


def beside(ours: dict[int, Timed[Replayed]], replicas: int, per_s: float, faster: float) -> dict[str, float]:
    """Return another simulator's figure, and how many times it our nearest number of replicas is, on a machine as fast as that."""
    nearest = min(ours, key=lambda mine: abs(mine - replicas))
    ratio = REQUESTS[nearest] / ours[nearest].cpu_s / per_s
    return {"requests_per_s": per_s, "our_replicas": nearest, "ratio": ratio, "ratio_at_equal_speed": ratio / faster}


def sr_sim_per_s() -> float:
    """Return how many requests a second vllm-sr-sim gets through in processor time, process start taken off: not steps, but requests."""
    traffic, _ = conversations(SR_SIM_REQUESTS, SR_SIM_PER_S)
    sizes = np.unique(traffic.input_tokens + traffic.output_tokens, return_counts=True)
    shares = np.cumsum(sizes[1]) / len(traffic.time_s)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "sizes.json"
        table.write_text(json.dumps(list(zip(sizes[0].tolist(), shares.tolist(), strict=True))))
        fleet = [str(word) for pair in SR_SIM_FLEET.items() for word in pair]
        spent_s = []
        for requests in (100, SR_SIM_REQUESTS):
            before_s = children_cpu_s()
            command = [SR_SIM, "simulate", "--cdf", str(table), "--lam", str(SR_SIM_PER_S), "--n-req", str(requests), *fleet]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
            spent_s.append(children_cpu_s() - before_s)
    return (SR_SIM_REQUESTS - 100) / (spent_s[1] - spent_s[0])
