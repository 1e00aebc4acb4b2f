"""How long the example's plan takes, and how much memory, once the compiled code is cached."""

import os
import tempfile
from pathlib import Path

from benchmarks.processes import TIGHTROPE, run_measured

NAME = "plan-chatgenius"
DOC = "wall time and peak memory of `tightrope plan` on the chatbot example, warm; targets 15 s and 1,024 MiB"
WORKLOAD = Path(__file__).parents[1] / "examples" / "chatgenius" / "workload.yaml"
TARGET_S, TARGET_MIB = 15.0, 1024.0


def run() -> dict:
    """Return the second run beside the first, which compiles into an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"XDG_CACHE_HOME": f"{folder}/cache"}
        command = [TIGHTROPE, "plan", str(WORKLOAD), "--out", f"{folder}/out"]
        cold_s, cold_mib = run_measured(command, env)
        warm_s, warm_mib = run_measured(command, env)
    return {
        "name": NAME,
        "value": warm_s,
        "unit": "s",
        "peer": "the same, first run with nothing compiled",
        "peer_value": cold_s,
        "ratio": warm_s / cold_s,
        "detail": {
            "target_s": TARGET_S,
            "peak_mib": warm_mib,
            "target_mib": TARGET_MIB,
            "cold_peak_mib": cold_mib,
            "cpus": os.cpu_count(),
        },
    }
