"""The stated error bands cover the published figures, and the factors are the fitted ones."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tightrope.perf.calibration import TokenBenchmark, relative_error, token_benchmarks
from tightrope.perf.roofline import PRECISION_MARGIN
from tightrope.perf.tables import Accelerator, accelerators


def rows_of(chip: Accelerator, role: str | None = None) -> list[TokenBenchmark]:
    same = [
        row for row in token_benchmarks() if (row.accelerator, row.board_memory_gib) == (chip.accelerator, chip.board_memory_gib)
    ]
    return [row for row in same if role in {None, row.role}]


def loss(chip: Accelerator) -> float:
    return sum(math.log1p(relative_error(row, chip)) ** 2 for row in rows_of(chip, "fit"))


HIGHEST_SHARE = 0.98
FITTED = [chip for chip in accelerators() if rows_of(chip, "fit")]


def band_of(row: TokenBenchmark, chip: Accelerator) -> float:
    return chip.error_band + PRECISION_MARGIN.get(row.precision, 0.0)


@pytest.mark.parametrize(
    "row",
    token_benchmarks(),
    ids=lambda row: f"{row.accelerator}-{row.precision}-{row.metric}-{row.sequences}-{row.input_tokens}-{row.value:g}",
)
def test_a_published_figure_lies_within_the_band_or_is_listed_as_outside(row: TokenBenchmark) -> None:
    chip = next(chip for chip in accelerators() if row in rows_of(chip))
    assert (abs(relative_error(row, chip)) > band_of(row, chip)) == (row.role == "outside")


@pytest.mark.parametrize("chip", FITTED, ids=lambda chip: chip.accelerator)
@pytest.mark.parametrize("factor", ["bandwidth_efficiency", "compute_efficiency"])
@pytest.mark.parametrize("change", [0.8, 1.2])
def test_the_factors_are_the_fitted_ones(chip: Accelerator, factor: str, change: float) -> None:
    share = getattr(chip, factor) * change
    if share > HIGHEST_SHARE and getattr(chip, factor) == HIGHEST_SHARE:
        pytest.skip("the whole of the data sheet's rate: there is no more")
    assert loss(replace(chip, **{factor: share})) > loss(chip)


@pytest.mark.parametrize("name", ["l40s", "h100", "h200", "b200", "rtx-pro-6000"])
@pytest.mark.parametrize("change", [0.8, 1.2])
def test_the_8_bit_factor_is_the_fitted_one_where_fp8_was_published(name: str, change: float) -> None:
    chip = next(chip for chip in FITTED if chip.accelerator == name)
    assert loss(replace(chip, eight_bit_efficiency=chip.eight_bit_efficiency * change)) > loss(chip)


def test_held_out_serving_rates_of_the_large_chips_are_within_15_percent() -> None:
    chips = {(chip.accelerator, chip.board_memory_gib): chip for chip in accelerators()}
    large = {"l40s", "a100", "h100", "h200"}
    every = [row for row in token_benchmarks() if row.accelerator in large]
    rates = [row for row in every if row.metric == "requests_per_s" and row.role == "held-out"]
    assert len(rates) >= 10
    for row in rates:
        assert abs(relative_error(row, chips[row.accelerator, row.board_memory_gib])) <= 0.15, row


def test_every_row_names_its_source_and_belongs_to_a_chip() -> None:
    known = {(chip.accelerator, chip.board_memory_gib) for chip in accelerators()}
    for row in token_benchmarks():
        assert (row.accelerator, row.board_memory_gib) in known
        assert row.source


def test_only_chips_with_a_fit_or_its_sibling_call_themselves_calibrated() -> None:
    fitted = {chip.accelerator for chip in FITTED}
    assert {chip.accelerator for chip in accelerators() if chip.basis == "calibrated"} == fitted


def test_the_documentation_states_the_bands_of_the_table() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "explanation", "profiles.md").read_text(encoding="utf-8")
    for chip in accelerators():
        assert f"| {chip.accelerator} | ±{100 * chip.error_band:.0f} % |" in page
