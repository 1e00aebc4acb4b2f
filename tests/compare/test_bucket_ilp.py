"""The bucket ILP: known optima, everything tried on tiny instances, and beside the planner's own block, which may split a bucket."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.errors import InfeasibleError, InputError
from tightrope.compare.bucket_ilp import BucketInstance, BucketPlan, solve_bucket_ilp
from tightrope.plan.solve.block_solutions import solve_block

ROOT = Path(__file__).parents[2]
BLOCK_GAP = 1e-4
"""The planner's block stops within this share of its optimum."""


@pytest.fixture(scope="session")
def static() -> Iterator[ModuleType]:
    """Return the benchmark's instances and how the planner sees them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield __import__("benchmarks.static_instances", fromlist=["one_block"])


def instance(rate: list[float], most: list[list[float]], usd: list[float]) -> BucketInstance:
    """Return an instance of named buckets and machines."""
    names = tuple(f"bucket-{b}" for b in range(len(rate))), tuple(f"gpu-{m}" for m in range(len(usd)))
    return BucketInstance(*names, np.array(rate), np.array(most).reshape(len(rate), len(usd)), np.array(usd))


@st.composite
def tiny(draw: st.DrawFn) -> BucketInstance:
    """Draw two or three buckets and machines whose loads are multiples of 1/60, so that no load is nearly whole."""
    buckets, machines = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rate = draw(st.lists(st.integers(0, 6), min_size=buckets, max_size=buckets))
    row = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0]), min_size=machines, max_size=machines)
    most = draw(st.lists(row.filter(any), min_size=buckets, max_size=buckets))
    usd = draw(st.lists(st.integers(50, 400), min_size=machines, max_size=machines))
    return instance([float(r) for r in rate], most, [cents / 100 for cents in usd])


def cheapest_usd(one: BucketInstance, slice_factor: int) -> float:
    """Return the cheapest cost of all ways to deal whole slices to machines."""
    machines = range(len(one.machines))
    ways = [
        [way for way in itertools.product(range(slice_factor + 1), repeat=len(machines)) if sum(way) == slice_factor]
        for _ in one.buckets
    ]
    best = np.inf
    for dealt in itertools.product(*ways):
        slices = np.array(dealt)
        needed = np.where(one.rate_per_s[:, None] > 0.0, slices, 0)
        if (needed[one.max_per_s == 0.0] > 0).any():
            continue
        load = (needed * one.rate_per_s[:, None] / slice_factor / np.where(one.max_per_s > 0.0, one.max_per_s, 1.0)).sum(axis=0)
        best = min(best, float(np.ceil(load - 1e-6) @ one.usd_per_hour))
    return best


def split_usd(static: ModuleType, one: BucketInstance) -> tuple[float, float]:
    """Return the cost of the planner's block, and its lower bound, US dollars an hour."""
    machines = solve_block(static.one_block(one), 0, np.zeros(0), gap=0.0).machines
    return float(machines @ one.usd_per_hour), static.certified_usd_per_hour(one)


def check(one: BucketInstance, plan: BucketPlan, slice_factor: int) -> None:
    """Assert that the routing is dealt in whole slices, to machines that can serve, within what they sustain."""
    busy = one.rate_per_s > 0.0
    assert plan.routing.sum(axis=1).tolist() == pytest.approx(busy.astype(float).tolist())
    assert plan.routing * slice_factor == pytest.approx(np.rint(plan.routing * slice_factor))
    assert not plan.routing[one.max_per_s == 0.0].any()
    load = plan.routing * one.rate_per_s[:, None] / np.where(one.max_per_s > 0.0, one.max_per_s, 1.0)
    assert (load.sum(axis=0) <= plan.counts + 1e-6).all()
    assert plan.usd_per_hour == pytest.approx(float(plan.counts @ one.usd_per_hour))


def test_the_example_of_melange_takes_what_its_release_says(static: ModuleType) -> None:
    plan = solve_bucket_ilp(static.TOY)
    assert dict(zip(static.TOY.machines, plan.counts.tolist(), strict=True)) == {"A10G": 3, "A100-80GB": 1}
    assert plan.usd_per_hour == plan.bound_usd_per_hour == pytest.approx(6.70)
    check(static.TOY, plan, 1)


def test_where_a_bucket_may_be_split_the_example_costs_less(static: ModuleType) -> None:
    # all on the A100 keeps 1.125 of it busy; a third of long/short, 5/s, is the 0.125 too much, and fills one A10G
    assert solve_bucket_ilp(static.TOY, 3).counts.tolist() == [1, 1]
    cost, bound = split_usd(static, static.TOY)
    assert cost == pytest.approx(4.68)
    assert bound <= cost + 1e-9


