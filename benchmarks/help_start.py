"""How long a user waits for ``tightrope --help``: heavy modules must not load before a verb needs them."""

import statistics
import sys

from benchmarks.processes import TIGHTROPE, run_measured

NAME = "help-start"
DOC = "wall time of `tightrope --help`, median of 9 fresh processes; target 0.3 s"
RUNS = 9
TARGET_S = 0.3


def run() -> dict:
    """Return the median beside that of a bare import of the command-line library, run in turns."""
    commands = {
        "help": [TIGHTROPE, "--help"],
        "typer": [sys.executable, "-c", "import typer"],
        "pass": [sys.executable, "-c", "pass"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            seconds[name].append(run_measured(command)[0])
    median_s = {name: statistics.median(samples) for name, samples in seconds.items()}
    return {
        "name": NAME,
        "value": median_s["help"],
        "unit": "s",
        "peer": 'python -c "import typer"',
        "peer_value": median_s["typer"],
        "ratio": median_s["help"] / median_s["typer"],
        "detail": {"target_s": TARGET_S, "bare_python_s": median_s["pass"], "slowest_s": max(seconds["help"]), "runs": RUNS},
    }
