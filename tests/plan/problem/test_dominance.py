"""What is left out before solving: never an option that a cheapest plan would need."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.problem.dominance import count_copies_needed, drop_dominated
from tightrope.plan.solve.block_solutions import solve_block

MOST = 6
"""Machines of an option, at most, in what is tried."""


@st.composite
def problems(draw: st.DrawFn, brute: ModuleType) -> Problem:
    """Draw up to three options of up to two variants for one class in one block, each with some of the commitments."""
    rate, floor = draw(st.sampled_from([0.7, 2.0, 3.5])), draw(st.sampled_from([0.0, 0.95]))
    sold = []
    for p in range(draw(st.integers(2, 3))):
        spot, usd = draw(st.booleans()), draw(st.integers(11, 40))
        cents = st.none() if spot else st.none() | st.integers(10, usd - 1)
        rates = {name: draw(cents) for name in ("plan", "family_plan", "reserved")}
        sold.append(
            brute.Sold(
                name=f"m{draw(st.integers(0, 1))}.{p}",
                usd=f"0.{usd}",
                mu=(draw(st.sampled_from([1.0, 1.5, 2.0])),),
                spot=spot,
                zones=draw(st.integers(1, 3)),
                variant=draw(st.integers(0, 1)),
                **{name: f"0.{rate}" for name, rate in rates.items() if rate is not None},
            )
        )
    case = brute.Case(
        tuple(sold),
        ((rate,),),
        share_cap=(draw(st.sampled_from([(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.5, 0.5)])),),
        quality=draw(st.sampled_from([(1.0, 1.0), (0.9, 1.0)])),
        quality_floor=(floor,),
        quotas=draw(st.sampled_from([{}, {"m0": 1}, {"m0": 2, "m1": 2}, {sold[0].name: 1}])),
        max_spot_share=draw(st.sampled_from([1.0, 0.5])),
        spot_zone_loss_share=draw(st.sampled_from([0.0, 0.7])),
        zone_loss_share=draw(st.sampled_from([0.0, 0.0, 0.5])),
        n_plus_one_share=draw(st.sampled_from([0.0, 0.0, 0.5])),
    )
    found: Problem = case.problem
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_dropping_dominated_options_never_costs_anything(brute: ModuleType, data: st.DataObject) -> None:
    problem = data.draw(problems(brute))
    small = drop_dominated(problem)
    assert len(small.options) + len(small.refusals) == len(problem.options)
    assert brute.cheapest_month_usd(small, MOST) == pytest.approx(brute.cheapest_month_usd(problem, MOST), rel=1e-6)
    nothing = problem.existing_usd_per_hour
    assert cheapest_usd(small, nothing) == pytest.approx(cheapest_usd(problem, nothing), rel=6e-3)


def cheapest_usd(problem: Problem, commitments: np.ndarray) -> float:
    try:
        return solve_block(problem, 0, commitments).usd_per_hour
    except Infeasible:
        return np.inf


def dropped(brute: ModuleType, *sold: object, **limits: object) -> list[str]:
    """Return the machines left out."""
    case = brute.Case(sold, ((10.0,),), **limits)
    return [refusal.what.split()[0] for refusal in drop_dominated(case.problem).refusals]


def test_a_dearer_and_slower_machine_is_dropped_with_its_rival_named(brute: ModuleType) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.20", (2.0,))), ((10.0,),))
    (refusal,) = drop_dominated(case.problem).refusals
    assert refusal.what == "m0.0 r on-demand, model/v0"
    assert refusal.reason == "m1.0 r on-demand, model/v0 serves as much for no more"


def test_of_equals_the_first_stays(brute: ModuleType) -> None:
    assert dropped(brute, brute.Sold("m0.0", "0.20", (1.0,)), brute.Sold("m1.0", "0.20", (1.0,))) == ["m1.0"]


def test_many_small_machines_may_take_the_place_of_a_large_one(brute: ModuleType) -> None:
    # three of 1/s for $0.33 with their disks; a machine of 2.5/s must cost no more than that to stay
    small = brute.Sold("m0.0", "0.10", (1.0,))
    assert dropped(brute, small, brute.Sold("m1.0", "0.35", (2.5,))) == ["m1.0"]
    assert dropped(brute, small, brute.Sold("m1.0", "0.30", (2.5,))) == []
    copies = count_copies_needed(brute.Case((small, brute.Sold("m1.0", "0.35", (2.5,))), ((10.0,),)).problem)
    assert copies.tolist() == [[1.0, 1.0], [3.0, 1.0]]


def test_a_rival_under_a_quota_of_its_own_drops_nothing(brute: ModuleType) -> None:
    dear, cheap = brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.20", (2.0,))
    assert dropped(brute, dear, cheap, quotas={"m1": 9}) == []
    assert dropped(brute, dear, cheap, quotas={"m0": 9}) == ["m0.0"]
    same = replace(cheap, name="m0.1")
    assert dropped(brute, dear, same, quotas={"m0": 9}) == ["m0.0"]
    assert dropped(brute, dear, same, quotas={"m0.1": 9}) == []


def test_a_variant_with_a_capped_share_replaces_no_other(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,), variant=0), brute.Sold("m1.0", "0.20", (2.0,), variant=1))
    assert dropped(brute, *sold, quality=(1.0, 1.0), share_cap=((0.5, 0.5),)) == []
    assert dropped(brute, *sold, quality=(1.0, 1.0), share_cap=((0.5, 1.0),)) == ["m0.0"]


def test_a_variant_of_less_quality_replaces_another_only_where_the_floor_does_not_bind(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,), variant=0), brute.Sold("m1.0", "0.20", (2.0,), variant=1))
    assert dropped(brute, *sold, quality=(1.0, 0.9), quality_floor=(0.95,)) == []
    assert dropped(brute, *sold, quality=(1.0, 0.9), quality_floor=(0.9,)) == ["m0.0"]


def test_a_machine_that_may_be_taken_away_drops_none_that_may_not(brute: ModuleType) -> None:
    cheap = brute.Sold("m1.0", "0.20", (2.0,), spot=True)
    assert dropped(brute, brute.Sold("m0.0", "0.30", (1.0,), spot=True), cheap) == ["m0.0"]
    assert dropped(brute, brute.Sold("m0.0", "0.30", (1.0,)), cheap) == []


def test_what_a_commitment_covers_is_beaten_only_by_what_it_covers_as_cheaply(brute: ModuleType) -> None:
    dear, cheap = brute.Sold("m0.0", "0.30", (1.0,), plan="0.15"), brute.Sold("m1.0", "0.20", (1.0,))
    assert dropped(brute, dear, cheap) == []
    assert dropped(brute, dear, replace(cheap, plan="0.16")) == []
    assert dropped(brute, dear, replace(cheap, plan="0.15")) == ["m0.0"]


def test_a_reserved_machine_is_beaten_by_one_that_can_be_reserved_for_less(brute: ModuleType) -> None:
    dear, cheap = brute.Sold("m0.0", "0.30", (1.0,), reserved="0.15"), brute.Sold("m1.0", "0.20", (1.0,), reserved="0.12")
    assert dropped(brute, dear, cheap) == ["m0.0"]
    assert dropped(brute, dear, replace(cheap, reserved="0.16")) == []
    existing = {("reserved-1y-no-upfront", "r/m0.0"): 0.15}
    assert dropped(brute, dear, cheap, existing=existing) == []


def test_a_service_paid_by_the_request_neither_drops_nor_is_dropped(brute: ModuleType) -> None:
    service = brute.Sold("api.0", "0.00", (1.0,), metered=True, usd_per_request=(1e-6,))
    assert dropped(brute, brute.Sold("m0.0", "0.30", (1.0,)), service) == []


def test_dearer_requests_are_no_bargain(brute: ModuleType) -> None:
    dear, cheap = brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.20", (1.0,), usd_per_request=(1e-6,))
    assert dropped(brute, dear, cheap) == []
    assert dropped(brute, replace(dear, usd_per_request=(1e-6,)), cheap) == ["m0.0"]