@pytest.mark.parametrize(
    ("tpot_ms", "rate", "usd"),
    [
        (120, 8, 3.722),
        (120, 16, 7.444),
        (120, 32, 13.443),
        (120, 64, 25.201),
        (120, 128, 49.333),
        (40, 32, 15.032),
        (40, 64, 28.871),
        (40, 128, 54.196),
    ],
)
def test_four_gpus_have_their_known_optimum_proven(static: ModuleType, tpot_ms: int, rate: int, usd: float) -> None:
    one = static.four_gpus(rate, tpot_ms)
    assert static.KNOWN_USD_PER_HOUR[tpot_ms][rate] == usd
    assert split_usd(static, one) == (pytest.approx(usd, abs=1e-6), pytest.approx(usd, abs=1e-6))
    if rate <= 32:
        plan = solve_bucket_ilp(one, 4)
        assert (plan.usd_per_hour, plan.bound_usd_per_hour) == (pytest.approx(usd), pytest.approx(usd))
        check(one, plan, 4)


def test_a_finer_cut_never_costs_more(static: ModuleType) -> None:
    # with HiGHS 1.16.0's dual fixing, the cut into four is "optimal" at 7.912
    one = static.four_gpus(8, 40)
    costs = [solve_bucket_ilp(one, factor).usd_per_hour for factor in (1, 2, 4, 8)]
    assert costs == pytest.approx([7.516] * 4)


@given(tiny(), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_trying_everything_finds_nothing_cheaper(one: BucketInstance, slice_factor: int) -> None:
    if slice_factor == 3:
        one = replace(one, buckets=one.buckets[:2], rate_per_s=one.rate_per_s[:2], max_per_s=one.max_per_s[:2])
    plan = solve_bucket_ilp(one, slice_factor)
    assert plan.usd_per_hour == pytest.approx(cheapest_usd(one, slice_factor))
    assert plan.bound_usd_per_hour == pytest.approx(plan.usd_per_hour)
    check(one, plan, slice_factor)


@given(one=tiny(), slice_factor=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_slices_never_cost_less_than_a_free_split(static: ModuleType, one: BucketInstance, slice_factor: int) -> None:
    cost, bound = split_usd(static, one)
    sliced = solve_bucket_ilp(one, slice_factor).usd_per_hour
    assert bound - 1e-6 <= cost <= sliced * (1.0 + BLOCK_GAP) + 1e-6
    if len(one.machines) == 1:
        assert cost == pytest.approx(sliced)


def test_a_bucket_without_traffic_needs_no_machine() -> None:
    plan = solve_bucket_ilp(instance([0.0, 3.0], [[0.0], [2.0]], [1.5]))
    assert plan.counts.tolist() == [2]
    assert plan.routing.tolist() == [[0.0], [1.0]]
    assert plan.usd_per_hour == 3.0


def test_a_bucket_that_no_machine_serves_is_named() -> None:
    with pytest.raises(InfeasibleError, match=r"no machine serves bucket-1; tried gpu-0, gpu-1"):
        solve_bucket_ilp(instance([1.0, 1.0], [[1.0, 1.0], [0.0, 0.0]], [1.0, 2.0]))
    with pytest.raises(InfeasibleError, match=r"bucket-4 and 2 more"):
        solve_bucket_ilp(instance([1.0] * 7, [[0.0]] * 7, [1.0]))


def test_a_search_cut_short_says_what_it_proved() -> None:
    random = np.random.default_rng(1)
    most = random.uniform(1.0, 9.0, (12, 3))
    one = instance(random.uniform(1.0, 9.0, 12).tolist(), most.tolist(), [1.0, 1.1, 1.2])
    whole, cut = solve_bucket_ilp(one, 3), solve_bucket_ilp(one, 3, gap=0.5)
    assert cut.bound_usd_per_hour <= whole.usd_per_hour + 1e-6 <= cut.usd_per_hour + 2e-6
    assert cut.bound_usd_per_hour < cut.usd_per_hour
    check(one, cut, 3)


@pytest.mark.parametrize(
    ("rate", "most", "usd", "what"),
    [
        ([1.0], [[np.nan]], [1.0], "max_per_s holds nan"),
        ([-1.0], [[1.0]], [1.0], "rate_per_s holds -1.0"),
        ([1.0], [[1.0]], [np.inf], "usd_per_hour holds inf"),
    ],
    ids=["max", "rate", "usd"],
)
def test_what_is_no_amount_is_refused(rate: list[float], most: list[list[float]], usd: list[float], what: str) -> None:
    with pytest.raises(InputError, match=what):
        instance(rate, most, usd)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"max_per_s has the shape \(1, 1\) where buckets and machines make it \(1, 2\)"):
        BucketInstance(("b",), ("m", "n"), np.ones(1), np.ones((1, 1)), np.ones(2))
    with pytest.raises(InputError, match="slice factor of 0"):
        solve_bucket_ilp(instance([1.0], [[1.0]], [1.0]), 0)
