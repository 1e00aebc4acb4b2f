"""Token engines fitted to a performance database (``data/fitted_steps.csv``), found by a model's sizes and its precision.

The rows come from aiconfigurator-core's step model, which puts NVIDIA's measurements of kernels together; ``tightrope perf fit
aiconfigurator`` makes them again. A model of other sizes takes the nearest row, scaled, where it is near: its weights and its
arithmetic by the parameters, its KV cache by the bytes of a token.
"""

import math
from dataclasses import dataclass
from functools import cache

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import Architecture, ModelVariant, Profile, Provenance, TokenEngine
from tightrope.perf.fit.fit_table import FittedRow
from tightrope.perf.roofline import ENGINE_START_S, MIN_KV_TOKENS, chip_for, kv_bytes_per_token, kv_tokens, splits, spread
from tightrope.perf.tables import Accelerator, read_table

ROW_OF = {"fp16": "bf16", "bf16": "bf16", "fp8": "fp8"}
"""Precision of a variant → of the rows that hold for it."""
SAME_SIZE = 0.03
"""Publishers count parameters with and without embeddings: within this fraction a model of the same shape is the same model."""
NEAREST = 1.5
"""A model of other sizes is scaled from a row of at most this many times more or fewer parameters."""
STEP_MODEL_ERROR = 0.20
"""What the step model itself is off, beside the fit. Of 255 times per output token that were measured under vLLM on H100, H200 and
B200 (shipped with aiconfigurator-core 0.12.0, not used in the fit) nine tenths lie within 0.23 of the fitted engines, a half within
0.11; that includes the error of the fit."""
SCALED_ERROR = 0.15
"""Added for a scaled row. Three models of 7 to 8 billion parameters, each scaled to the others: the median step is 0.16 off at most
on nine tenths of the engines."""


@cache
def fitted_rows() -> tuple[FittedRow, ...]:
    """Return every row of ``data/fitted_steps.csv``."""
    return read_table("fitted_steps", FittedRow)


def sizes_of(row: FittedRow) -> Architecture:
    """Return the sizes of a row's model."""
    return Architecture(row.parameters, row.layers, row.kv_heads, row.head_dim)


def _same(row: FittedRow, sizes: Architecture) -> bool:
    """Return whether a row is of a model of these sizes."""
    shape = (row.layers, row.kv_heads, row.head_dim) == (sizes.layers, sizes.kv_heads, sizes.head_dim)
    return shape and abs(row.parameters / sizes.parameters - 1.0) <= SAME_SIZE


def nearest(rows: list[FittedRow], sizes: Architecture) -> FittedRow | None:
    """Return the row of the same model, else the nearest of the dense ones; None where none is near."""
    same = [row for row in rows if _same(row, sizes)]
    gap = {row: abs(math.log(row.parameters / sizes.parameters)) for row in same or rows if same or not row.experts}
    best = min(gap, key=lambda row: (gap[row], row.layers != sizes.layers, row.model), default=None)
    return best if best and gap[best] <= math.log(NEAREST) else None


def engine_of(row: FittedRow, variant: ModelVariant, sizes: Architecture, chip: Accelerator) -> TokenEngine:
    """Return a row's engine for a model of these sizes on the row's number of chips."""
    same = _same(row, sizes)
    by_parameters = 1.0 if same else sizes.parameters / row.parameters
    by_cache = 1.0 if same else kv_bytes_per_token(sizes) / kv_bytes_per_token(sizes_of(row))
    return TokenEngine(
        overhead_s=row.overhead_ms / 1e3 * by_parameters,
        weights_s=row.weights_ms / 1e3 * by_parameters,
        per_token_s=row.per_token_us / 1e6 * by_parameters,
        per_cached_token_s=row.per_cached_token_ns / 1e9 * by_cache,
        kv_capacity_tokens=kv_tokens(variant, sizes, chip, row.chips),
        max_sequences=chip.max_sequences,
        chunk_tokens=chip.chunk_tokens,
        load_s=ENGINE_START_S + variant.size_bytes / (chip.load_gb_per_s * 1e9),
    )


def _provenance(row: FittedRow, variant: ModelVariant, sizes: Architecture) -> Provenance:
    """Return where a row comes from, how well it fits, and whether it was scaled."""
    band = STEP_MODEL_ERROR + row.p95_error + (0.0 if _same(row, sizes) else SCALED_ERROR)
    notes = [f"fitted to {row.steps_fitted} steps, {row.p95_error:.0%} off at most on 95 % of {row.steps_held_out} held out"]
    if not _same(row, sizes):
        notes.append(f"scaled from {row.model} by parameters and KV cache")
    if row.experts:
        notes.append("a mixture of experts reads more weights as the batch grows, which this engine does not follow")
    if row.chips > 1:
        notes.append(f"one model over {row.chips} chips")
    notes.append(f"{variant.precision} weights, fp16 KV cache")
    return Provenance("model", f"{row.source}: {row.model} on {row.accelerator}", round(min(band, 1.0), 3), "; ".join(notes))


@dataclass(frozen=True, slots=True)
class FittedProfiles:
    """The profile source for token models on the accelerators that a performance database covers."""

    name: str = "fitted"
    rank: int = 25

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return one engine per smallest group of chips that has a row, the wider ones in it, or why there is none."""
        answer = _engines(variant, machine)
        if isinstance(answer, str):
            return Refusal(f"{variant.name} on {machine.name}", f"fitted: {answer}")
        return spread(variant, machine, answer)


def _engines(variant: ModelVariant, machine: MachineType) -> dict[int, tuple[TokenEngine, Provenance]] | str:
    """Return the engines by their number of chips, else why there is none."""
    chip = chip_for(variant, machine)
    if isinstance(chip, str) or variant.architecture is None:
        return chip if isinstance(chip, str) else "needs the model's architecture"
    here = [row for row in fitted_rows() if (row.accelerator, row.board_memory_gib) == (chip.accelerator, chip.board_memory_gib)]
    if not here:
        known = ", ".join(sorted({row.accelerator for row in fitted_rows()}))
        return f"no step model of {chip.accelerator} of {chip.board_memory_gib:g} GiB; there is one of {known}"
    fit = [row for row in here if row.precision == ROW_OF.get(variant.precision)]
    if not fit:
        return f"{chip.accelerator} is fitted for {', '.join(sorted({row.precision for row in here}))}; got {variant.precision}"
    near = [nearest([row for row in fit if row.chips == chips], variant.architecture) for chips in splits(machine)]
    rows = [row for row in near if row and kv_tokens(variant, variant.architecture, chip, row.chips) >= MIN_KV_TOKENS]
    if not rows:
        known = ", ".join(dict.fromkeys(f"{row.model} ({row.parameters / 1e9:.3g} billion)" for row in fit))
        return f"no fitted model is near {variant.architecture.parameters / 1e9:.3g} billion parameters and fits; fitted: {known}"
    return {
        row.chips: (
            engine_of(row, variant, variant.architecture, chip),
            _provenance(row, variant, variant.architecture),
        )
        for row in rows
    }


PROFILES = FittedProfiles()
