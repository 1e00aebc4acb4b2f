"""Fits the roofline's shares of a chip's data sheet to its published figures, and says how far it is from those that were kept out."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tightrope.perf.calibration import TokenBenchmark, relative_error, token_benchmarks
from tightrope.perf.roofline import PRECISION_MARGIN
from tightrope.perf.tables import Accelerator, accelerators

FACTORS = ("bandwidth_efficiency", "cache_efficiency", "compute_efficiency", "eight_bit_efficiency", "overhead_ms")
LIMITS = {"overhead_ms": (0.2, 12.0)}
SHARE = (0.12, 0.98)
"""A share of a peak rate beyond this is not believed, however well it fits."""
TIE = 1e-6
"""A change that gains less is not made: what the figures do not show stays as it was."""


@dataclass(frozen=True, slots=True)
class ChipFit:
    """One chip: its shares as they are in the table and as a fit has them, and the errors of the table's."""

    accelerator: str
    board_memory_gib: float
    basis: str
    error_band: float
    fitted: int
    held_out: int
    outside: int
    median_error: float | None
    """Of the absolute errors of the figures held out; None where there are none."""
    worst_error: float | None
    beyond_band: tuple[str, ...]
    """Figures held out that lie outside the chip's band, and are not listed so."""
    table: dict[str, float]
    refitted: dict[str, float]


def figures_of(chip: Accelerator) -> tuple[TokenBenchmark, ...]:
    """Return a chip's published figures."""
    key = (chip.accelerator, chip.board_memory_gib)
    return tuple(row for row in token_benchmarks() if (row.accelerator, row.board_memory_gib) == key)


def loss_of(chip: Accelerator, rows: tuple[TokenBenchmark, ...]) -> float:
    """Return the sum of squared log ratios of published and predicted figures."""
    return sum(math.log1p(relative_error(row, chip)) ** 2 for row in rows)


def with_shares(chip: Accelerator, shares: dict[str, float]) -> Accelerator:
    """Return the chip with other shares."""
    changes: dict[str, Any] = dict(shares)
    return replace(chip, **changes)


def refit(chip: Accelerator, rows: tuple[TokenBenchmark, ...]) -> Accelerator:
    """Return the chip with the shares that fit the figures best: one share after the other, in finer and finer steps.

    A share that no figure depends on stays as it is.
    """
    best, least = chip, loss_of(chip, rows)
    for width in (0.4, 0.2, 0.1, 0.05, 0.02, 0.01):
        for _ in range(12):
            before = least
            for factor in FACTORS:
                low, high = LIMITS.get(factor, SHARE)
                for change in np.linspace(1.0 - width, 1.0 + width, 9):
                    value = float(np.clip(getattr(best, factor) * change, low, high))
                    tried = with_shares(best, {factor: value})
                    loss = loss_of(tried, rows)
                    if loss < least - TIE:
                        best, least = tried, loss
            if before - least < TIE:
                break
    return with_shares(best, {factor: round(getattr(best, factor), 2) for factor in FACTORS})


def check_chip(chip: Accelerator) -> ChipFit:
    """Return a chip's errors, and its shares fitted again."""
    rows = figures_of(chip)
    used = tuple(row for row in rows if row.role == "fit")
    kept = tuple(row for row in rows if row.role == "held-out")
    errors = [abs(relative_error(row, chip)) for row in kept]
    beyond = tuple(
        f"{row.model} {row.precision} {row.metric} {row.value:g}: {relative_error(row, chip):+.0%}"
        for row in kept
        if abs(relative_error(row, chip)) > chip.error_band + PRECISION_MARGIN.get(row.precision, 0.0)
    )
    again = refit(chip, used) if used else chip
    return ChipFit(
        chip.accelerator,
        chip.board_memory_gib,
        chip.basis,
        chip.error_band,
        len(used),
        len(kept),
        sum(row.role == "outside" for row in rows),
        round(float(np.median(errors)), 3) if errors else None,
        round(max(errors), 3) if errors else None,
        beyond,
        {factor: getattr(chip, factor) for factor in FACTORS},
        {factor: getattr(again, factor) for factor in FACTORS},
    )


def check_chips(names: frozenset[str] = frozenset()) -> tuple[ChipFit, ...]:
    """Return every chip of the table, or those named."""
    return tuple(check_chip(chip) for chip in accelerators() if not names or chip.accelerator in names)
