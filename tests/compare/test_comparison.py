"""Plans beside each other: what is compared, when a peer is sized up, and who counts as the cheapest."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tightrope.base.errors import InputError
from tightrope.base.plan import Evidence
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.compare.comparison import NAMES, OURS, PEERS, Comparison, Row, compare_plans
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.prove.choices import take_choices
from tightrope.plan.prove.proof import choose_proof_stretch
from tightrope.plan.prove.tuning import MAX_ROUNDS, RAISE

KEPT = Evidence("web", "latency p95 ≤ 900 ms", "day 2", 100, 0.99, 0.98, 1.0, 0.95, seeds=(1,), verdict="proven")
MISSED = replace(KEPT, attainment=0.9, attainment_low=0.88, verdict="not proven")


def row(plan: str, usd: float | None, *evidence: Evidence, breaks: str = "") -> Row:
    """Return a row by hand."""
    return Row(plan, "", 1.0, (), usd, usd, evidence or (KEPT,), breaks)


def of(*rows: Row) -> Comparison:
    """Return a comparison by hand."""
    return Comparison("small", "day 2", (1,), rows)


def test_the_cheapest_peer_keeps_every_promise_and_the_workloads_limits() -> None:
    rows = (row("peak", 300.0), row("hpa", 200.0), row("buckets", 100.0, KEPT, MISSED), row("spot", 50.0, breaks="spot"))
    ours = row(OURS, 80.0)
    found = of(*rows, ours)
    assert found.cheapest_peer is rows[1]
    assert found.ours is ours
    assert found.ratio == 0.4


@pytest.mark.parametrize(
    "rows",
    [(row("hpa", 200.0),), (row(OURS, 80.0),), (row("hpa", 200.0), row(OURS, 80.0, MISSED)), (row("hpa", None), row(OURS, 80.0))],
    ids=["no plan of ours", "no peer", "ours misses", "a peer without a plan"],
)
def test_there_is_no_ratio_without_two_that_keep_all(rows: tuple[Row, ...]) -> None:
    assert of(*rows).ratio is None


def test_a_row_without_evidence_meets_nothing() -> None:
    assert not Row("hpa", "", 1.0, note="no machine").meets_all


def test_names_are_one_each_and_ours_is_last() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(PEERS) + 1
    assert NAMES[-1] == OURS


def test_a_plan_that_there_is_not_is_answered_with_near_names(workload: Workload, book: PriceBook) -> None:
    with pytest.raises(InputError, match="'hpaa'") as caught:
        compare_plans(workload, book, only=["hpaa"])
    assert "hpa" in caught.value.resolve


@pytest.fixture(scope="session")
def compared(workload: Workload, book: PriceBook) -> Comparison:
    return compare_plans(workload, book)


def test_every_plan_is_replayed_on_the_days_that_prove_ours(compared: Comparison, workload: Workload) -> None:
    assert list(dict.fromkeys(row.plan for row in compared.rows)) == list(NAMES)
    assert {item.window for row in compared.rows for item in row.evidence} == {choose_proof_stretch(workload).words}
    assert all({item.traffic_class for item in row.evidence} == {"web", "night"} for row in compared.rows if row.evidence)
    assert compared.ours is not None
    assert compared.ours.proven


def test_what_ran_is_charged_at_about_what_was_planned(compared: Comparison) -> None:
    for one in compared.rows:
        assert one.planned_usd_per_month is not None
        assert one.replayed_usd_per_month == pytest.approx(one.planned_usd_per_month, rel=0.35), one.plan


def test_a_fixed_fleet_costs_as_it_ran_what_was_planned_but_for_what_drawn_answers_moved(compared: Comparison) -> None:
    fixed = [one for one in compared.rows if one.plan in {"peak", "buckets"}]
    for one in fixed:
        assert one.planned_usd_per_month is not None
        assert one.replayed_usd_per_month == pytest.approx(one.planned_usd_per_month, rel=1e-3)


def test_a_peer_that_misses_is_sized_up_in_our_own_steps(load: Callable[..., Workload], book: PriceBook) -> None:
    promise, stricter = "slo: [latency p95 <= 900 ms]", "slo: [latency p99.9 <= 900 ms]"
    found = compare_plans(load((promise, stricter)), book, only=["peak"])
    first, *more = found.rows
    assert first.sized == 1.0
    assert len(more) <= 1
    steps = {round(RAISE**number, 6) for number in range(1, MAX_ROUNDS)}
    assert all(round(one.sized, 6) in steps for one in more)
    assert first.proven == (not more)


def test_all_plans_have_the_cascade_that_is_cheaper(load: Callable[..., Workload], book: PriceBook) -> None:
    cascade = """\
    quality_floor: 0.9
    cascade:
      small: small/int8
      large: big/fp32
      curve: [{escalated: 0 %, quality: 0.8}, {escalated: 25 %, quality: 0.9}, {escalated: 100 %, quality: 1.0}]
      within: 150 ms
"""
    stated = load(("    quality_floor: 0.9\n", cascade))
    large, _, small = stated.variants
    where = replace(stated.where, regions={"aws": ("us-east-1",)})
    workload = replace(stated, where=where, variants=(large, replace(small, serves={"web": 0.01})))
    chosen, _ = take_choices(workload, book, CapacityTable())
    assert [item.name for item in chosen.classes] == ["web-first", "web-escalated", "night"]  # it is taken here
    row = compare_plans(workload, book, only=["hpa"]).rows[0]
    assert {pool.variant for pool in row.pools} == {"small/int8", "big/fp32"}
    assert {item.traffic_class for item in row.evidence} == {"web", "night"}


def test_only_what_is_asked_for_is_planned(workload: Workload, book: PriceBook) -> None:
    said: list[str] = []
    found = compare_plans(workload, book, only=["peak"], progress=said.append)
    assert {one.plan for one in found.rows} == {"peak"}
    assert found.ours is None
    assert found.cheapest_peer is not None
    assert all(words.startswith("peak") for words in said)
