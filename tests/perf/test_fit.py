"""Fits of token engines: known coefficients are found again, the grid is held out honestly, chips' shares are the fitted ones."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.records import ModelVariant
from tightrope.perf.fit.aiconfigurator import ask, grid, package
from tightrope.perf.fit.chip_fit import FACTORS, check_chips, figures_of, loss_of, refit
from tightrope.perf.fit.fit_models import MODELS
from tightrope.perf.fit.fit_table import Fits, as_csv, fit_all, fit_row
from tightrope.perf.fit.processor_fit import check_processors
from tightrope.perf.fit.steps import ServerStep, StepCoefficients, error_of, fit_steps
from tightrope.perf.fitted_profiles import fitted_rows
from tightrope.perf.processors import processors
from tightrope.perf.roofline import kv_tokens
from tightrope.perf.tables import accelerators

GRID = grid(1_000_000, 2048, 256)


@dataclass(frozen=True)
class Known:
    """A step model with known coefficients, in the shape of aiconfigurator's."""

    truth: StepCoefficients

    def _ms(self, tokens: int, cached: int) -> float:
        return 1e3 * float(self.truth.predict((ServerStep(tokens, cached, 1.0),))[0])

    def predict_prefill_latency(self, bs: int, isl: int, prefix: int = 0) -> float:
        """Return the time of such a step in milliseconds."""
        return self._ms(bs * (isl - prefix), bs * prefix)

    def decode_step_latency(self, gen_tokens: int, isl: int, osl: int) -> float:
        """Return the time of such a step in milliseconds."""
        assert osl > 0
        return self._ms(gen_tokens, gen_tokens * isl)

    def mixed_step_latency(self, ctx_tokens: int, gen_tokens: int, isl: int, osl: int) -> float:
        """Return the time of such a step in milliseconds."""
        assert osl > 0
        return self._ms(ctx_tokens + gen_tokens, gen_tokens * isl)


@settings(max_examples=8, deadline=None)
@given(st.floats(1e-3, 2e-2), st.floats(50, 400), st.floats(1e-5, 3e-4), st.floats(1e-9, 3e-7))
def test_known_coefficients_are_found_again(overhead_s: float, knee: float, per_token_s: float, per_cached_s: float) -> None:
    truth = StepCoefficients(overhead_s, knee * per_token_s, per_token_s, per_cached_s)
    steps = ask(Known(truth), GRID)
    found = fit_steps(steps)
    assert error_of(found, steps).worst < 0.02
    assert found.per_token_s == pytest.approx(per_token_s, rel=0.02)
    assert found.overhead_s + found.weights_s == pytest.approx(overhead_s + knee * per_token_s, rel=0.02)


def test_no_coefficient_is_negative_whatever_the_steps_say() -> None:
    steps = tuple(
        ServerStep(tokens, cached, 0.02 - 1e-6 * tokens) for tokens in (1, 8, 64, 512) for cached in (0, 100, 1000, 9000)
    )
    assert min(getattr(fit_steps(steps), name) for name in StepCoefficients.__slots__) >= 0


def test_too_few_steps_are_an_error() -> None:
    with pytest.raises(ValueError, match="got 2 steps"):
        fit_steps((ServerStep(1, 0, 0.01), ServerStep(2, 0, 0.01)))


def test_nothing_that_was_held_out_takes_part_in_the_fit() -> None:
    steps = ask(Known(StepCoefficients(0.004, 0.02, 1e-4, 1e-7)), GRID)
    spoilt = tuple(replace(step, seconds=step.seconds * 7) if step.held_out else step for step in steps)
    assert fit_steps(spoilt) == fit_steps(steps)


def test_held_out_steps_are_between_those_of_the_fit_and_nothing_is_beyond_the_engines_limits() -> None:
    small = grid(20_000, 512, 64)
    assert {step.sequences for step in small if step.held_out and not step.prompt_tokens}.isdisjoint(
        step.sequences for step in small if not step.held_out
    )
    assert all(step.sequences <= 64 for step in small)
    assert all(step.sequences * step.context_tokens + step.prompt_tokens + step.prefix_tokens <= 20_000 for step in small)
    assert 0.3 < sum(step.held_out for step in GRID) / len(GRID) < 0.5


