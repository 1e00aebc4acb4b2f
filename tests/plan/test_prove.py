"""The proof: a promise missed on the held-out days raises that class's headroom, and no other's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.demand.workload import load_workload
from tightrope.plan.prove import MAX_REPLAYED_REQUESTS, MAX_ROUNDS, RAISE, Bench, Proof, one_region_each, proof_stretch, prove

Load = Callable[..., Workload]
SURGING = """\
name: surging
traffic:
  web: {{rates: {{file: rates.csv}}, slo: [latency p95 <= 900 ms]}}
  api: {{rates: {{file: steady.csv}}, slo: [latency p95 <= 900 ms]}}
models:
  m:
    engine: request
    variants:
      v:
        {{precision: int8, quality: 1.0, size: 1 MB, serves: {{web: 100 %, api: 0 %}}, profiles: [{profile}]}}
      w:
        {{precision: int8, quality: 1.0, size: 1 MB, serves: {{web: 0 %, api: 100 %}}, profiles: [{profile}]}}
where: {{aws: [us-east-1], families: [c6i.large]}}
purchase: {{offers: [on-demand]}}
scaling: {{enabled: false}}
proof: {{heldout: 6 h, seeds: [1]}}
"""
PROFILE = "{machine: c6i.large, service_ms: [250], load: 1 s, source: test, error_band: 10 %}"


@pytest.fixture(scope="module")
def surging(tmp_path_factory: pytest.TempPathFactory, book: PriceBook) -> Callable[[float], Workload]:
    """Return a function that makes a workload whose last six of thirty hours have so many times the traffic in one class."""

    def make(times: float) -> Workload:
        folder = tmp_path_factory.mktemp("surging")
        for name, last in (("rates", times), ("steady", 1.0)):
            rows = "\n".join(f"{3600 * hour},{12 * (last if hour >= 24 else 1.0)}" for hour in range(30))
            (folder / f"{name}.csv").write_text(f"t_s,rate_per_s\n{rows}\n", encoding="utf-8")
        (folder / "workload.yaml").write_text(SURGING.format(profile=PROFILE), encoding="utf-8")
        return load_workload(folder / "workload.yaml", book)

    return make


def test_a_missed_promise_raises_its_own_classes_headroom(surging: Callable[[float], Workload], book: PriceBook) -> None:
    calm, proof = (prove(Bench(surging(times), book)) for times in (1.0, 1.75))
    assert calm.proven
    assert calm.rounds == 1
    assert proof.proven
    assert 1 < proof.rounds <= MAX_ROUNDS
    assert proof.headroom == {"web": pytest.approx(RAISE ** (proof.rounds - 1)), "api": 1.0}
    assert proof.solution.usd_per_month > calm.solution.usd_per_month


def test_a_promise_that_no_round_keeps_is_not_proven_and_the_best_attempt_stays(
    surging: Callable[[float], Workload], book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tightrope.plan.prove.MAX_ROUNDS", 2)
    proof = prove(Bench(surging(2.2), book))
    assert not proof.proven
    assert {item.verdict for item in proof.evidence if item.traffic_class == "api"} == {"proven"}
    (missed,) = (item for item in proof.evidence if item.verdict != "proven")
    assert missed.traffic_class == "web"
    assert missed.attainment_low < missed.target


def test_evidence_comes_from_the_held_out_days_and_every_promise_has_some(proof: Proof, workload: Workload) -> None:
    assert [(item.traffic_class, item.slo) for item in proof.evidence] == [
        ("web", "latency p95 ≤ 900 ms"),
        ("night", "done by 04:00"),
    ]
    assert {item.window for item in proof.evidence} == {"day 14"}
    assert proof.proven == all(item.verdict == "proven" for item in proof.evidence)
    assert all(item.attainment_low <= item.attainment <= item.attainment_high for item in proof.evidence)
    assert proof.evidence[0].requests == pytest.approx(3 * 86_400, rel=0.05)


def test_each_region_is_decided_apart_the_cheapest_first(bench: Bench, workload: Workload) -> None:
    assert [list(one.where.regions.values()) for one in one_region_each(workload)] == [[("us-east-1",)], [("us-west-2",)]]
    problems = bench.regions({})
    assert len(problems) == 2
    assert all(len({option.region for option in problem.options}) == 1 for problem in problems)


def test_regions_that_can_not_serve_are_left_to_those_that_can(load: Load, book: PriceBook, bench: Bench) -> None:
    hopeless = Bench(load(("latency p95 <= 900 ms", "latency p95 <= 5 ms")), book)
    with pytest.raises(InfeasibleError, match="no machine keeps the promises"):
        hopeless.regions({})


def test_what_is_too_much_to_replay_is_replayed_at_its_busiest(workload: Workload) -> None:
    web = workload.classes[0]
    assert proof_stretch(workload).words == "day 14"
    many = replace(web, demand=replace(web.demand, rate_per_s=2000.0 * web.demand.rate_per_s))
    stretch = proof_stretch(replace(workload, classes=(many, *workload.classes[1:])))
    edges = np.array([stretch.start_s, stretch.end_s]) / many.demand.bin_s
    requests = many.demand.rate_per_s[int(edges[0]) : int(np.ceil(edges[1]))].sum() * many.demand.bin_s
    assert 0.2 * MAX_REPLAYED_REQUESTS <= requests <= 2 * MAX_REPLAYED_REQUESTS
    assert stretch.start_s % 86_400.0 / 3600.0 in {19.0, 20.0}
    assert stretch.words.startswith("day 14, ")


def test_progress_tells_what_is_done(tmp_path: Path, bench: Bench) -> None:
    told: list[str] = []
    prove(bench, told.append)
    assert told[:2] == ["round 1: solve", "round 1: replay day 14"]
