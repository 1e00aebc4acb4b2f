"""How long a day of a million conversations takes to replay through the command, and how much memory: process start included."""

import os
import tempfile
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.loads import ROOT, SIZES
from benchmarks.processes import TIGHTROPE, run_measured
from tightrope.base.records import FloatArray

NAME = "replay-day"
DOC = "wall time and peak memory of `tightrope replay` on a day of 1,000,000 conversations, warm; targets 10 s and 1,024 MiB"
REQUESTS = 1_000_000
RATES = ROOT / "examples" / "chatgenius" / "traffic" / "chat_rates.csv"
DAY_S = 86_400.0
TARGET_S, TARGET_MIB = 10.0, 1024.0
RUNS = 3
PROMISE_MISSED = 4
"""Exit code; how well the plan does is another matter."""
WORKLOAD = """
name: day
traffic:
  chat:
    rates: {{file: {rates}, scale: {scale}, zeros: gap, gaps: interpolate}}
    sizes: {{file: {sizes}}}
    slo: [ttft p95 <= 4 s, tpot p95 <= 120 ms]
    quality_floor: 0.95
models:
  assistant-7b:
    engine: token
    architecture: {{parameters: 7.0e9, layers: 32, kv_heads: 4, head_dim: 128}}
    variants:
      fp16: {{precision: fp16, quality: 1.0, serves: {{chat: 100 %}}}}
where: {{aws: [us-east-1], families: [g5, g6]}}
purchase: {{offers: [on-demand, spot], max_spot_share: 50 %, spot_zone_loss_share: 70 %, max_pools: 3}}
scaling: {{}}
proof: {{heldout: 1 days, seeds: [1]}}
"""


def run() -> dict:
    """Return the best of three runs of the command beside its first, which compiles into an empty cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trace, plan = folder / "trace.csv", folder / "out" / "plan.json"
        write_trace(trace, REQUESTS)
        write_workload(folder / "workload.yaml", REQUESTS)
        run_measured([TIGHTROPE, "plan", str(folder / "workload.yaml"), "--out", str(plan.parent)], accept=(0, PROMISE_MISSED))
        env = os.environ | {"XDG_CACHE_HOME": f"{folder}/cache"}
        command = [TIGHTROPE, "replay", str(plan), "--trace", str(trace), "--seed", "1"]
        cold_s, cold_mib = run_measured(command, env, accept=(0, PROMISE_MISSED))
        warm = [run_measured(command, env, accept=(0, PROMISE_MISSED)) for _ in range(RUNS)]
        report_s, report_mib = run_measured([*command, "--out", f"{folder}/replayed"], env, accept=(0, PROMISE_MISSED))
    warm_s = min(wall_s for wall_s, _ in warm)
    return {
        "name": NAME,
        "value": warm_s,
        "unit": "s",
        "peer": "the same, first run with nothing compiled",
        "peer_value": cold_s,
        "ratio": warm_s / cold_s,
        "detail": {
            "requests": REQUESTS,
            "target_s": TARGET_S,
            "peak_mib": max(mib for _, mib in warm),
            "target_mib": TARGET_MIB,
            "cold_peak_mib": cold_mib,
            "with_report_s": report_s,
            "with_report_peak_mib": report_mib,
            "cpus": os.cpu_count(),
        },
    }


def first_day() -> tuple[FloatArray, FloatArray]:
    """Return the example's rates of the first day: seconds from its midnight, requests/s from then on."""
    since_s, per_s = np.loadtxt(RATES, delimiter=",", skiprows=1, unpack=True)
    return since_s[since_s < DAY_S], per_s[since_s < DAY_S]


def write_trace(path: Path, requests: int) -> None:
    """Write so many requests over the first day, at its rates and with the sizes of the example."""
    since_s, per_s = first_day()
    expected = np.append(0.0, np.cumsum(per_s))
    random = np.random.default_rng(1)
    time_s = np.sort(np.interp(random.random(requests) * expected[-1], expected, np.append(since_s, DAY_S)))
    sizes = np.loadtxt(SIZES, delimiter=",", skiprows=1, dtype=np.int64)
    prompts, answers = sizes[random.integers(len(sizes), size=requests)].T.copy()
    with duckdb.connect() as connection:
        connection.register("trace", {"time_s": np.round(time_s, 3), "input_tokens": prompts, "output_tokens": answers})
        connection.table("trace").write_csv(str(path))


def write_workload(path: Path, requests: int) -> None:
    """Write the workload whose first day has so many requests."""
    scale = requests / DAY_S / float(first_day()[1].mean())
    path.write_text(WORKLOAD.format(rates=RATES, sizes=SIZES, scale=scale), encoding="utf-8")
