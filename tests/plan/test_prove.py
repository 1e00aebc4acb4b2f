"""The proof: a promise missed on the tuning days raises that class's headroom, and no other's; the proof's own days decide nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.demand.workload import load_workload
from tightrope.plan.prove import (
    MAX_REPLAYED_REQUESTS,
    MAX_ROUNDS,
    RAISE,
    TARGETS,
    Bench,
    Proof,
    gather_evidence,
    one_region_each,
    proof_stretch,
    prove,
    split_heldout,
    told_apart,
    tuning_stretch,
)

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
scaling: {scaling}
proof: {{heldout: 2 days, seeds: [1]}}
"""
PROFILE = "{machine: c6i.large, service_ms: [250], load: 1 s, source: test, error_band: 10 %}"


@pytest.fixture(scope="module")
def surging(tmp_path_factory: pytest.TempPathFactory, book: PriceBook) -> Callable[..., Workload]:
    """Return a function that makes a workload of three days, one class with so many times the traffic from an hour on.

    The first day is for sizing, the second for tuning, the third for the proof.
    """

    def make(times: float, from_hour: int = 24, scaling: str = "{enabled: false}") -> Workload:
        folder = tmp_path_factory.mktemp("surging")
        for name, last in (("rates", times), ("steady", 1.0)):
            rows = "\n".join(f"{3600 * hour},{12 * (last if hour >= from_hour else 1.0)}" for hour in range(72))
            (folder / f"{name}.csv").write_text(f"t_s,rate_per_s\n{rows}\n", encoding="utf-8")
        text = SURGING.format(profile=PROFILE, scaling=scaling)
        (folder / "workload.yaml").write_text(text, encoding="utf-8")
        return load_workload(folder / "workload.yaml", book)

    return make


def test_a_promise_missed_on_the_tuning_day_raises_its_own_classes_headroom(
    surging: Callable[..., Workload], book: PriceBook
) -> None:
    calm, proof = (prove(Bench(surging(times), book)) for times in (1.0, 1.75))
    assert calm.proven
    assert (calm.rounds, calm.tuned) == (1, ())
    assert proof.proven
    assert 1 < proof.rounds <= MAX_ROUNDS
    assert proof.headroom == {"web": pytest.approx(RAISE ** (proof.rounds - 1)), "api": 1.0}
    assert proof.solution.usd_per_month > calm.solution.usd_per_month
    (said,) = proof.tuned
    assert said.startswith(f"web is planned for {proof.headroom['web'] - 1.0:+.0%} traffic")


def test_nothing_flows_back_from_the_day_of_the_proof(surging: Callable[..., Workload], book: PriceBook) -> None:
    calm, proof = (prove(Bench(surging(1.75, hour), book)) for hour in (72, 48))
    assert not proof.proven
    assert (proof.rounds, proof.headroom) == (1, {"web": 1.0, "api": 1.0})
    assert proof.solution.usd_per_month == calm.solution.usd_per_month
    missed = [item for item in proof.evidence if item.verdict != "proven"]
    assert [(item.traffic_class, item.verdict) for item in missed] == [("web", "not proven")]


def test_a_promise_that_no_round_keeps_is_not_proven_and_the_best_attempt_stays(
    surging: Callable[..., Workload], book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tightrope.plan.prove.MAX_ROUNDS", 2)
    proof = prove(Bench(surging(2.2), book))
    assert not proof.proven
    assert {item.verdict for item in proof.evidence if item.traffic_class == "api"} == {"proven"}
    (missed,) = (item for item in proof.evidence if item.verdict != "proven")
    assert (missed.traffic_class, missed.verdict) == ("web", "not proven")
    assert missed.attainment_low < missed.target


def test_a_promise_that_more_machines_do_not_keep_is_infeasible(surging: Callable[..., Workload], book: PriceBook) -> None:
    bench = Bench(surging(1.0), book)
    proof = prove(bench)
    web, api = bench.workload.classes
    strict = replace(web, slos=(replace(web.slos[0], limit_s=0.2),))  # one request alone takes 0.25 s
    judged = gather_evidence(replace(bench.workload, classes=(strict, api)), proof.fleet, proof.outcomes, proof.stretch)
    assert [item.verdict for item in judged] == ["not proven", "proven"]
    told = told_apart(replace(bench.workload, classes=(strict, api)), proof.fleet, proof.stretch, judged)
    assert [item.verdict for item in told] == ["infeasible", "proven"]


@pytest.mark.parametrize(("stated", "tunes"), [("{}", True), ("{target_utilisation: 0.95}", False)])
def test_the_autoscalers_target_is_raised_where_promises_have_room_and_none_is_stated(
    surging: Callable[..., Workload], book: PriceBook, stated: str, tunes: bool
) -> None:
    workload = surging(1.3, scaling=stated)
    assert (workload.tunes_target, workload.scaling.target_utilisation) == (tunes, 0.95)
    proof = prove(Bench(workload, book))
    assert proof.proven
    assert (proof.fleet.scaling.target_utilisation in TARGETS) == tunes
    assert [text.startswith("the autoscaler steers to ") for text in proof.tuned] == [True] * tunes


def test_what_tunes_and_what_proves_never_meet(surging: Callable[..., Workload], workload: Workload) -> None:
    days = surging(1.0)
    assert [part.words for part in split_heldout(days)] == ["day 2", "day 3"]
    assert [part.words for part in split_heldout(workload)] == ["day 13", "day 14"]  # one day held out: all of it proves
    tuning, proving = split_heldout(replace(workload, heldout_share=5 / 14))
    assert (tuning.words, proving.words) == ("days 10–11", "days 12–14")
    assert tuning_stretch(workload) == split_heldout(workload)[0]
    part = tuning_stretch(days)  # two million requests are too many to tune on
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
    assert told[:2] == ["round 1: solve", "round 1: replay day 13"]
    assert told[-1] == "prove: replay day 14"
