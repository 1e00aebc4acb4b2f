"""Shared by the benchmarks of the replay: the conversations that people had with a model, the engine they load, and fair timing."""

import csv
import gzip
import importlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from tightrope.base.records import Architecture, EngineModel, ModelVariant, ScalingPolicy, TokenEngine
from tightrope.perf.roofline import token_engine
from tightrope.perf.tables import accelerators
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Outcome, Traffic

ROOT = Path(__file__).parents[1]
AZURE = ROOT.parent / "shared" / "data" / "traffic" / "azure_llm_2023_conv.csv.gz"
"""Conversations of one model at Azure on 2023-11-16: 19,366 requests in 57 minutes (Patel et al., Splitwise, ISCA 2024; CC BY 4.0)."""
SIZES = ROOT / "examples" / "chatgenius" / "traffic" / "chat_tokens.csv"
"""Every ninth of their sizes, sorted, which the project carries."""
Result = TypeVar("Result")
RUNS = 3
"""Each timing is the best of so many: whatever else the machine does only ever adds."""
CLOCK = f"processor time of one core, the best of {RUNS}"
HOURS = 168
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Timed(Generic[Result]):
    """The shortest of ``RUNS`` calls, and what the last returned."""

    cpu_s: float
    """Processor time, of all threads: on one core that nobody else wants it is the wall time, on a busy machine it still is."""
    wall_s: float
    result: Result


def timed(call: Callable[[], Result]) -> Timed[Result]:
    """Return how long a call takes."""
    cpu_s, wall_s = [], []
    for _ in range(RUNS):
        result = None  # what it holds would be in memory twice
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
    return Timed(min(cpu_s), min(wall_s), result)


def children_cpu_s() -> float:
    """Return the processor time of all processes that this one started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def replay_slowly() -> Callable[..., Outcome]:
    """Return the tests' replay in plain Python, which knows the rules and no tricks."""
    folder = str(ROOT / "tests" / "replay")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("reference").replay_slowly


# --------------------------------------------------------------------------------------------------------------- traffic


def conversations(requests: int, rate_per_s: float) -> tuple[Traffic, str]:
    """Return so many requests, and where they are from: the Azure conversations, end to end as often as needed.

    Time is pressed or stretched to ``rate_per_s`` on average, so bursts stay as they were relative to it. Where the file is absent:
    Poisson arrivals with the sizes that the project carries.
    """
    if AZURE.exists():
        time_s, prompts, answers = _azure()
        copies = -(-requests // len(time_s))
        period_s = float(time_s[-1]) * (1.0 + 1.0 / len(time_s))
        all_s = (time_s + period_s * np.arange(copies)[:, None]).ravel()[:requests]
        all_s *= len(time_s) / (rate_per_s * period_s)
        source = f"Azure LLM conversations of 2023, {requests / len(time_s):.1f} times over"
    else:
        prompts, answers = np.loadtxt(SIZES, delimiter=",", skiprows=1, dtype=np.int64, unpack=True)
        random = np.random.default_rng(1)
        all_s = np.cumsum(random.exponential(1.0 / rate_per_s, requests))
        order = random.integers(len(prompts), size=requests)
        prompts, answers, source = (
            prompts[order],
            answers[order],
            f"Poisson arrivals, sizes of {SIZES.name}: no {AZURE.name} here",
        )
    tokens = [np.resize(column, requests) for column in (prompts, answers)]
    return Traffic(all_s, np.zeros(requests, dtype=np.int64), *tokens), source


def _azure() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the conversations' seconds from the first, prompt tokens and answer tokens."""
    with gzip.open(AZURE, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    at = np.array([datetime.fromisoformat(row[0][:26]).timestamp() for row in rows])
    prompts, answers = (np.array([int(row[column]) for row in rows], dtype=np.int64) for column in (1, 2))
    order = np.argsort(at, kind="stable")
    return at[order] - at.min(), prompts[order], answers[order]


# ---------------------------------------------------------------------------------------------------------------- fleets


def llama_on_a100() -> TokenEngine:
    """Return Llama-2-7B in 16 bits on an A100 with 40 GiB, by the project's own roofline; its KV cache has 46 thousand tokens."""
    chip = next(item for item in accelerators() if (item.accelerator, item.board_memory_gib) == ("a100", 40.0))
    llama = Architecture(parameters=6.74e9, layers=32, kv_heads=32, head_dim=128)
    variant = ModelVariant("fp16", "llama-2-7b", "token", "fp16", 1.0, 2 * llama.parameters, {"chat": 1.0}, llama)
    return token_engine(variant, llama, chip)


def autoscaled(engine: EngineModel, replicas: int, requests_per_s: float, **fields: Any) -> Fleet:  # noqa: ANN401 - fields of the pool
    """Return a fleet in which the autoscaler has to find about so many replicas: it begins with three quarters of them.

    A machine it asks for is there after 150 s and the load of its model.
    """
    floor, ceiling = max(1, 3 * replicas // 4), replicas + -(-replicas // 4)
    stated: dict[str, Any] = {
        "start_s": 150.0 + engine.load_s,
        "load_s": engine.load_s,
        "zones": 3,
        "interruptions_per_hour": 0.0,
        "schedule": np.full(HOURS, floor),
        "ceiling": ceiling,
        "deferrable_limit": 1,
    }
    pool = FleetPool("pool", "group", engine, 1, requests_per_s, **(stated | fields))
    scaling = ScalingPolicy(True, 0.8, ceiling / floor, 0.1, 15.0, 30.0, 300.0, 150.0)
    return Fleet((pool,), (FleetClass("chat"),), ("group",), np.ones((1, 1, HOURS)), np.ones((1, 1), dtype=bool), scaling)


def percentiles_s(outcome: Outcome) -> dict[str, list[float]]:
    """Return the median, 95th and 99th percentile of every latency, in seconds."""
    metrics = {"ttft": outcome.ttft_s, "tpot": outcome.tpot_s, "latency": outcome.latency_s}
    return {name: np.quantile(values, QUANTILES).tolist() for name, values in metrics.items()}
