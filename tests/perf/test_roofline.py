"""Token engines from first principles: the arithmetic, what fits, and what is refused with which reason."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import Architecture, ModelVariant, Profile, TokenEngine
from tightrope.base.units import GIB
from tightrope.perf.roofline import MIN_KV_TOKENS, PROFILES, arithmetic_per_s, kv_bytes_per_token, token_engine
from tightrope.perf.tables import Accelerator, accelerators, find_accelerator

SMALL = Architecture(parameters=1.0e9, layers=16, kv_heads=8, head_dim=64)


def chip(name: str) -> Accelerator:
    return next(row for row in accelerators() if row.accelerator == name)


def engine_of(profile: Profile | Refusal) -> TokenEngine:
    assert isinstance(profile, Profile), profile
    assert isinstance(profile.engine, TokenEngine)
    return profile.engine


def test_the_guides_assistant_fits_a_t4_in_16_bits_with_room_for_a_few_conversations(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    engine = engine_of(PROFILES.profile(token_variant("fp16"), machine("g4dn.xlarge", "t4", 1, 16)))
    assert MIN_KV_TOKENS < engine.kv_capacity_tokens < 12_000
    assert engine.weights_s == pytest.approx(14.0e9 / (320e9 * 0.69), rel=1e-6)


def test_int8_halves_the_weights_and_frees_their_memory_for_the_kv_cache(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    host = machine("g6.xlarge", "l4", 1, 22)
    half, full = (engine_of(PROFILES.profile(token_variant(name), host)) for name in ("int8", "fp16"))
    assert half.weights_s == pytest.approx(full.weights_s / 2)
    freed = (half.kv_capacity_tokens - full.kv_capacity_tokens) * kv_bytes_per_token(token_variant().architecture)
    assert freed == pytest.approx(7.0e9, rel=1e-4)
    assert half.per_token_s < full.per_token_s
    assert half.load_s < full.load_s


def test_int4_multiplies_in_16_bits(machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]) -> None:
    host = machine("g6.xlarge", "l4", 1, 22)
    packed, full = (engine_of(PROFILES.profile(token_variant(name), host)) for name in ("int4", "fp16"))
    assert packed.per_token_s == full.per_token_s
    assert packed.weights_s == pytest.approx(full.weights_s / 4)


def test_int8_is_a_storage_format_on_inferentia2() -> None:
    assert arithmetic_per_s(chip("inferentia2"), "int8") == arithmetic_per_s(chip("inferentia2"), "fp16")


@pytest.mark.parametrize(
    ("accelerator", "memory_gib", "precision", "reason"),
    [
        ("t4", 16, "bf16", "t4 does not run bf16"),
        ("t4", 16, "fp8", "t4 does not run fp8"),
        ("l4", 22, "fp32", "l4 does not run fp32"),
        ("mi300x", 192, "fp16", "no figures for 'mi300x'"),
        ("tpu-v5e", 16, "fp16", "tpu-v5e does not run fp16"),
        ("a100", 20, "fp16", "no figures for 'a100' of 20 GiB"),
    ],
)
def test_a_chip_that_can_not_run_it_is_refused_by_name(
    machine: Callable[..., MachineType],
    token_variant: Callable[..., ModelVariant],
    accelerator: str,
    memory_gib: float,
    precision: str,
    reason: str,
) -> None:
    answer = PROFILES.profile(token_variant(precision), machine("x.large", accelerator, 1, memory_gib))
    assert isinstance(answer, Refusal)
    assert reason in answer.reason


def test_a_model_without_architecture_or_a_machine_without_accelerator_is_refused(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant], request_variant: Callable[..., ModelVariant]
) -> None:
    unknown = replace(token_variant(), architecture=None)
    for variant, host in ((unknown, machine("g6.xlarge", "l4", 1, 22)), (request_variant(), machine("g6.xlarge", "l4", 1, 22))):
        assert "architecture" in PROFILES.profile(variant, host).reason
    assert "no accelerator" in PROFILES.profile(token_variant(), machine("c6i.large")).reason


def test_too_large_a_model_says_what_it_needs_and_what_there_is(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    large = Architecture(parameters=70.0e9, layers=80, kv_heads=8, head_dim=128)
    answer = PROFILES.profile(token_variant("fp16", large), machine("g4dn.xlarge", "t4", 1, 16))
    assert isinstance(answer, Refusal)
    needed_gib = (140.0e9 + MIN_KV_TOKENS * kv_bytes_per_token(large)) / GIB
    assert f"need {needed_gib:.1f} GiB" in answer.reason
    assert "1 × t4" in answer.reason


def test_a_machine_with_more_chips_runs_more_engines_or_one_split_model(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    host = machine("g5.12xlarge", "a10g", 4, 24)
    small = PROFILES.profile(token_variant("fp16", SMALL), host)
    assert isinstance(small, Profile)
    assert small.replicas_per_machine == 4
    middle = Architecture(parameters=13.0e9, layers=40, kv_heads=8, head_dim=128)
    split = PROFILES.profile(token_variant("fp16", middle), host)
    assert isinstance(split, Profile)
    assert split.replicas_per_machine == 2
    assert "over 2 chips" in split.provenance.note
    alone = token_engine(token_variant("fp16", middle), middle, chip("a10g"))
    assert alone.weights_s / 2 < engine_of(split).weights_s < alone.weights_s


def test_a_machine_with_no_whole_chip_is_refused(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    assert isinstance(PROFILES.profile(token_variant("int8"), machine("g6f.large", "l4", 0, 24)), Refusal)


def test_extrapolated_chips_say_so_and_have_the_wider_bands() -> None:
    guessed = {row.accelerator: row.error_band for row in accelerators() if row.basis == "extrapolated"}
    assert set(guessed) == {
        *("t4", "a10g", "a10", "a6000", "h100-nvl", "h100-pcie", "gh200", "inferentia2", "tpu-v5e", "tpu-v6e"),
    }
    steps_and_rates = [chip(name).error_band for name in ("l4", "l40s", "a100", "h100", "h200")]
    assert min(guessed.values()) > max(steps_and_rates)


def test_quantised_kernels_widen_the_band_of_their_chip(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    host = machine("g6.xlarge", "l4", 1, 22)
    bands = [PROFILES.profile(token_variant(name), host).provenance.error_band for name in ("fp16", "int8", "int4")]
    assert bands == sorted(bands)
    assert len(set(bands)) == 3


def test_two_boards_of_one_name_are_told_apart_by_memory(machine: Callable[..., MachineType]) -> None:
    assert find_accelerator(machine("p4d.24xlarge", "a100", 8, 40)).memory_bandwidth_gb_per_s == 1555
    assert find_accelerator(machine("p4de.24xlarge", "a100-80gb", 8, 80)).memory_bandwidth_gb_per_s == 2039
    assert find_accelerator(machine("p4x.24xlarge", "a100", 8, 60)) is None


def test_every_chips_rates_are_physically_possible() -> None:
    for row in accelerators():
        for share in (row.bandwidth_efficiency, row.cache_efficiency, row.compute_efficiency, row.eight_bit_efficiency):
            assert 0.1 < share < 1.0, row
        assert row.visible_memory_gib <= row.board_memory_gib
        assert row.int8_tops is None or row.int8_tops >= row.fp16_tflops
        assert row.source
        assert row.calibration


@given(st.floats(1e8, 4e11), st.integers(1, 128), st.sampled_from([1, 2, 4, 8, 32]), st.sampled_from([64, 128]))
def test_whatever_the_model_the_answer_is_an_engine_that_works_or_a_refusal(
    parameters: float, layers: int, kv_heads: int, head_dim: int
) -> None:
    architecture = Architecture(parameters, layers, kv_heads, head_dim)
    variant = ModelVariant("m/fp16", "m", "token", "fp16", 1.0, parameters * 2, {}, architecture)
    for row in accelerators():
        engine = token_engine(variant, architecture, row)
        assert engine.weights_s > 0
        assert engine.per_token_s > 0
        assert engine.per_cached_token_s > 0
        fits = engine.kv_capacity_tokens > 0
        budget = row.visible_memory_gib * row.memory_utilisation - row.activation_reserve_gib
        assert fits == (budget * GIB - variant.size_bytes >= kv_bytes_per_token(architecture))


def test_a_machine_of_four_chips_may_run_wider_engines_too(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    found = PROFILES.profile(token_variant("fp16"), machine("g6.12xlarge", "l4", 4, 22))
    assert isinstance(found, Profile)
    assert found.replicas_per_machine == 4
    assert [(other.replicas_per_machine, other.setting) for other in found.wider] == [
        (2, "2 chips an engine"),
        (1, "4 chips an engine"),
    ]
    for chips, other in zip((2, 4), found.wider, strict=True):
        speed = chips * chip("l4").tensor_parallel_efficiency
        assert engine_of(other).per_token_s == pytest.approx(engine_of(found).per_token_s / speed)
        assert engine_of(other).kv_capacity_tokens > chips * engine_of(found).kv_capacity_tokens
