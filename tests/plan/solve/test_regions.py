"""Regions together: every set of them is a decision, what opening one costs is in it, and the bill is the objective."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Plan
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.plan_bill import plan_lines
from tightrope.plan.fleet.plan_fleet import build_fleet, open_pools
from tightrope.plan.plan_json import rebuild_fleet
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.problem.network import Place, around
from tightrope.plan.problem.placement import count_served_by_place, plan_around
from tightrope.plan.prove.proof import Bench, list_region_sets
from tightrope.plan.solve.decomposition import Solution

Load = Callable[..., Workload]
SENT = "egress_per_request: 20 kB"


def placed(load: Load, round_trip: str, *changes: tuple[str, str]) -> Workload:
    """Return the small workload with users on both coasts, and machines on either or both."""
    return load(
        ("  families:", f"  together: true\n  round_trip: {{us-east-1: {{us-west-2: {round_trip}}}}}\n  families:"),
        (SENT, f"{SENT}\n    ingress_per_request: 200 MB\n    users: {{us-east-1: 60 %, us-west-2: 40 %}}"),
        *changes,
    )


def bill_usd(solution: Solution, workload: Workload, book: PriceBook) -> float:
    """Return the whole bill but the models' storage."""
    lines, unpriced = plan_around(workload, book, solution.problem, solution.machines, solution.share, solution.work)
    assert unpriced == []
    return total_usd(tuple(line for line in lines if line.driver != "storage")) + total_usd(
        plan_lines(solution, open_pools(solution), book)
    )


def test_every_set_of_regions_is_a_decision(load: Load) -> None:
    found = [workload.where.regions["aws"] for workload in list_region_sets(placed(load, "70 ms"))]
    assert found == [("us-east-1",), ("us-west-2",), ("us-east-1", "us-west-2")]


@pytest.fixture(scope="module")
def decided(load: Load, book: PriceBook, bench: Bench) -> tuple[Workload, list[Solution]]:
    """Return the decision of each set of regions, the cheapest relaxation first."""
    workload = placed(load, "70 ms")
    own = Bench(workload, book, bench.table)
    return workload, [own.solve(problem) for problem in own.regions({})]


def test_the_bill_is_the_objective_and_the_constant(decided: tuple[Workload, list[Solution]], book: PriceBook) -> None:
    workload, solutions = decided
    assert len(solutions) == 3
    for solution in solutions:
        used = {pool.option.region for pool in open_pools(solution)}
        allowed = {option.region for option in solution.problem.options}
        expected = solution.usd_per_month + solution.problem.constant_usd_per_month
        if used == allowed:
            assert bill_usd(solution, workload, book) == pytest.approx(expected, rel=1e-9)
        else:
            assert bill_usd(solution, workload, book) < expected


def test_users_are_served_at_home_where_crossing_costs_more_than_machines(
    decided: tuple[Workload, list[Solution]], book: PriceBook
) -> None:
    """200 MB from coast to coast cost more than a second of any machine: with both regions open nobody crosses."""
    workload, solutions = decided
    both = next(one for one in solutions if len({option.region for option in one.problem.options}) == 2)
    served = count_served_by_place(both.problem, around(workload, book), both.share, both.work)
    for region in ("us-east-1", "us-west-2"):
        assert set(served[f"web.{region}"]) == {Place("aws", region)}


def test_pools_of_two_regions_do_not_take_one_anothers_place(decided: tuple[Workload, list[Solution]], bench: Bench) -> None:
    """The replay routes by group: what the plan sends to a region stays there, and is late by the way to it."""
    workload, solutions = decided
    both = next(one for one in solutions if len({option.region for option in one.problem.options}) == 2)
    fleet = build_fleet(workload, both, bench.table)
    regions = {pool.name: pool.option.region for pool in open_pools(both)}
    for pool in fleet.pools:
        assert pool.group.endswith(f" in {regions[pool.name]}")
    assert fleet.away_s is not None
    names = [item.name for item in fleet.classes]
    for c, name in enumerate(names):
        for p, pool in enumerate(fleet.pools):
            away = 0.07 if name.startswith("web.") and not name.endswith(regions[pool.name]) else 0.0
            assert fleet.away_s[c, p] == away


def test_a_longer_way_takes_more_machines(
    decided: tuple[Workload, list[Solution]], load: Load, book: PriceBook, bench: Bench
) -> None:
    _, solutions = decided
    near = next(one.problem for one in solutions if {option.region for option in one.problem.options} == {"us-east-1"})
    far = next(
        problem
        for problem in Bench(placed(load, "500 ms"), book, bench.table).regions({})
        if {option.region for option in problem.options} == {"us-east-1"}
    )
    labels = {option.label: p for p, option in enumerate(near.options)}
    shared = [(labels[option.label], p) for p, option in enumerate(far.options) if option.label in labels]
    west = near.interactive.index("web.us-west-2")
    here, there = (list(places) for places in zip(*shared, strict=True))
    old, new = near.mu[west, here].mean(axis=1), far.mu[west, there].mean(axis=1)
    assert (new <= old + 1e-9).all()
    assert (new < old - 1e-9).any()


def test_users_that_nobody_says_how_far_are_served_at_home_alone(load: Load, book: PriceBook, bench: Bench) -> None:
    unknown = load((SENT, f"{SENT}\n    users: {{us-east-1: 60 %, us-west-2: 40 %}}"))
    with pytest.raises(InfeasibleError) as caught:
        Bench(unknown, book, bench.table).regions({})
    assert "no round trip from us-west-2 is stated in where.round_trip" in caught.value.what
    assert "state where.round_trip between us-west-2 and us-east-1" in caught.value.resolve


def test_a_spot_machine_must_be_sold_in_as_many_zones_as_asked(load: Load, book: PriceBook, bench: Bench) -> None:
    wide = load(("  max_pools: 4", "  max_pools: 4\n  min_spot_zones: 20"))
    (problem, *_) = Bench(wide, book, bench.table).regions({})
    assert not problem.interruptible.any()
    assert any("of the 20 zones of purchase.min_spot_zones" in refusal.reason for refusal in problem.refusals)


def test_a_plan_file_holds_the_groups_and_the_ways(plan: Plan) -> None:
    """As if the first pool stood elsewhere: the replay of the file routes and delays as the proof did."""
    first, *others = plan.pools
    name = f"{first.variant} in us-west-2"
    serving = replace(first.serving, group=name, round_trip_s={"web": 0.07})
    shares = tuple(replace(rule, variant=name) if rule.variant == first.variant else rule for rule in plan.variant_shares)
    kept = tuple(pool for pool in others if pool.variant != first.variant)
    fleet = rebuild_fleet(replace(plan, pools=(replace(first, serving=serving), *kept), variant_shares=shares))
    assert fleet.pools[0].group == name
    assert name in fleet.groups
    assert fleet.away_s is not None
    assert fleet.away_s[[item.name for item in fleet.classes].index("web"), 0] == 0.07
    assert fleet.away_s.sum() == 0.07
