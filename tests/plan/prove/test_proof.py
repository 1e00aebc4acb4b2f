"""The proof: what tunes and what proves never meet, evidence of every promise, and which regions are decided on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.prove.proof import (
    MAX_REPLAYED_REQUESTS,
    Bench,
    Proof,
    choose_proof_stretch,
    choose_tuning_stretch,
    gather_evidence,
    mark_infeasible,
    prove,
    split_by_region,
    split_heldout,
)
from tightrope.plan.prove.tuning import tune

Load = Callable[..., Workload]


def test_a_promise_that_more_machines_do_not_keep_is_infeasible(surging: Callable[..., Workload], book: PriceBook) -> None:
    bench = Bench(surging(1.0, scaling="{enabled: false, headroom: 1}"), book)
    proof = prove(bench, tune(bench))
    web, api = bench.workload.classes
    strict = replace(web, slos=(replace(web.slos[0], limit_s=0.8),))  # one request alone takes a second
    judged = gather_evidence(replace(bench.workload, classes=(strict, api)), proof.fleet, proof.outcomes, proof.stretch)
    assert [item.verdict for item in judged] == ["not proven", "proven"]
    told = mark_infeasible(replace(bench.workload, classes=(strict, api)), proof.fleet, proof.stretch, judged)
    assert [item.verdict for item in told] == ["infeasible", "proven"]


def test_what_tunes_and_what_proves_never_meet(
    surging: Callable[..., Workload], workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = surging(1.0)
    assert [part.words for part in split_heldout(days)] == ["day 2", "day 3"]
    assert [part.words for part in split_heldout(workload)] == ["day 13", "day 14"]  # one day held out: all of it proves
    tuning, proving = split_heldout(replace(workload, heldout_share=5 / 14))
    assert (tuning.words, proving.words) == ("days 10–11", "days 12–14")
    assert choose_tuning_stretch(workload) == split_heldout(workload)[0]
    monkeypatch.setattr("tightrope.plan.prove.proof.MAX_TUNING_REQUESTS", 400_000)  # half a million are too many to tune on
    part = choose_tuning_stretch(days)
    assert (part.start_s, part.end_s < split_heldout(days)[0].end_s) == (86_400.0, True)


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
    assert [list(one.where.regions.values()) for one in split_by_region(workload)] == [[("us-east-1",)], [("us-west-2",)]]
    problems = bench.regions({})
    assert len(problems) == 2
    assert all(len({option.region for option in problem.options}) == 1 for problem in problems)


def test_regions_that_can_not_serve_are_left_to_those_that_can(load: Load, book: PriceBook, bench: Bench) -> None:
    hopeless = Bench(load(("latency p95 <= 900 ms", "latency p95 <= 5 ms")), book)
    with pytest.raises(InfeasibleError, match="no machine keeps the promises"):
        hopeless.regions({})


def test_what_is_too_much_to_replay_is_replayed_at_its_busiest(workload: Workload) -> None:
    web = workload.classes[0]
    assert choose_proof_stretch(workload).words == "day 14"
    many = replace(web, demand=replace(web.demand, rate_per_s=2000.0 * web.demand.rate_per_s))
    stretch = choose_proof_stretch(replace(workload, classes=(many, *workload.classes[1:])))
    edges = np.array([stretch.start_s, stretch.end_s]) / many.demand.bin_s
    requests = many.demand.rate_per_s[int(edges[0]) : int(np.ceil(edges[1]))].sum() * many.demand.bin_s
    assert 0.2 * MAX_REPLAYED_REQUESTS <= requests <= 2 * MAX_REPLAYED_REQUESTS
    assert stretch.start_s % 86_400.0 / 3600.0 in {19.0, 20.0}
    assert stretch.words.startswith("day 14, ")
