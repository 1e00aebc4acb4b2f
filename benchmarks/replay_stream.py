"""What a stream of requests costs that never are in memory together: time grows with them, memory does not."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.loads import HOURS, ROOT
from benchmarks.processes import run_measured
from benchmarks.replay_request import MACHINE_PER_S, MACHINES, SWING, batch_fleet
from tightrope.base.records import Demand
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.records import Traffic

NAME = "replay-stream"
DOC = "whole requests drawn and replayed a second in a stream of 100 million; targets 2,048 MiB and the speed of 10 million"
REQUESTS = int(os.environ.get("TIGHTROPE_STREAM_REQUESTS", "100000000"))
"""``TIGHTROPE_STREAM_REQUESTS=1000000000`` is the billion: some minutes."""
FEWER = 10
"""The peer has so many times fewer requests: as fast, a stream's time grows with its length; as large, its memory does not."""
TARGET_MIB = 2048.0
MEAN_PER_S = 0.75 * MACHINES * MACHINE_PER_S
CHILD = "import sys; from benchmarks.replay_stream import write_facts; write_facts(int(sys.argv[1]), sys.argv[2])"


def run() -> dict:
    """Return requests a second and peak memory of a long stream, beside those of its beginning, each in a process of its own."""
    measure(1)  # what is not yet compiled is compiled in a process whose memory does not count
    fewer, fewer_mib = measure(REQUESTS // FEWER)
    whole, whole_mib = measure(REQUESTS)
    value, peer_value = (facts["requests"] / facts["cpu_s"] for facts in (whole, fewer))
    return {
        "name": NAME,
        "value": value,
        "unit": "requests/s",
        "peer": f"the first {REQUESTS // FEWER:,} of the same requests",
        "peer_value": peer_value,
        "ratio": value / peer_value,
        "detail": {
            "clock": "processor time of one core, drawing included, process start not",
            **whole,
            "peak_mib": whole_mib,
            "target_mib": TARGET_MIB,
            "times_the_requests": whole["requests"] / fewer["requests"],
            "times_the_time": whole["cpu_s"] / fewer["cpu_s"],
            "times_the_memory": whole_mib / fewer_mib,
        },
    }


def measure(requests: int) -> tuple[dict[str, float], float]:
    """Return what a process of its own found, and its peak in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "facts.json"
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        _, peak_mib = run_measured([sys.executable, "-c", CHILD, str(requests), str(found)], os.environ | {"PYTHONPATH": paths})
        return json.loads(found.read_text()), peak_mib


def write_facts(requests: int, path: str) -> None:
    """Write what a stream of about so many requests took, after one of a few that compiles what is not yet compiled."""
    stream(1000)
    Path(path).write_text(json.dumps(stream(requests)))


def stream(requests: int) -> dict[str, float]:
    """Return what the replay of a stream of about so many requests took and showed."""
    from tightrope.replay.run import replay_stream

    wall, cpu = time.perf_counter(), time.process_time()
    demand, duration_s = daily(requests)
    outcome = replay_stream(batch_fleet(), chunks(demand, duration_s), duration_s=duration_s, block_offset_s=0.0, seed=1)
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    hours = duration_s / SECONDS_PER_HOUR
    return {
        "requests": outcome.requests,
        "answered": int(outcome.ended[0, 0]),
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "hours_replayed": hours,
        "machines_on_average": float(outcome.machine_hours.sum()) / hours,
        "latency_p99_s": outcome.quantile_s(0, 3, 0.99),
    }


def daily(requests: int) -> tuple[Demand, float]:
    """Return rates that swing by the day, about ``MEAN_PER_S``, and after how long so many requests are expected, in seconds."""
    hour = np.arange(HOURS * (1 + int(requests / MEAN_PER_S / SECONDS_PER_HOUR) // HOURS))
    per_s = MEAN_PER_S * (1.0 + SWING * np.sin(2.0 * np.pi * hour / 24.0))
    expected = np.append(0.0, np.cumsum(per_s * SECONDS_PER_HOUR))
    duration_s = float(np.interp(requests, expected, np.arange(len(expected)) * SECONDS_PER_HOUR))
    one = np.ones(1, dtype=np.int64)
    return Demand(SECONDS_PER_HOUR, per_s, one, one, 1.0, np.zeros(0), "made up"), duration_s


def chunks(demand: Demand, duration_s: float) -> Iterator[Traffic]:
    """Yield the requests as they are drawn, a million at a time."""
    from tightrope.demand.arrivals import stream_arrivals

    for drawn in stream_arrivals(demand, 0.0, duration_s, 1):
        none = np.zeros(len(drawn.time_s), dtype=np.int64)
        yield Traffic(drawn.time_s, none, drawn.input_tokens, drawn.output_tokens)
