"""The decision's arrays: what stays when options, blocks or time are taken away."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.units import HOURS_PER_MONTH
from tightrope.plan.problem.arrays import Problem, drop_commitments, restrict, static, take_blocks, usage_of


@pytest.fixture
def problem(brute: ModuleType) -> Problem:
    sold = (
        brute.Sold("m0.0", "0.30", (1.0, 2.0), plan="0.20", work=0.5, usd_per_request=(1e-5, 2e-5)),
        brute.Sold("m1.0", "0.10", (0.5, 0.0), spot=True, work=0.25),
        brute.Sold("m0.1", "0.50", (2.0, 4.0), variant=1, work=1.0, family_plan="0.30"),
    )
    case = brute.Case(
        sold,
        existing={("instance-savings-plan-1y-no-upfront", "r/m0"): 0.2},
        block_hours=(100.0, 300.0, 330.0),
        rate=((1.0, 3.0, 2.0), (5.0, 0.0, 1.0)),
        share_cap=((1.0, 0.5), (1.0, 1.0)),
        quality=(0.9, 1.0),
        windows=(((0, 1), 3600.0), ((2,), 900.0)),
        quotas={"m0": 4},
    )
    found: Problem = case.problem
    return found


def test_a_static_fleet_stands_for_every_classes_own_peak(problem: Problem) -> None:
    found = static(problem)
    assert found.blocks == 1
    assert found.rate.tolist() == [[3.0], [5.0]]
    assert found.mean_rate.tolist() == [[2.0], [2.0]]
    assert found.mu[:, :, 0].tolist() == [[1.0, 0.5, 2.0], [2.0, 0.0, 4.0]]
    assert found.block_hours.tolist() == [HOURS_PER_MONTH]
    assert found.covers == problem.covers
    assert [(w.blocks.tolist(), w.requests) for w in found.windows] == [([0], 1800.0)]  # the busier window, an hour's part


def test_restricting_takes_options_from_every_array(problem: Problem) -> None:
    kept = restrict(problem, np.array([True, False, True]))
    assert [option.machine.name for option in kept.options] == ["m0.0", "m0.1"]
    assert kept.mu.shape == (2, 2, 3)
    assert kept.usd_per_hour.tolist() == problem.usd_per_hour[[0, 2]].tolist()
    assert kept.variant_of.tolist() == [0, 1]
    assert kept.quotas[0].mask.tolist() == [True, True]
    assert kept.work_per_s.tolist() == [[0.5, 1.0]]
    assert kept.disk_usd_per_hour.tolist() == problem.disk_usd_per_hour[[0, 2]].tolist()
    assert kept.usd_per_request.tolist() == [[1e-5, 0.0], [2e-5, 0.0]]
    assert kept.usd_per_work.shape == (1, 2)
    assert kept.cover_rates.tolist() == problem.cover_rates[:, [0, 2]].tolist()
    assert kept.metered.shape == kept.only_covered.shape == (2,)
    assert restrict(problem, np.ones(3, dtype=bool)) is problem


def test_blocks_are_taken_in_the_order_given_without_their_windows(problem: Problem) -> None:
    taken = take_blocks(problem, np.array([2, 0]))
    assert taken.rate.tolist() == [[2.0, 1.0], [1.0, 5.0]]
    assert taken.windows == ()
    assert taken.mu.shape == (2, 3, 2)
    assert taken.mean_rate.tolist() == [[2.0, 1.0], [1.0, 5.0]]
    assert taken.block_hours.tolist() == [330.0, 100.0]


def test_without_commitment_only_what_exists_is_left(problem: Problem) -> None:
    (left,) = drop_commitments(problem).covers
    assert (left.scope, left.existing_usd_per_hour) == ("r/m0", 0.2)
    assert not left.may_grow
    fresh = replace(problem, covers=tuple(replace(cover, existing_usd_per_hour=0.0) for cover in problem.covers))
    assert drop_commitments(fresh).covers == ()
    assert drop_commitments(fresh).cover_rates.shape == (0, 3)


def test_what_a_cover_takes_and_what_it_covers(problem: Problem) -> None:
    infinite = float("inf")
    assert problem.cover_rates.tolist() == [[infinite, infinite, 0.3], [0.2, infinite, infinite]]
    assert [cover.covers.tolist() for cover in problem.covers] == [[False, False, True], [True, False, False]]
    assert problem.existing_usd_per_hour.tolist() == [0.2, 0.0]


def test_usage_weighs_every_block_by_its_hours(problem: Problem) -> None:
    usage = usage_of(problem, np.ones((3, 3), dtype=np.int64), ["a", "b", "c"])
    assert usage.hours_per_month.tolist() == [100.0, 300.0, 330.0]
    assert [(line.pool, line.machine, line.offer) for line in usage.lines] == [
        ("a", "m0.0", "on-demand"),
        ("b", "m1.0", "spot"),
        ("c", "m0.1", "on-demand"),
    ]


def test_labels_say_machine_region_offer_and_variant(problem: Problem) -> None:
    assert problem.options[1].label == "m1.0 r spot, model/v0"
    assert [option.interruptible for option in problem.options] == [False, True, False]
