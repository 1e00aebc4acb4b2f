"""A measured CPU profile carried to other machines: more engines where it is larger, faster ones where the score is higher."""

from collections.abc import Callable

import pytest

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile, Provenance, RequestEngine
from tightrope.perf.coremark import OTHER_ARCH_BAND, PROFILES, SCALING_BAND, coremarks


def measured(machine: str, band: float = 0.25) -> Profile:
    return Profile("small/int8", machine, RequestEngine((0.010, 0.018), 8.0), 1, Provenance("measured", "own run", band))


def carried(answer: Profile | Refusal) -> tuple[Profile, RequestEngine]:
    assert isinstance(answer, Profile), answer
    assert isinstance(answer.engine, RequestEngine)
    return answer, answer.engine


def test_a_larger_machine_runs_more_engines_not_faster_ones(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    answer, engine = carried(PROFILES.profile(request_variant(declared=(measured("c6i.large"),)), machine("c6i.2xlarge")))
    assert answer.replicas_per_machine == 4
    assert engine.service_s == pytest.approx((0.010, 0.018), rel=0.05)
    assert engine.load_s == 8.0


def test_another_instruction_set_is_scaled_by_the_score_and_trusted_less(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    variant = request_variant(declared=(measured("c6i.large", band=0.10),))
    answer, engine = carried(PROFILES.profile(variant, machine("c7g.large")))
    speed = coremarks()["c7g.large"].coremark_per_s / coremarks()["c6i.large"].coremark_per_s
    assert engine.service_s == pytest.approx((0.010 / speed, 0.018 / speed))
    assert answer.provenance.error_band == pytest.approx(0.10 + SCALING_BAND + OTHER_ARCH_BAND)
    assert answer.provenance.kind == "model"
    assert "scaled from c6i.large by CoreMark" in answer.provenance.note


def test_the_measurement_on_the_same_family_is_preferred(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    variant = request_variant(declared=(measured("c6i.large"), measured("c7g.large")))
    answer, _ = carried(PROFILES.profile(variant, machine("c7g.xlarge")))
    assert "scaled from c7g.large" in answer.provenance.note


def test_the_band_never_passes_the_whole_figure(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    answer, _ = carried(PROFILES.profile(request_variant(declared=(measured("c6i.large", band=0.9),)), machine("c7g.large")))
    assert answer.provenance.error_band == 1.0


@pytest.mark.parametrize(
    ("declared_on", "name", "accelerator", "reason"),
    [
        ("c6i.2xlarge", "c6i.large", "", "at most 2 vCPU; measured: c6i.2xlarge"),
        ("g4dn.xlarge", "c6i.large", "", "no measured machine with a score"),
        ("c6i.large", "x9.huge", "", "x9.huge has no CoreMark score"),
        ("c6i.large", "g6.xlarge", "l4", "g6.xlarge has no CoreMark score"),
    ],
)
def test_what_can_not_be_carried_is_refused(
    machine: Callable[..., MachineType],
    request_variant: Callable[..., ModelVariant],
    declared_on: str,
    name: str,
    accelerator: str,
    reason: str,
) -> None:
    answer = PROFILES.profile(request_variant(declared=(measured(declared_on),)), machine(name, accelerator))
    assert isinstance(answer, Refusal)
    assert reason in answer.reason


def test_a_variant_without_a_measurement_is_refused(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    assert isinstance(PROFILES.profile(request_variant(), machine("c6i.large")), Refusal)


def test_the_scores_of_one_family_grow_with_its_vcpus() -> None:
    for family in {row.family for row in coremarks().values()}:
        rows = sorted((row for row in coremarks().values() if row.family == family), key=lambda row: row.vcpu)
        scores = [row.coremark_per_s for row in rows]
        assert scores == sorted(scores), family
