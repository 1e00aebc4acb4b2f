"""Compares fitted engines with times that were measured on the chips: those that aiconfigurator-core carries for its own tests.

``systems/silicon_sample.csv`` of the package (Apache-2.0) has the time per output token of whole servers at a stated concurrency.
Nothing of it was used to fit. Only vLLM on one machine is compared, in the precisions that have rows.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tightrope.base.records import TokenEngine
from tightrope.perf.fit.aiconfigurator import SYSTEMS
from tightrope.perf.fit.fit_table import FittedRow
from tightrope.perf.steady_state import steady_state

MODEL_OF = {
    "meta-llama/Llama-3.1-70B": "llama-3.3-70b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b",
}
PRECISION_OF = {"fp8": "fp8", "": "bf16"}
FEWEST = 30
"""A sweep with fewer points is told but not counted: of two such, neither keeps its own concurrency."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One model on one chip: measured / predicted − 1 of the time per output token."""

    accelerator: str
    model: str
    precision: str
    points: int
    median: float
    """Of the signed errors: positive where the server is slower than fitted."""
    median_absolute: float
    p90_absolute: float
    counted: bool


def _engine(row: FittedRow, sequences: int) -> TokenEngine:
    """Return a row's engine without limits of memory: the server held this many sequences."""
    tokens = 10**9
    return TokenEngine(
        row.overhead_ms / 1e3,
        row.weights_ms / 1e3,
        row.per_token_us / 1e6,
        row.per_cached_token_ns / 1e9,
        tokens,
        sequences,
        8192,
        1.0,
    )


def _errors(path: Path, rows: tuple[FittedRow, ...]) -> dict[tuple[str, str, str], list[float]]:
    """Return measured / predicted − 1 by chip, model and precision."""
    chip_of = {system: chip for chip, system in SYSTEMS.items()}
    known = {(row.accelerator, row.board_memory_gib, row.model, row.precision, row.chips): row for row in rows}
    found: dict[tuple[str, str, str], list[float]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            chip = chip_of.get(line["system"], ("", 0.0))
            model, precision = MODEL_OF.get(line["model_path"], ""), PRECISION_OF.get(line["precision"], "")
            row = known.get((*chip, model, precision, int(line["tp_size"] or 0)))
            if row is None or line["backend"] != "vllm" or line["mode"] != "agg" or line["pp_size"] not in {"", "1"}:
                continue
            sequences = int(float(line["batch_size"]))
            state = steady_state(_engine(row, sequences), float(line["isl"]), float(line["osl"]), sequences)
            error = float(line["silicon_tpot_ms"]) / (1e3 * state.tpot_s) - 1.0
            found.setdefault((chip[0], model, precision), []).append(error)
    return found


def compare_measured(systems: Path, rows: tuple[FittedRow, ...]) -> tuple[Sweep, ...]:
    """Return how far the engines are from what was measured, by chip, model and precision."""
    return tuple(
        Sweep(
            *key,
            points=len(errors),
            median=round(float(np.median(errors)), 3),
            median_absolute=round(float(np.median(np.abs(errors))), 3),
            p90_absolute=round(float(np.quantile(np.abs(errors), 0.9)), 3),
            counted=len(errors) >= FEWEST,
        )
        for key, errors in sorted(_errors(systems / "silicon_sample.csv", rows).items())
    )


def pooled(systems: Path, rows: tuple[FittedRow, ...]) -> tuple[int, float, float]:
    """Return points, median and ninth decile of the absolute errors of the sweeps that are counted."""
    errors = [
        error for group in _errors(systems / "silicon_sample.csv", rows).values() if len(group) >= FEWEST for error in group
    ]
    if not errors:
        return 0, float("nan"), float("nan")
    return len(errors), round(float(np.median(np.abs(errors))), 3), round(float(np.quantile(np.abs(errors), 0.9)), 3)
