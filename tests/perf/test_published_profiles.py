"""Published request profiles: the two points they rest on, the third that checks them, and what is refused."""

from collections.abc import Callable

import pytest

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile, RequestEngine
from tightrope.perf.published_profiles import PROFILES, PublishedRow, published_rows

CHECKED = [row for row in published_rows() if row.check_batch]


@pytest.mark.parametrize("row", CHECKED, ids=lambda row: f"{row.profile_key}-{row.hardware}")
def test_the_third_published_point_lies_within_9_percent(row: PublishedRow) -> None:
    assert row.check_batch is not None
    assert 1e3 * row.service_s(row.check_batch) == pytest.approx(row.check_ms, rel=0.095)
    assert row.error_band > 0.095


def test_at_least_four_chips_are_checked_so() -> None:
    assert len({row.hardware for row in CHECKED}) >= 4


@pytest.mark.parametrize("row", published_rows(), ids=lambda row: f"{row.profile_key}-{row.hardware}")
def test_no_batch_beats_the_published_rate(row: PublishedRow) -> None:
    assert row.max_batch / row.service_s(row.max_batch) <= row.items_per_s
    assert row.service_s(1) == pytest.approx(row.batch_1_ms / 1e3)


def test_a_t4_runs_resnet50_as_mlperf_measured(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    answer = PROFILES.profile(request_variant("resnet50"), machine("g4dn.xlarge", "t4", 1, 16))
    assert isinstance(answer, Profile)
    assert isinstance(answer.engine, RequestEngine)
    assert answer.engine.service_s[0] == pytest.approx(0.000812)
    assert answer.replicas_per_machine == 1
    assert "MLPerf Inference v3.0" in answer.provenance.source
    assert "not verified by MLCommons" in answer.provenance.source


@pytest.mark.parametrize(("vcpu", "engines"), [(2, 1), (3, 1), (16, 8)])
def test_a_cpu_machine_runs_one_engine_per_core(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant], vcpu: int, engines: int
) -> None:
    answer = PROFILES.profile(request_variant("resnet50"), machine("c7i.any", vcpu=vcpu))
    assert isinstance(answer, Profile)
    assert answer.replicas_per_machine == engines


def test_a_machine_smaller_than_one_engine_is_refused(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    answer = PROFILES.profile(request_variant("resnet50"), machine("c7i.tiny", vcpu=1))
    assert isinstance(answer, Refusal)
    assert "needs 2 vCPU, the machine has 1" in answer.reason


@pytest.mark.parametrize(
    ("key", "precision", "accelerator", "reason"),
    [
        ("", "int8", "t4", "needs a request model"),
        ("resnet51", "int8", "t4", "no published model is called 'resnet51'; known: bert-99, resnet50"),
        ("resnet50", "fp16", "t4", "published only for int8; got fp16"),
        ("resnet50", "int8", "h100", "resnet50 is not published for h100"),
    ],
)
def test_what_is_not_published_is_refused_with_what_is(
    machine: Callable[..., MachineType],
    request_variant: Callable[..., ModelVariant],
    key: str,
    precision: str,
    accelerator: str,
    reason: str,
) -> None:
    memory_gib = {"t4": 16, "h100": 80}[accelerator]
    answer = PROFILES.profile(request_variant(key, precision), machine("x.large", accelerator, 1, memory_gib))
    assert isinstance(answer, Refusal)
    assert reason in answer.reason
