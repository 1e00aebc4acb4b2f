"""Compares the roofline with published token rates (``data/token_benchmarks.csv``): how far each chip's factors may be trusted.

The factors of ``data/accelerators.csv`` were fitted to the rows whose role is ``fit`` (least squares of log ratios on a grid);
rows with the role ``held-out`` were not in that sum, and the chip's ``error_band`` was set afterwards so that it covers them.
Rows with the role ``outside`` contradict the model: they lie outside the band and are kept for that reason.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal

from tightrope.base.records import Architecture, ModelVariant, TokenEngine
from tightrope.perf.roofline import token_engine
from tightrope.perf.steady_state import saturate, steady_state, step_s
from tightrope.perf.tables import Accelerator, read_table


@dataclass(frozen=True, slots=True)
class TokenBenchmark:
    """One published figure: a step time in milliseconds, or the requests per second of one engine."""

    accelerator: str
    board_memory_gib: float
    accelerators: int
    model: str
    parameters: float
    layers: int
    kv_heads: int
    head_dim: int
    size_bytes: float
    precision: str
    metric: Literal["decode_step_ms", "prefill_ms", "requests_per_s"]
    sequences: int | None
    """Sequences in flight; None where the source used as many as were best."""
    input_tokens: int
    """Prompt length; for a decode step, the tokens cached per sequence."""
    output_tokens: int | None
    value: float
    role: Literal["fit", "held-out", "outside"]
    kind: Literal["measured", "model"]
    source: str
    seen: date


@cache
def token_benchmarks() -> tuple[TokenBenchmark, ...]:
    """Return every row of ``data/token_benchmarks.csv``."""
    return read_table("token_benchmarks", TokenBenchmark)


def engine_of(row: TokenBenchmark, chip: Accelerator) -> TokenEngine:
    """Return the roofline's engine for the model and the chips of one benchmark."""
    architecture = Architecture(row.parameters, row.layers, row.kv_heads, row.head_dim)
    variant = ModelVariant(row.model, row.model, "token", row.precision, 1.0, row.size_bytes, {}, architecture)
    return token_engine(variant, architecture, chip, row.accelerators)


def predict(row: TokenBenchmark, chip: Accelerator) -> float:
    """Return what the roofline says in place of one published figure, in the figure's unit."""
    engine = engine_of(row, chip)
    sequences = row.sequences or 1
    if row.metric == "decode_step_ms":
        return 1e3 * step_s(engine, sequences, sequences * row.input_tokens)
    if row.metric == "prefill_ms":
        full, rest = divmod(row.input_tokens, engine.chunk_tokens)
        return 1e3 * (full * step_s(engine, engine.chunk_tokens, 0) + (step_s(engine, rest, 0) if rest else 0.0))
    output_tokens = row.output_tokens or 1
    if row.sequences:
        return steady_state(engine, row.input_tokens, output_tokens, row.sequences).requests_per_s
    best = saturate(engine, row.input_tokens, output_tokens)
    return best.requests_per_s if best else 0.0


def relative_error(row: TokenBenchmark, chip: Accelerator) -> float:
    """Return published / predicted − 1: the place of the published figure in the band around ours."""
    return row.value / predict(row, chip) - 1.0
