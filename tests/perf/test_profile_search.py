"""Asking all sources: the lowest rank wins, every refusal is kept; batches are cut; provenance becomes words."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tightrope.base.catalogue import MachineType
from tightrope.base.records import ModelVariant, Profile, Provenance, RequestEngine, TokenEngine
from tightrope.base.registry import load_profile_sources
from tightrope.perf.profile_search import describe, find_profile, limit_batch, smaller_settings

OWN = Profile("small/int8", "c6i.large", RequestEngine((0.01, 0.02, 0.03), 8.0), 1, Provenance("measured", "own run", 0.1))


def test_the_users_own_measurement_comes_first(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    variant = request_variant("resnet50", declared=(OWN,))
    assert find_profile(variant, machine("c6i.large", vcpu=2)) is OWN


def test_a_scaled_measurement_comes_before_a_published_one_and_both_before_nothing(
    machine: Callable[..., MachineType], request_variant: Callable[..., ModelVariant]
) -> None:
    scaled = find_profile(request_variant("resnet50", declared=(OWN,)), machine("c7i.xlarge"))
    published = find_profile(request_variant("resnet50"), machine("c7i.xlarge"))
    assert isinstance(scaled, Profile)
    assert isinstance(published, Profile)
    assert (scaled.provenance.kind, published.provenance.kind) == ("model", "published")


def test_every_source_gives_its_reason_where_none_has_a_profile(
    machine: Callable[..., MachineType], token_variant: Callable[..., ModelVariant]
) -> None:
    answer = find_profile(token_variant("bf16"), machine("g4dn.xlarge", "t4", 1, 16))
    assert isinstance(answer, tuple)
    assert [refusal.reason.partition(":")[0] for refusal in answer] == [source.name for source in load_profile_sources()]
    assert {refusal.what for refusal in answer} == {"assistant/bf16 on g4dn.xlarge"}


@pytest.mark.parametrize(("max_batch", "left"), [(0, 3), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_a_request_engine_is_cut_at_the_batch(max_batch: int, left: int) -> None:
    engine = limit_batch(OWN, max_batch).engine
    assert isinstance(engine, RequestEngine)
    assert engine.service_s == (0.01, 0.02, 0.03)[:left]


@pytest.mark.parametrize(("max_batch", "left"), [(0, 128), (8, 8), (500, 128)])
def test_a_token_engine_is_cut_at_its_sequences(max_batch: int, left: int) -> None:
    profile = replace(OWN, engine=TokenEngine(0.004, 0.06, 5e-4, 3e-7, 9000, 128, 512, 70.0))
    engine = limit_batch(profile, max_batch).engine
    assert isinstance(engine, TokenEngine)
    assert engine.max_sequences == left


def test_a_negative_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="got max_batch -1"):
        limit_batch(OWN, -1)


def test_the_description_carries_source_note_and_band() -> None:
    use = describe(replace(OWN, provenance=Provenance("model", "roofline", 0.3, "extrapolated")))
    assert (use.profile, use.kind, use.source, use.error_band) == (
        "small/int8 on c6i.large",
        "model",
        "roofline (extrapolated)",
        0.3,
    )
    assert describe(OWN).source == "own run"


def test_a_token_engine_is_cut_in_its_steps_and_in_its_sequences() -> None:
    engine = TokenEngine(0.001, 0.01, 1e-4, 1e-8, 10_000, 64, 200, 30.0)
    found = smaller_settings(replace(OWN, engine=engine))
    assert [(other.engine, other.setting) for other in found] == [
        (replace(engine, chunk_tokens=100), "steps of 100 tokens"),
        (replace(engine, max_sequences=32), "32 sequences"),
        (replace(engine, max_sequences=16), "16 sequences"),
    ]
    assert smaller_settings(replace(OWN, engine=RequestEngine((0.1,), 1.0))) == ()
