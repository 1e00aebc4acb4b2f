"""Robustness: what goes wrong at the peak is tried on the proof's traffic, and told by its worst."""

from dataclasses import replace

import numpy as np
import pytest

from tightrope.base.plan import RobustnessCase, RobustnessPromise
from tightrope.clouds.book import PriceBook
from tightrope.plan.fleet.plan_fleet import open_pools
from tightrope.plan.fleet.scenarios import AS_RECORDED
from tightrope.plan.prove.drills import Verdict, _draw_scene, _find_worst_of_each, _judge_promises, find_robustness
from tightrope.plan.prove.proof import Bench, Proof


@pytest.fixture(scope="module")
def risky(proof: Proof) -> Proof:
    """Return the small plan with every pool interruptible and in three zones."""
    pools = tuple(replace(pool, interruptions_per_hour=1e-9, zones=3) for pool in proof.fleet.pools)
    return replace(proof, fleet=replace(proof.fleet, pools=pools))


@pytest.fixture(scope="module")
def cases(bench: Bench, risky: Proof, book: PriceBook) -> dict[str, RobustnessCase]:
    return {case.name: case for case in found(bench, risky, book)}


def found(bench: Bench, proof: Proof, book: PriceBook) -> tuple[RobustnessCase, ...]:
    return find_robustness(bench.workload, proof, open_pools(proof.solution), book)


def promise(attainment: float, during: float | None = None, target: float = 0.95) -> RobustnessPromise:
    return RobustnessPromise("web", "latency p95 ≤ 900 ms", 100, target, attainment, during_attainment=during)


def case(name: str, *promises: RobustnessPromise, retries: int = 0) -> RobustnessCase:
    return RobustnessCase(name, "", "day 1", promises, 1.0, 1.0, retries, _judge_promises(promises))


def test_every_case_is_tried_on_the_proofs_day(cases: dict[str, RobustnessCase]) -> None:
    assert list(cases) == ["surge ×1.5", "zone-loss", "spot-storm", "metrics-loss"]
    assert all(case.window.startswith("day 14") for case in cases.values())
    assert "half" not in cases["surge ×1.5"].what
    assert cases["surge ×1.5"].what == "1.5 times the requests on day 14"


def test_a_surge_brings_half_as_many_requests_again_and_costs_no_less(cases: dict[str, RobustnessCase], proof: Proof) -> None:
    surge = cases["surge ×1.5"]
    web = next(item for item in proof.evidence if item.traffic_class == "web")
    assert surge.promises[0].requests == pytest.approx(3 * 1.5 * web.requests, rel=0.02)
    assert surge.cost_usd >= surge.usual_cost_usd > 0.0
    assert surge.promises[0].during_attainment is None


def test_a_spot_storm_takes_machines_and_is_felt_while_it_lasts(cases: dict[str, RobustnessCase]) -> None:
    storm = cases["spot-storm"]
    assert storm.cost_usd < storm.usual_cost_usd
    assert storm.verdict != "holds"
    web = storm.promises[0]
    assert web.during_attainment is not None
    assert web.during_attainment < web.attainment < 1.0


def test_what_can_not_happen_is_not_tried(bench: Bench, proof: Proof, book: PriceBook) -> None:
    pools = tuple(replace(pool, interruptions_per_hour=0.0, zones=0) for pool in proof.fleet.pools)
    fixed = replace(proof.fleet, pools=pools, scaling=replace(proof.fleet.scaling, enabled=False))
    assert [case.name for case in found(bench, replace(proof, fleet=fixed), book)] == ["surge ×1.5"]


@pytest.mark.parametrize(
    ("attainment", "during", "verdict"),
    [(0.95, None, "holds"), (0.99, 0.95, "holds"), (0.95, 0.9, "recovers"), (0.949, 0.99, "misses"), (0.9, None, "misses")],
)
def test_the_verdict_is_that_of_the_worst_promise(attainment: float, during: float | None, verdict: Verdict) -> None:
    assert _judge_promises((promise(1.0, 1.0), promise(attainment, during))) == verdict


def test_of_several_zones_the_worst_is_told() -> None:
    mild, grave, retried = (
        case("zone-loss", promise(0.97, 0.9), retries=5),
        case("zone-loss", promise(0.97, 0.8)),
        case("spot-storm", promise(0.9)),
    )
    assert _find_worst_of_each([(mild, 1), (grave, 2), (retried, 3)]) == [(grave, 2), (retried, 3)]
    assert _find_worst_of_each([(grave, 1), (replace(grave, retries=3), 2)]) == [(replace(grave, retries=3), 2)]


def test_every_case_is_told_with_three_draws_and_an_interval(cases: dict[str, RobustnessCase], proof: Proof) -> None:
    # the proof has one seed: two further numbers follow it
    assert {case.seeds for case in cases.values()} == {(1, 2, 3)}
    web = next(item for item in proof.evidence if item.traffic_class == "web")
    for case in cases.values():
        for item in case.promises:
            assert item.attainment_low is not None
            assert item.attainment_high is not None
            assert item.attainment_low <= item.attainment <= item.attainment_high
            assert item.attainment_low < item.attainment_high
    storm = cases["spot-storm"].promises[0]
    assert storm.during_low is not None
    assert storm.during_attainment is not None
    assert storm.during_high is not None
    assert storm.during_low <= storm.during_attainment < storm.during_high
    assert cases["surge ×1.5"].promises[0].requests > 3.5 * web.requests


def test_what_a_commitment_covers_is_billed_at_its_rate(bench: Bench, proof: Proof, book: PriceBook) -> None:
    pools, machines = open_pools(proof.solution), [pool.option.machine.name for pool in open_pools(proof.solution)]
    assert machines == ["c6i.large", "c7i.large", "c7i.large"]
    bare = replace(proof, solution=replace(proof.solution, commitments=np.zeros(1)))
    with_it, without = (_draw_scene(bench.workload, one, pools, book, proof.stretch, (1, 2)) for one in (proof, bare))
    outcomes = [with_it.replay(seed, AS_RECORDED) for seed in (1, 2)]
    hours = np.mean([outcome.machine_hours for outcome in outcomes], axis=0)
    # both on-demand pools are covered at 81 % of their price, up to the commitment in every hour, which is paid whole
    (committed_usd,) = proof.solution.commitments
    assert committed_usd > 0.0
    covered_usd = np.minimum(0.06885 * hours[0] + 0.0723 * hours[2], committed_usd).sum()
    saved_usd = without.cost_usd(outcomes) - with_it.cost_usd(outcomes)
    assert saved_usd == pytest.approx(covered_usd / 0.81 - committed_usd * hours.shape[1], rel=1e-3)
    assert saved_usd > 0.0
