"""What every profile source promises, over everything discovered and every kind of variant and machine we know."""

from datetime import date
from itertools import pairwise

import pytest

from tightrope.base.catalogue import MachineType
from tightrope.base.contracts import ProfileSource
from tightrope.base.plan import Refusal
from tightrope.base.records import Architecture, ModelVariant, Profile, Provenance, RequestEngine, TokenEngine
from tightrope.base.registry import load_profile_sources
from tightrope.perf.steady_state import step_s

SEEN = date(2026, 1, 1)
OWN = Profile("small/int8", "c6i.large", RequestEngine((0.012, 0.022, 0.031), 8.0), 1, Provenance("measured", "own run", 0.25))
MACHINES = [
    MachineType("aws", name, name.partition(".")[0], vcpu, memory_gib, arch, chip, count, board_gib, "test", SEEN)
    for name, vcpu, memory_gib, arch, chip, count, board_gib in (
        ("g4dn.xlarge", 4, 16, "amd64", "t4", 1, 16),
        ("g4dn.12xlarge", 48, 192, "amd64", "t4", 4, 16),
        ("g5.xlarge", 4, 16, "amd64", "a10g", 1, 24),
        ("g6.xlarge", 4, 16, "amd64", "l4", 1, 22.4),
        ("g6e.xlarge", 4, 32, "amd64", "l40s", 1, 44.7),
        ("p4d.24xlarge", 96, 1152, "amd64", "a100", 8, 40),
        ("p5.48xlarge", 192, 2048, "amd64", "h100", 8, 80),
        ("inf2.xlarge", 4, 16, "amd64", "inferentia2", 1, 32),
        ("c6i.large", 2, 4, "amd64", "", 0, 0),
        ("c7i.4xlarge", 16, 32, "amd64", "", 0, 0),
        ("c7g.xlarge", 4, 8, "arm64", "", 0, 0),
        ("unheard-of.1", 1, 1, "amd64", "unheard-of", 1, 1),
    )
]
VARIANTS = [
    *(
        ModelVariant(f"{name}/{precision}", name, "token", precision, 1.0, size * scale, {}, Architecture(size, layers, 8, 128))
        for name, size, layers in (("7b", 7.0e9, 32), ("13b", 13.0e9, 40), ("70b", 70.0e9, 80))
        for precision, scale in (("fp32", 4), ("fp16", 2), ("bf16", 2), ("fp8", 1), ("int8", 1), ("int4", 0.5))
    ),
    ModelVariant("shapeless/fp16", "shapeless", "token", "fp16", 1.0, 1e9, {}),
    *(
        ModelVariant(f"{key}/{precision}", key, "request", precision, 1.0, 1e8, {}, profile_key=key)
        for key in ("resnet50", "bert-99", "unheard-of", "")
        for precision in ("int8", "fp32")
    ),
    ModelVariant("small/int8", "small", "request", "int8", 0.9, 2.3e7, {}, declared=(OWN,)),
]
CASES = [(variant, machine) for variant in VARIANTS for machine in MACHINES]
SOURCES = load_profile_sources()


def profiles_of(source: ProfileSource) -> list[tuple[ModelVariant, MachineType, Profile]]:
    answers = ((variant, machine, source.profile(variant, machine)) for variant, machine in CASES)
    return [(variant, machine, answer) for variant, machine, answer in answers if isinstance(answer, Profile)]


def check_request_engine(engine: RequestEngine) -> None:
    assert engine.service_s
    assert engine.service_s[0] > 0
    rates = [batch / time_s for batch, time_s in enumerate(engine.service_s, start=1)]
    assert all(earlier < later for earlier, later in pairwise(engine.service_s)), "a larger batch takes longer"
    assert all(later >= earlier * (1 - 1e-9) for earlier, later in pairwise(rates)), "a larger batch serves no fewer per second"


def check_token_engine(engine: TokenEngine) -> None:
    assert engine.kv_capacity_tokens > 0
    assert 0 < engine.max_sequences <= engine.chunk_tokens
    assert 0 < step_s(engine, 1, 0) <= step_s(engine, 1, 1000) <= step_s(engine, engine.chunk_tokens, 1000)
    assert min(engine.overhead_s, engine.weights_s, engine.per_token_s, engine.per_cached_token_s) >= 0


def test_the_built_in_sources_are_found_in_the_order_of_trust() -> None:
    names = [source.name for source in SOURCES]
    assert [name for name in names if name in {"declared", "coremark", "published", "roofline"}] == [
        "declared",
        "coremark",
        "published",
        "roofline",
    ]
    assert len(set(names)) == len(names)


every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)


@every_source
def test_it_knows_something_and_refuses_something(source: ProfileSource) -> None:
    assert 0 < len(profiles_of(source)) < len(CASES)


@every_source
def test_an_engine_works(source: ProfileSource) -> None:
    for variant, _, profile in profiles_of(source):
        engine = profile.engine
        assert isinstance(engine, TokenEngine if variant.engine == "token" else RequestEngine)
        assert engine.load_s > 0
        if isinstance(engine, TokenEngine):
            check_token_engine(engine)
        else:
            check_request_engine(engine)


@every_source
def test_a_profile_is_of_what_was_asked_and_says_where_it_comes_from(source: ProfileSource) -> None:
    for variant, machine, profile in profiles_of(source):
        assert (profile.variant, profile.machine) == (variant.name, machine.name)
        assert profile.replicas_per_machine >= 1
        assert profile.provenance.source.strip()
        assert 0 < profile.provenance.error_band <= 1


@every_source
def test_a_refusal_names_the_pair_and_a_reason(source: ProfileSource) -> None:
    for variant, machine in CASES:
        answer = source.profile(variant, machine)
        if isinstance(answer, Refusal):
            assert answer.what == f"{variant.name} on {machine.name}"
            assert len(answer.reason) > 10


@every_source
def test_the_same_question_gets_the_same_answer(source: ProfileSource) -> None:
    first, second = ([source.profile(variant, machine) for variant, machine in CASES] for _ in range(2))
    assert first == second
