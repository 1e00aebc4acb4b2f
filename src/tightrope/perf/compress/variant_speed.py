"""How much faster a variant is than the original: both run in turns, in processes of their own, and their processor time is counted.

Processor time of one thread, not time on the clock: others on the machine make a clock run on, and both variants wait for them alike.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.perf.measure.engines import Engine, engines, run_all
from tightrope.perf.measure.steady_part import half_width

BATCH = 8
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class VariantSpeed:
    """What one variant takes, on one thread."""

    items_per_s: float
    """Of processor time, in batches of 8."""
    latency_ms: float
    """Processor time of one item alone."""
    ratio: float
    """Items a second, as a multiple of the original's."""
    ratio_half_width: float
    """Of the ratio's 95 % interval, over the rounds."""
    load_s: float
    memory_mib: float


def compare_speeds(
    files: dict[str, Path], shapes: dict[str, tuple[int, ...]], seconds: float = 0.6, rounds: int = ROUNDS
) -> dict[str, VariantSpeed]:
    """Return variant → speed, the first of ``files`` being the original; ``shapes`` are the inputs' without their batch."""
    rates: dict[str, list[float]] = {name: [] for name in files}
    single: dict[str, list[float]] = {name: [] for name in files}
    memory: dict[str, float] = {}
    with ExitStack() as stack:
        running = {name: stack.enter_context(engines(path, 1, 1)) for name, path in files.items()}
        for name, path in files.items():
            _rate(running[name], path, shapes, BATCH, 0.1)
        for _ in range(rounds):
            for name, path in files.items():
                rate, memory[name] = _rate(running[name], path, shapes, BATCH, seconds)
                rates[name].append(rate)
                single[name].append(_rate(running[name], path, shapes, 1, seconds / 2)[0])
        loads = {name: found[0].load_s for name, found in running.items()}
    first = np.array(rates[next(iter(files))])
    return {name: _speed(np.array(rates[name]), first, single[name], loads[name], memory[name]) for name in files}


def _speed(rates: FloatArray, first: FloatArray, single: list[float], load_s: float, memory_mib: float) -> VariantSpeed:
    """Return the figures of one variant's rounds beside the original's."""
    ratios = rates / first
    sure, latency_ms = half_width(ratios), 1e3 / float(np.median(single))
    return VariantSpeed(float(np.median(rates)), latency_ms, float(np.median(ratios)), sure, load_s, memory_mib)


def _rate(
    running: list[Engine], path: Path, shapes: dict[str, tuple[int, ...]], batch: int, seconds: float
) -> tuple[float, float]:
    """Return items per second of processor time, and the memory."""
    inputs = [item | {"shape": [batch, *shapes[item["name"]]]} for item in running[0].inputs]
    (answer,), _, _ = run_all(running, {"inputs": inputs, "seed": 1, "seconds": seconds}, path)
    return len(answer["times_s"]) * batch / answer["processor_s"], float(answer["rss_mib"])


def shapes_of(inputs: list[tuple[str, list[Any]]], length: int) -> dict[str, tuple[int, ...]]:
    """Return input → its shape without the batch, every open axis as long as ``length``.

    >>> shapes_of([("ids", ["batch", "tokens"]), ("pixels", [None, 3, 8, 8])], 32)
    {'ids': (32,), 'pixels': (3, 8, 8)}
    """
    return {name: tuple(size if isinstance(size, int) and size > 0 else length for size in shape[1:]) for name, shape in inputs}
