"""How much faster a sweep over seeds and drills is on two processes than on one."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np

from benchmarks.loads import autoscaled, children_cpu_s, conversations, llama_on_a100
from benchmarks.replay_token import KV_TOKENS, LOAD, REPLICA_PER_S
from tightrope.replay.records import Drill, Outcome
from tightrope.replay.sweep import Case, replay_case, replay_sweep, usable_cores

NAME = "replay-sweep"
DOC = "token-level requests replayed a second on 2 processes, in a sweep of 16 seeds and 3 fates; target 1.8 times one process"
REQUESTS, SEEDS, REPLICAS, PROCESSES = 1_000_000, 16, 8, 2
RUNS = 2
TARGET_RATIO = 1.8
SPIN = "for _ in range(30_000_000): pass"


def run() -> dict:
    """Return requests a second of the sweep on two processes, beside one.

    On cores that others use, too, that ratio says little: an empty loop shows what two processes gain at best just now, and the
    processor time what two idle cores would give.
    """
    sweep = cases()
    replay_case(replace(sweep[0], traffic=conversations(10, 1.0)[0], duration_s=60.0))
    seconds: dict[int, list[float]] = {1: [], PROCESSES: []}
    cpu_s: dict[int, list[float]] = {1: [], PROCESSES: []}
    answers = {}
    for _ in range(RUNS):
        for processes, spent_s in seconds.items():
            begin_s, begin_cpu_s = time.perf_counter(), time.process_time() + children_cpu_s()
            answers[processes] = replay_sweep(sweep, processes, summarise=summary)
            spent_s.append(time.perf_counter() - begin_s)
            cpu_s[processes].append(time.process_time() + children_cpu_s() - begin_cpu_s)
    assert answers[1] == answers[PROCESSES]
    per_s = {processes: REQUESTS * len(sweep) / min(spent_s) for processes, spent_s in seconds.items()}
    return {
        "name": NAME,
        "value": per_s[PROCESSES],
        "unit": "requests/s",
        "peer": "the same on 1 process, one after another",
        "peer_value": per_s[1],
        "ratio": per_s[PROCESSES] / per_s[1],
        "detail": {
            "target_ratio": TARGET_RATIO,
            "clock": f"wall time, the best of {RUNS}, starting processes included",
            "cases": len(sweep),
            "requests_a_case": REQUESTS,
            "seconds": {str(processes): min(spent_s) for processes, spent_s in seconds.items()},
            "processor_seconds": {str(processes): min(used_s) for processes, used_s in cpu_s.items()},
            "ratio_by_processor_seconds": PROCESSES * min(cpu_s[1]) / min(cpu_s[PROCESSES]),
            "usable_cores": usable_cores(),
            "ratio_of_an_empty_loop": spin_ratio(),
            "worst_ttft_p95_s": max(p95_s for p95_s, _ in answers[1]),
            "interruptions": sum(interruptions for _, interruptions in answers[1]),
        },
    }


def cases() -> list[Case]:
    """Return every seed without a drill, with a lost zone and with a storm of spot interruptions; all share their requests."""
    traffic = conversations(REQUESTS, LOAD * REPLICA_PER_S * REPLICAS)[0]
    duration_s = float(traffic.time_s[-1])
    engine = replace(llama_on_a100(), kv_capacity_tokens=KV_TOKENS)
    fleet = autoscaled(engine, REPLICAS, REPLICA_PER_S, interruptions_per_hour=0.1)
    drills = {kind: Drill(kind, duration_s / 2.0, duration_s / 2.0 + 1800.0) for kind in ("zone-loss", "spot-storm")}
    return [
        Case(f"seed {seed}, {name}", fleet, traffic, duration_s, seed=seed, drill=drill)
        for seed in range(SEEDS)
        for name, drill in {"no drill": None, **drills}.items()
    ]


def summary(outcome: Outcome) -> tuple[float, int]:
    """Return the 95th percentile of the time to the first token, in seconds, and how often spot machines were interrupted."""
    return float(np.quantile(outcome.ttft_s, 0.95)), outcome.interruptions


def spin_ratio() -> float:
    """Return how much more two processes do that share nothing: 2 on two cores that nobody else uses."""
    wall_s = {}
    for processes in (1, PROCESSES):
        begin_s = time.perf_counter()
        running = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
        for process in running:
            process.wait()
        wall_s[processes] = time.perf_counter() - begin_s
    return PROCESSES * wall_s[1] / wall_s[PROCESSES]