def fake_fits() -> Fits:
    said: list[str] = []

    def compiled(model: object, system: str, mode: str, chips: int) -> Known:
        if system == "l40s":
            msg = "no tables of this chip"
            raise LookupError(msg)
        slow = 2.0 if mode == "fp8" and system == "b200_sxm" else 0.6 if mode == "fp8" else 1.0
        return Known(StepCoefficients(0.004 * slow, 0.02 * slow / chips, 1e-4 / chips, 1e-7 / chips))

    return fit_all(compiled, said.append, frozenset({"l40s", "b200", "h100"}))


def test_what_is_missing_says_why_and_the_table_has_the_same_bytes_again() -> None:
    fits, again = fake_fits(), fake_fits()
    assert as_csv(fits.rows) == as_csv(again.rows)
    assert {row.accelerator for row in fits.rows} == {"b200", "h100"}
    assert any(text.endswith("llama-3.1-8b, bf16: LookupError: no tables of this chip") for text in fits.missing)
    assert any("b200" in text and "the package has it much slower" in text for text in fits.missing)
    assert {row.accelerator for row in fits.rows if row.precision == "fp8" and row.model == "llama-3.1-8b"} == {"h100"}


def test_the_table_that_ships_is_written_as_the_verb_writes_it() -> None:
    text = as_csv(fitted_rows())
    assert len(text) < 120_000
    keys = [(row.accelerator, row.chips, row.model, row.precision) for row in fitted_rows()]
    assert len(set(keys)) == len(keys) > 100
    assert {row.model for row in fitted_rows()} == {model.name for model in MODELS}
    for row in fitted_rows():
        assert 0 <= row.median_error <= row.p95_error <= row.worst_error < 0.7
        assert row.steps_held_out >= 15
        assert "aiconfigurator-core 0.12.0" in row.source
        assert row.p95_error < 0.45 or row.experts


def test_the_verb_makes_the_table_again() -> None:
    pytest.importorskip("aiconfigurator_core", reason="the extra `fit` is 600 MB and not installed")
    chip = next(chip for chip in accelerators() if chip.accelerator == "h100" and chip.board_memory_gib == 80)
    shipped = next(
        row
        for row in fitted_rows()
        if (row.accelerator, row.model, row.precision, row.chips) == ("h100", "llama-3.1-8b", "bf16", 1)
    )
    with package() as compiled:
        model = MODELS[0]
        variant = ModelVariant("m", "m", "token", "bf16", 1.0, 2.0 * model.architecture.parameters, {})
        tokens = kv_tokens(variant, model.architecture, chip, 1)
        steps = ask(compiled(model, "h100_sxm", "bfloat16", 1), grid(tokens, chip.chunk_tokens, chip.max_sequences))
    assert fit_row(chip, model, "bf16", 1, steps) == shipped


def test_fitting_the_shares_again_finds_no_better_ones_far_away() -> None:
    for chip in accelerators():
        rows = tuple(row for row in figures_of(chip) if row.role == "fit")
        if rows and chip.accelerator == "h200":
            again = refit(chip, rows)
            assert loss_of(again, rows) <= loss_of(chip, rows) * 1.05
            assert all(getattr(again, factor) == pytest.approx(getattr(chip, factor), rel=0.15) for factor in FACTORS)


def test_shares_that_no_figure_depends_on_stay() -> None:
    chip = next(chip for chip in accelerators() if chip.accelerator == "l4")
    rows = tuple(row for row in figures_of(chip) if row.role == "fit")
    assert refit(chip, rows).eight_bit_efficiency == chip.eight_bit_efficiency


def test_every_chip_says_its_error_on_what_was_held_out_or_that_there_is_none() -> None:
    found = check_chips(frozenset({"t4", "a10g", "tpu-v5e"}))
    by_name = {item.accelerator: item for item in found}
    assert by_name["t4"].median_error is None
    assert by_name["t4"].held_out == 0
    for name in ("a10g", "tpu-v5e"):
        assert by_name[name].held_out >= 2
        assert by_name[name].worst_error is not None
        assert by_name[name].worst_error <= by_name[name].error_band
        assert by_name[name].beyond_band == ()


def test_processors_are_within_their_band_of_the_rates_that_were_published_or_listed_as_outside() -> None:
    band = max(row.error_band for row in processors())
    found = check_processors()
    assert {item.role for item in found} == {"fit", "held-out", "outside"}
    for item in found:
        assert (abs(item.error) > band) == (item.role == "outside"), item
