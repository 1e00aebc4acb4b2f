"""Fitted engines: the same model takes its row, a near one is scaled and says so, all others are refused."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import Architecture, ModelVariant, Profile, TokenEngine
from tightrope.clouds.book import load_price_book
from tightrope.perf.fitted_profiles import PROFILES, SCALED_ERROR, STEP_MODEL_ERROR, engine_of, fitted_rows, nearest, sizes_of
from tightrope.perf.profile_search import find_profile
from tightrope.perf.roofline import PROFILES as ROOFLINE
from tightrope.perf.steady_state import step_s
from tightrope.perf.tables import accelerators

LLAMA_8B = Architecture(8.03e9, 32, 8, 128)
LLAMA_70B = Architecture(70.55e9, 80, 8, 128)


def profile_of(answer: Profile | Refusal) -> tuple[Profile, TokenEngine]:
    assert isinstance(answer, Profile), answer
    assert isinstance(answer.engine, TokenEngine)
    return answer, answer.engine


def test_the_same_model_takes_its_row(machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]) -> None:
    row = next(
        row
        for row in fitted_rows()
        if (row.accelerator, row.model, row.precision, row.chips) == ("h100", "llama-3.1-8b", "bf16", 1)
    )
    for precision in ("bf16", "fp16"):
        profile, engine = profile_of(PROFILES.profile(token_variant(precision, LLAMA_8B), machine("p5.4xlarge", "h100", 1, 80)))
        assert engine.weights_s == pytest.approx(row.weights_ms / 1e3)
        assert engine.per_token_s == pytest.approx(row.per_token_us / 1e6)
        assert profile.provenance.error_band == pytest.approx(STEP_MODEL_ERROR + row.p95_error)
        assert "scaled" not in profile.provenance.note
        assert "aiconfigurator-core 0.12.0" in profile.provenance.source


def test_a_near_model_is_scaled_with_a_wider_band_and_says_so(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    host = machine("p5.4xlarge", "h100", 1, 80)
    near = Architecture(9.0e9, 40, 4, 128)
    profile, engine = profile_of(PROFILES.profile(token_variant("bf16", near), host))
    row = nearest([row for row in fitted_rows() if (row.accelerator, row.precision, row.chips) == ("h100", "bf16", 1)], near)
    assert row is not None
    assert engine.per_token_s == pytest.approx(row.per_token_us / 1e6 * 9.0e9 / row.parameters)
    assert engine.per_cached_token_s == pytest.approx(row.per_cached_token_ns / 1e9 * (40 * 4) / (row.layers * row.kv_heads))
    assert f"scaled from {row.model}" in profile.provenance.note
    assert profile.provenance.error_band == pytest.approx(STEP_MODEL_ERROR + row.p95_error + SCALED_ERROR)


def test_models_of_7_to_8_billion_parameters_predict_one_another_as_the_band_says() -> None:
    chips = {(chip.accelerator, chip.board_memory_gib): chip for chip in accelerators()}
    trio = [row for row in fitted_rows() if row.model in {"llama-3.1-8b", "qwen2.5-7b", "qwen3-8b"}]
    medians = []
    for one, other in permutations(trio, 2):
        if (one.accelerator, one.chips, one.precision) == (other.accelerator, other.chips, other.precision):
            sizes = sizes_of(other)
            variant = ModelVariant("m", "m", "token", "bf16", 1.0, 2 * sizes.parameters, {}, sizes)
            chip = chips[one.accelerator, one.board_memory_gib]
            scaled, own = engine_of(one, variant, sizes, chip), engine_of(other, variant, sizes, chip)
            steps = [(tokens, cached) for tokens in (1, 8, 32, 128, 512, 2048) for cached in (0, 8192, 65536)]
            medians.append(np.median([abs(step_s(scaled, *step) / step_s(own, *step) - 1) for step in steps]))
    assert len(medians) > 100
    assert np.quantile(medians, 0.9) <= SCALED_ERROR + 0.01


@pytest.mark.parametrize(
    ("accelerator", "memory_gib", "sizes", "precision", "reason"),
    [
        ("l4", 24, LLAMA_8B, "bf16", "no step model of l4 of 24 GiB"),
        ("a100", 40, LLAMA_8B, "bf16", "no step model of a100 of 40 GiB"),
        ("h100", 80, LLAMA_8B, "int8", "h100 is fitted for bf16, fp8; got int8"),
        ("h100", 80, Architecture(13.0e9, 40, 40, 128), "bf16", "no fitted model is near 13 billion"),
        ("h100", 80, LLAMA_70B, "bf16", "no fitted model is near 70.5 billion parameters and fits"),
        ("", 0, LLAMA_8B, "bf16", "the machine has no accelerator"),
    ],
)
def test_what_is_not_known_is_refused(
    machine: Callable[..., MachineType],
    token_variant: Callable[..., ModelVariant],
    accelerator: str,
    memory_gib: float,
    sizes: Architecture,
    precision: str,
    reason: str,
) -> None:
    answer = PROFILES.profile(
        token_variant(precision, sizes), machine("x.large", accelerator, int(bool(accelerator)), memory_gib)
    )
    assert isinstance(answer, Refusal)
    assert reason in answer.reason


def test_a_dense_model_never_takes_the_row_of_a_mixture_of_experts() -> None:
    rows = [row for row in fitted_rows() if (row.accelerator, row.precision, row.chips) == ("b200", "bf16", 1)]
    found = nearest(rows, Architecture(46.7e9, 60, 8, 128))
    assert found is not None
    assert not found.experts
    own = nearest(rows, Architecture(46.7e9, 32, 8, 128))
    assert own is not None
    assert own.model == "mixtral-8x7b"


def test_more_chips_serve_one_engine_faster_and_the_wider_ones_are_offered(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    profile, engine = profile_of(PROFILES.profile(token_variant("bf16", LLAMA_70B), machine("p5.48xlarge", "h100", 8, 80)))
    assert profile.replicas_per_machine == 4
    assert [(other.replicas_per_machine, other.setting) for other in profile.wider] == [
        (2, "4 chips an engine"),
        (1, "8 chips an engine"),
    ]
    _, wider = profile_of(profile.wider[0])
    assert step_s(wider, 16, 20_000) < step_s(engine, 16, 20_000)
    assert wider.kv_capacity_tokens > 2 * engine.kv_capacity_tokens


def test_fitted_engines_agree_with_the_roofline_within_their_bands(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    for name, memory_gib in (("a100", 80), ("h100", 80), ("h200", 141), ("b200", 180), ("l40s", 48)):
        host = machine("x.large", name, 1, memory_gib)
        fitted, one = profile_of(PROFILES.profile(token_variant("bf16", LLAMA_8B), host))
        modelled, other = profile_of(ROOFLINE.profile(token_variant("bf16", LLAMA_8B), host))
        band = fitted.provenance.error_band + modelled.provenance.error_band
        for step in ((1, 1000), (32, 30_000), (512, 0), (1024, 30_000)):
            assert abs(step_s(one, *step) / step_s(other, *step) - 1) < band, (name, step)
        assert one.kv_capacity_tokens == other.kv_capacity_tokens


def test_every_machine_of_the_book_with_these_chips_serves_a_model_now(token_variant: Callable[..., ModelVariant]) -> None:
    nvidia = {"h200", "b200", "b300", "gb200", "h100-nvl", "h100-pcie", "gh200", "a10", "a6000", "rtx-pro-6000"}
    chips = nvidia | {"tpu-v5e", "tpu-v6e"}
    small = Architecture(2.03e9, 28, 8, 128)
    served = set()
    for host in load_price_book().machines():
        if host.accelerator in chips:
            answer = find_profile(token_variant("bf16", small), host)
            assert isinstance(answer, Profile), (host.name, answer)
            served.add(host.accelerator)
    assert served == chips


def test_processors_with_matrix_units_serve_small_models_and_others_are_refused(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    half, whole, two = (replace(machine(f"c7i.{vcpu}", vcpu=vcpu), memory_gib=2.0 * vcpu) for vcpu in (48, 96, 192))
    profiles = [profile_of(find_profile(token_variant("int8", LLAMA_8B), host)) for host in (half, whole, two)]
    assert [profile.replicas_per_machine for profile, _ in profiles] == [1, 1, 2]
    (_, smaller), (_, larger), (_, twin) = profiles
    assert smaller.weights_s == pytest.approx(2 * larger.weights_s)
    assert twin == larger
    assert "extrapolated" in profiles[0][0].provenance.note
    assert profiles[0][0].provenance.error_band >= 0.6
    for host, reason in (
        (machine("c6i.24xlarge", vcpu=96), "c6i no figures"),
        (replace(machine("c7i.large", vcpu=2), memory_gib=4.0), "does not fit"),
    ):
        answer = find_profile(token_variant("int8", LLAMA_8B), host)
        assert isinstance(answer, tuple)
        assert any(reason in refusal.reason for refusal in answer)
