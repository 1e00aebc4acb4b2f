"""Tuning: what is planned for and what the autoscaler steers to are decided on the tuning days, and by nothing of the proof's own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tightrope.base.errors import InputError
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.demand.workload import load_workload
from tightrope.plan.prove import tuning
from tightrope.plan.prove.proof import Bench, Proof, choose_tuning_stretch, gather_evidence, prove, replay_seeds
from tightrope.plan.prove.tuning import MAX_ROUNDS, RAISE, ROOM, TARGETS, as_run_usd, tune

Surging = Callable[..., Workload]
AS_SEEN = "{enabled: false, headroom: 1}"
SPIKY = """\
name: spiky
traffic:
  web: {{rates: {{file: web.csv}}, slo: [latency p95 <= 3600 ms]}}
  api: {{rates: {{file: api.csv}}, slo: [latency p95 <= 3600 ms]}}
models:
  m:
    engine: request
    variants:
      v: {{precision: int8, quality: 1.0, size: 1 MB, serves: {{web: 100 %, api: 0 %}}, profiles: [{profile}]}}
      w: {{precision: int8, quality: 1.0, size: 1 MB, serves: {{web: 0 %, api: 100 %}}, profiles: [{profile}]}}
where: {{aws: [us-east-1], families: [c6i.large]}}
purchase: {{offers: [on-demand]}}
scaling: {scaling}
proof: {{heldout: 2 days, seeds: [1]}}
"""
PROFILE = "{machine: c6i.large, service_ms: [1000], load: 1 s, source: test, error_band: 10 %}"


@pytest.fixture(scope="module")
def spiky(tmp_path_factory: pytest.TempPathFactory, book: PriceBook) -> Callable[..., Workload]:
    """Return a function that makes a workload of three days: the class web has a minute of twice its traffic in every hour, api none."""

    def make(scaling: str = "{enabled: false}") -> Workload:
        folder = tmp_path_factory.mktemp("spiky")
        for name, spike in (("web", 2.0), ("api", 1.0)):
            rows = "\n".join(f"{60 * minute},{3 * (spike if minute % 60 == 30 else 1.0)}" for minute in range(72 * 60))
            (folder / f"{name}.csv").write_text(f"t_s,rate_per_s\n{rows}\n", encoding="utf-8")
        (folder / "workload.yaml").write_text(SPIKY.format(profile=PROFILE, scaling=scaling), encoding="utf-8")
        return load_workload(folder / "workload.yaml", book)

    return make


def proven(workload: Workload, book: PriceBook) -> Proof:
    bench = Bench(workload, book)
    return prove(bench, tune(bench))


# -------------------------------------------------------------------------------------------------------------------- headroom


def test_a_promise_missed_on_the_tuning_day_raises_its_own_classes_headroom(
    surging: Surging, book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MOST_TRIALS", 0)
    calm, proof = (proven(surging(times), book) for times in (1.0, 1.75))
    assert calm.proven
    assert (calm.rounds, calm.tuned) == (1, ())
    assert proof.proven
    assert 1 < proof.rounds <= MAX_ROUNDS
    assert proof.headroom == {"web": pytest.approx(RAISE ** (proof.rounds - 1)), "api": 1.0}
    assert proof.solution.usd_per_month > calm.solution.usd_per_month
    (said,) = proof.tuned
    assert said.startswith(f"web is planned for {proof.headroom['web']:.2f} times the peaks seen")


def test_nothing_flows_back_from_the_day_of_the_proof(surging: Surging, book: PriceBook) -> None:
    calm, proof = (proven(surging(1.75, hour), book) for hour in (72, 48))
    assert not proof.proven
    assert (proof.rounds, proof.headroom, proof.tuned) == (1, calm.headroom, calm.tuned)
    assert proof.solution.usd_per_month == calm.solution.usd_per_month
    missed = [item for item in proof.evidence if item.verdict != "proven"]
    assert [(item.traffic_class, item.verdict) for item in missed] == [("web", "not proven")]


def test_a_promise_that_no_round_keeps_is_not_proven_and_the_best_attempt_stays(
    surging: Surging, book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MAX_ROUNDS", 2)
    proof = proven(surging(2.2), book)
    assert not proof.proven
    assert {item.verdict for item in proof.evidence if item.traffic_class == "api"} == {"proven"}
    (missed,) = (item for item in proof.evidence if item.verdict != "proven")
    assert (missed.traffic_class, missed.verdict) == ("web", "not proven")
    assert missed.attainment_low < missed.target


def test_spikes_that_a_promise_lets_go_are_not_planned_for(spiky: Surging, book: PriceBook) -> None:
    seen, tuned = (tune(Bench(spiky(scaling), book)) for scaling in (AS_SEEN, "{enabled: false}"))
    assert (seen.headroom, seen.tuned) == ({"web": 1.0, "api": 1.0}, ())
    assert tuned.headroom["web"] < tuned.headroom["api"] <= 1.0
    assert as_run_usd(tuned) < as_run_usd(seen)
    for item in tuned.evidence:
        assert item.attainment_low >= item.target + ROOM * (1.0 - item.target)
    assert tuned.tuned[-1].endswith(f"costs {1.0 - as_run_usd(tuned) / as_run_usd(seen):.1%} less")
    assert tuned.problem.rate[0].max() < seen.problem.rate[0].max()


def test_what_is_stated_stays_even_where_it_misses(surging: Surging, book: PriceBook) -> None:
    proof = tune(Bench(surging(1.75, scaling="{enabled: false, headroom: 0.9}"), book))
    assert (proof.headroom, proof.rounds, proof.tuned) == ({"web": 0.9, "api": 0.9}, 1, ())
    assert not proof.proven


def test_a_part_of_a_day_is_no_ground_for_less(spiky: Surging, book: PriceBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.plan.prove.proof.MAX_TUNING_REQUESTS", 100_000)
    workload = spiky()
    stretch = choose_tuning_stretch(workload)
    assert stretch.end_s - stretch.start_s < 86_400.0 / 2
    assert tune(Bench(workload, book)).headroom == {"web": 1.0, "api": 1.0}


def test_more_is_planned_for_where_the_autoscaler_would_add_it_for_more(surging: Surging, book: PriceBook) -> None:
    workload = surging(1.6, scaling="{target_utilisation: 0.95}")
    seen, tuned = (tune(Bench(one, book)) for one in (surging(1.6, scaling="{target_utilisation: 0.95, headroom: 1}"), workload))
    assert as_run_usd(tuned) <= as_run_usd(seen)
    assert tuned.headroom["web"] >= 1.0
    assert tuned.fleet.scaling.target_utilisation == 0.95


def test_what_is_billed_as_run_is_the_schedule_and_what_was_added_at_own_rates(surging: Surging, book: PriceBook) -> None:
    proof = tune(Bench(surging(1.6, scaling="{target_utilisation: 0.95, headroom: 1}"), book))
    problem, (day,) = proof.solution.problem, {len(outcome.machine_hours[0]) for outcome in proof.outcomes}
    at = {option.label: p for p, option in enumerate(problem.options)}
    assert day == 24
    added = 0.0
    for pool, hours in zip(proof.fleet.pools, proof.machine_hours, strict=True):
        (place,) = (p for label, p in at.items() if pool.group in label)
        added += problem.usd_per_hour[place] * (hours.sum() - pool.schedule[24:48].sum())
    expected = proof.solution.usd_per_month + problem.constant_usd_per_month + added * 730.0 / 24.0
    assert as_run_usd(proof) == pytest.approx(expected)
    assert added > 0.0


# ------------------------------------------------------------------------------------------------------------------ autoscaler


@pytest.mark.parametrize(("stated", "tunes"), [("headroom: 1", True), ("headroom: 1, target_utilisation: 0.95", False)])
def test_the_autoscalers_target_is_raised_where_promises_have_room_and_none_is_stated(
    surging: Surging, book: PriceBook, stated: str, tunes: bool
) -> None:
    workload = surging(1.3, scaling=f"{{{stated}}}")
    assert (workload.tunes_target, workload.scaling.target_utilisation) == (tunes, 0.95)
    proof = proven(workload, book)
    assert proof.proven
    assert (proof.fleet.scaling.target_utilisation in TARGETS) == tunes
    assert [text.startswith("the autoscaler steers to ") for text in proof.tuned] == [True] * tunes


def test_no_other_target_keeps_all_with_room_and_runs_for_less(surging: Surging, book: PriceBook) -> None:
    bench = Bench(surging(1.3, scaling="{headroom: 1}"), book)
    proof = tune(bench)
    cheaper = []
    for target in TARGETS:
        fleet = replace(proof.fleet, scaling=replace(proof.fleet.scaling, target_utilisation=target))
        outcomes = replay_seeds(fleet, bench.workload, proof.stretch)
        evidence = gather_evidence(bench.workload, fleet, outcomes, proof.stretch)
        if all(item.attainment_low >= item.target + ROOM * (1.0 - item.target) for item in evidence):
            cheaper.append(as_run_usd(replace(proof, fleet=fleet, outcomes=outcomes)))
    assert min(cheaper) == pytest.approx(as_run_usd(proof))


def test_progress_tells_what_is_done(tmp_path: Path, bench: Bench) -> None:
    told: list[str] = []
    prove(bench, tune(bench, told.append), told.append)
    assert told[:2] == ["round 1: solve", "round 1: replay day 13"]
    assert told[-1] == "prove: replay day 14"


@pytest.mark.parametrize("headroom", ["0", "-1", ".inf", "lots"])
def test_headroom_is_a_number_of_use(surging: Surging, headroom: str) -> None:
    with pytest.raises(InputError, match="headroom"):
        surging(1.0, scaling=f"{{headroom: {headroom}}}")
