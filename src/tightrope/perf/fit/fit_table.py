"""The fitted steps as a table that ships: one row for each chip, model, precision and number of chips."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields

from tightrope.base.records import ModelVariant
from tightrope.perf.fit.aiconfigurator import MODES, SYSTEMS, VERSION, Compile, ask, grid
from tightrope.perf.fit.fit_models import MODELS, FitModel
from tightrope.perf.fit.steps import FitError, ServerStep, StepCoefficients, error_of, fit_steps
from tightrope.perf.roofline import MIN_KV_TOKENS, kv_tokens
from tightrope.perf.tables import Accelerator, accelerators

CHIPS = (1, 2, 4, 8)
SYSTEM_NAMES = tuple(chip for chip, _ in SYSTEMS)
BYTES = {"bf16": 2.0, "fp8": 1.0}
MUCH_SLOWER = 1.25
"""Small steps are a little slower in fp8, which quantises its activations; by more than this a kernel is missing."""
SOURCE = f"aiconfigurator-core {VERSION} (NVIDIA, Apache-2.0), vLLM step model"


@dataclass(frozen=True, slots=True)
class FittedRow:
    """Four coefficients of one engine, and how far they are from the step model on sizes that were held out."""

    accelerator: str
    board_memory_gib: float
    chips: int
    model: str
    parameters: float
    layers: int
    kv_heads: int
    head_dim: int
    experts: bool
    precision: str
    overhead_ms: float
    weights_ms: float
    per_token_us: float
    per_cached_token_ns: float
    steps_fitted: int
    steps_held_out: int
    median_error: float
    p95_error: float
    worst_error: float
    source: str


@dataclass(frozen=True, slots=True)
class Fits:
    """What came out: the rows, and why others are missing."""

    rows: tuple[FittedRow, ...]
    missing: tuple[str, ...]


def fit_all(compiled: Compile, say: Callable[[str], None], names: frozenset[str] = frozenset(SYSTEM_NAMES)) -> Fits:
    """Return a row for every chip of ``names``, model, precision and split that fits its memory and that the step model knows."""
    rows: list[FittedRow] = []
    missing: list[str] = []
    for chip in accelerators():
        if (chip.accelerator, chip.board_memory_gib) not in SYSTEMS or chip.accelerator not in names:
            continue
        for model, precision, chips, tokens in _engines(chip):
            name = f"{chips} × {chip.accelerator}, {model.name}, {precision}"
            say(name)
            system = SYSTEMS[chip.accelerator, chip.board_memory_gib]
            try:
                steps = ask(compiled(model, system, MODES[precision], chips), grid(tokens, chip.chunk_tokens, chip.max_sequences))
                rows.append(fit_row(chip, model, precision, chips, steps))
            except Exception as error:  # noqa: BLE001 - the package raises many kinds; each is reported, none is hidden
                missing.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}")
    return _no_slower_in_8_bits(Fits(tuple(rows), tuple(missing)))


def _engines(chip: Accelerator) -> Iterator[tuple[FitModel, str, int, int]]:
    """Yield model, precision, chips and KV capacity of what fits the memory of up to eight chips."""
    for model in MODELS:
        for precision, size in BYTES.items():
            variant = ModelVariant(model.name, model.name, "token", precision, 1.0, size * model.architecture.parameters, {})
            for chips in CHIPS:
                tokens = kv_tokens(variant, model.architecture, chip, chips)
                if precision in chip.precisions.split() and tokens >= MIN_KV_TOKENS:
                    yield model, precision, chips, tokens


def fit_row(chip: Accelerator, model: FitModel, precision: str, chips: int, steps: tuple[ServerStep, ...]) -> FittedRow:
    """Return the row of one fit, its figures rounded to what they are worth; the error is that of the rounded figures."""
    fitted = fit_steps(steps)
    overhead, weights, token, cached = (
        float(f"{value:.4g}")
        for value in (
            1e3 * fitted.overhead_s,
            1e3 * fitted.weights_s,
            1e6 * fitted.per_token_s,
            1e9 * fitted.per_cached_token_s,
        )
    )
    held_out = tuple(step for step in steps if step.held_out)
    error: FitError = error_of(StepCoefficients(overhead / 1e3, weights / 1e3, token / 1e6, cached / 1e9), held_out)
    sizes = model.architecture
    return FittedRow(
        accelerator=chip.accelerator,
        board_memory_gib=chip.board_memory_gib,
        chips=chips,
        model=model.name,
        parameters=sizes.parameters,
        layers=sizes.layers,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        experts=model.experts,
        precision=precision,
        overhead_ms=overhead,
        weights_ms=weights,
        per_token_us=token,
        per_cached_token_ns=cached,
        steps_fitted=len(steps) - len(held_out),
        steps_held_out=len(held_out),
        median_error=round(error.median, 3),
        p95_error=round(error.p95, 3),
        worst_error=round(error.worst, 3),
        source=SOURCE,
    )


def _no_slower_in_8_bits(fits: Fits) -> Fits:
    """Return the fits without those of a chip and a model in fp8 where that is much slower than bf16: a kernel is missing."""
    alone = {(_key(row), row.chips): row.overhead_ms + row.weights_ms for row in fits.rows if row.precision == "bf16"}
    slow = {
        _key(row)
        for row in fits.rows
        if row.precision == "fp8"
        and row.overhead_ms + row.weights_ms > MUCH_SLOWER * alone.get((_key(row), row.chips), float("inf"))
    }
    left_out = [row for row in fits.rows if row.precision == "fp8" and _key(row) in slow]
    reasons = (f"{row.chips} × {row.accelerator}, {row.model}, fp8: the package has it much slower than bf16" for row in left_out)
    return Fits(tuple(row for row in fits.rows if row not in left_out), (*fits.missing, *reasons))


def _key(row: FittedRow) -> tuple[str, float, str]:
    """Return the chip and the model of a row."""
    return row.accelerator, row.board_memory_gib, row.model


def as_csv(rows: tuple[FittedRow, ...]) -> str:
    """Return the table as text: the same rows give the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(FittedRow))
    writer.writerows([_cell(value) for value in astuple(row)] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """Return one cell; numbers in their shortest form."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
