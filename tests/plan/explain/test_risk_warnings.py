"""Warnings: everything a reader should know before money moves, and nothing where there is nothing."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tightrope.base.catalogue import OLD_DAYS, UnitPrice
from tightrope.base.plan import Plan, Refusal
from tightrope.base.records import CachePolicy, Provenance
from tightrope.plan.explain.risk_warnings import find_warnings
from tightrope.plan.fleet.plan_fleet import open_pools
from tightrope.plan.prove.proof import Bench, Proof


@pytest.fixture(scope="session")
def warned(bench: Bench, proof: Proof) -> Any:
    """Return a function that finds the warnings of the small plan, some of its arguments replaced."""
    pools = open_pools(proof.solution)
    newest = max(pool.option.terms.row.seen for pool in pools)

    def find(**changed: Any) -> tuple[str, ...]:
        given = {
            "workload": bench.workload,
            "proof": proof,
            "pools": pools,
            "rows": [pool.option.terms.row for pool in pools],
            "cost_usd": 100.0,
            "replayed_usd": 100.0,
            "today": newest,
            "now_evidence": (),
            "book": bench.book,
        }
        return find_warnings(**(given | changed))

    return find


def about(warnings: tuple[str, ...], words: str) -> list[str]:
    return [warning for warning in warnings if words in warning]


def test_a_promise_that_is_not_proven_comes_first(warned: Any, proof: Proof) -> None:
    missed = replace(proof.evidence[0], verdict="not proven", attainment=0.9)
    found = warned(proof=replace(proof, evidence=(missed, *proof.evidence[1:])))
    assert found[0] == "not proven: web latency p95 ≤ 900 ms attains 90.00%"
    assert not about(warned(), "not proven")


def test_a_replay_that_costs_more_than_the_plan_is_said(warned: Any) -> None:
    assert about(warned(replayed_usd=106.0), "$106 at month scale, the plan's week $100")
    assert not about(warned(replayed_usd=104.0), "at month scale")


def test_a_cache_that_no_drawn_request_can_use_is_said(warned: Any, bench: Bench) -> None:
    assert about(
        warned(workload=replace(bench.workload, cache=CachePolicy(100, 60.0, 0.0))), "the cache of answers saves nothing here"
    )
    stored = tuple(replace(variant, prefix_block_tokens=16) for variant in bench.workload.variants)
    assert about(warned(workload=replace(bench.workload, variants=stored)), "the prefix cache saves nothing here")
    assert not about(warned(), "cache")


def test_held_out_traffic_beyond_what_sizing_saw_is_said(warned: Any, bench: Bench) -> None:
    web = bench.workload.classes[0]
    louder = web.demand.rate_per_s.copy()
    louder[-len(louder) // 14 :] *= 1.5
    changed = replace(web, demand=replace(web.demand, rate_per_s=louder))
    found = warned(workload=replace(bench.workload, classes=(changed, *bench.workload.classes[1:])))
    assert about(found, "web: the held-out days carry +50% traffic and a peak of 1.50 times what sizing saw")
    assert not about(warned(), "the held-out days carry")


def test_wide_models_are_to_be_measured_first(warned: Any, proof: Proof) -> None:
    def pools(kind: Any, band: float) -> tuple[Any, ...]:
        provenance = Provenance(kind, "roofline", band)
        return tuple(
            replace(pool, option=replace(pool.option, profile=replace(pool.option.profile, provenance=provenance)))
            for pool in open_pools(proof.solution)
        )

    assert about(warned(pools=pools("model", 0.4)), "modelled, ±40%: measure it before you commit")
    assert not about(warned(pools=pools("model", 0.2)), "measure it")
    assert not about(warned(pools=pools("measured", 0.4)), "measure it")


@pytest.mark.parametrize("days", [OLD_DAYS + 1, 400])
def test_old_prices_say_their_age(warned: Any, proof: Proof, days: int) -> None:
    (oldest,) = {min(pool.option.terms.row.seen for pool in open_pools(proof.solution))}
    assert about(warned(today=oldest + timedelta(days=days)), f"prices are up to {days} days old (seen {oldest})")
    assert not about(warned(today=date(oldest.year, oldest.month, oldest.day)), "days old")


def test_old_prices_that_are_not_per_machine_are_said_too(warned: Any) -> None:
    seen = date(2025, 1, 1)
    row = UnitPrice("aws", "us-east-1", "internet-egress", "GB", Decimal("0.09"), "list", "the shop", seen)
    found = warned(rows=[row, replace(row, seen=seen + timedelta(days=9))], today=seen + timedelta(days=100))
    assert about(found, f"transfer and storage prices are up to 100 days old (seen {seen})")
    assert about(found, "old prices are renewed by `tightrope prices refresh aws`")
    assert not about(warned(rows=[replace(row, cloud="lambda")], today=seen + timedelta(days=100)), "renewed by")


@pytest.mark.parametrize(("attainment", "words"), [(0.5, "misses web"), (0.951, "keeps, but only just, web")])
def test_todays_misses_are_said(warned: Any, proof: Proof, attainment: float, words: str) -> None:
    today = replace(proof.evidence[0], verdict="not proven", attainment=attainment)
    assert about(warned(now_evidence=(today,)), f"today's fleet {words} latency p95 ≤ 900 ms: {attainment:.1%} on day 14")


def test_no_warning_is_said_twice(plan: Plan) -> None:
    assert len(set(plan.warnings)) == len(plan.warnings)


def test_an_offer_that_a_cloud_does_not_sell_so_that_it_can_be_planned_with_is_said(warned: Any, bench: Bench) -> None:
    where = replace(bench.workload.where, regions={"aws": ("us-east-1",), "gcp": ("us-central1",)}, families=())
    asked = replace(bench.workload.purchase, offers=("on-demand", "spot"))
    found = about(warned(workload=replace(bench.workload, where=where, purchase=asked)), "is not planned with")
    assert found == ["spot of gcp is not planned with: the catalogue does not say how often it is interrupted"]


def test_a_service_of_which_no_option_is_left_is_named_with_the_reason(warned: Any, bench: Bench, proof: Proof) -> None:
    purchase = replace(bench.workload.purchase, offers=("on-demand", "serverless"))
    problem = replace(proof.problem, refusals=(Refusal("serverless", "no variant was measured on a size of it"),))
    found = warned(workload=replace(bench.workload, purchase=purchase), proof=replace(proof, problem=problem))
    assert about(found, "serverless is not planned with: serverless: no variant was measured on a size of it")
