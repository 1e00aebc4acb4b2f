"""From workload to arrays: every candidate an option or a reason, every window of work a row, every limit a mask."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cost_lines import disk_usd_per_hour
from tightrope.plan.prove.proof import Bench, split_by_region

Load = Callable[..., Workload]


@pytest.fixture(scope="module")
def problem(bench: Bench) -> Problem:
    (first, *_) = split_by_region(bench.workload)
    return build_problem(first, bench.book, bench.table, {})


def test_every_candidate_is_an_option_or_has_a_reason(bench: Bench, problem: Problem) -> None:
    assert all(refusal.reason for refusal in problem.refusals)
    refused = {refusal.what for refusal in problem.refusals}
    options = {option.label for option in problem.options}
    assert not options & refused
    for machine in bench.book.machines(bench.workload.where.families):
        for variant in bench.workload.variants:
            for offer in ("on-demand", "spot"):
                sold = f"{machine.name} us-east-1 {offer}"
                assert {f"{sold}, {variant.name}", sold, f"{variant.name} on {machine.name}"} & (options | refused)


def test_a_machine_that_misses_the_promise_is_refused_with_its_figure(load: Load, book: PriceBook) -> None:
    workload = load(("latency p95 <= 900 ms", "latency p95 <= 300 ms"), ("    quality_floor: 0.9\n", ""))
    problem = build_problem(workload, book, CapacityTable(), {})
    c, labels = problem.interactive.index("web"), [option.label for option in problem.options]
    assert {label.split(", ")[1] for p, label in enumerate(labels) if problem.mu[c, p].any()} <= {"big/int8", "small/int8"}


def test_the_arrays_fit_and_weigh_a_month(problem: Problem) -> None:
    count, blocks = len(problem.options), problem.blocks
    assert blocks == 168
    assert problem.block_hours.sum() == pytest.approx(HOURS_PER_MONTH)
    assert problem.mu.shape == (len(problem.interactive), count, blocks)
    assert problem.usd_per_request.shape == (len(problem.interactive), count)
    assert problem.usd_per_work.shape == problem.work_per_s.shape == (len(problem.deferrable), count)
    assert all(cover.usd_per_hour.shape == (count,) for cover in problem.covers)
    assert len(problem.windows) == 7


def test_an_hour_costs_its_offer_and_its_disk(problem: Problem, book: PriceBook) -> None:
    for p, option in enumerate(problem.options):
        disk = disk_usd_per_hour(book, option.machine.cloud, option.region, 100.0)
        assert problem.disk_usd_per_hour[p] == disk > 0.0
        assert problem.usd_per_hour[p] == pytest.approx(option.terms.usd_per_hour + disk)


def test_where_nothing_is_sold_so_the_offers_are_named(load: Load, book: PriceBook, bench: Bench) -> None:
    workload = load(("offers: [on-demand, spot, compute-savings-plan-1y-no-upfront]", "offers: [spot]"))
    nowhere = replace(workload, where=replace(workload.where, regions={"aws": ("mars-north-1",)}))
    with pytest.raises(InfeasibleError, match="offers: none of spot runs a machine that could serve here") as caught:
        build_problem(nowhere, book, bench.table, {})
    assert "purchase.offers" in caught.value.resolve


def test_a_window_without_a_whole_hour_is_refused(load: Load, book: PriceBook, bench: Bench) -> None:
    workload = load(('release: "22:00", deadline: "04:00"', 'release: "22:10", deadline: "22:50"'))
    with pytest.raises(InfeasibleError, match=r"deadline: the window of 'night'.* holds no whole hour"):
        build_problem(workload, book, bench.table, {})


def test_quotas_name_a_family_or_a_type(workload: Workload, book: PriceBook, bench: Bench) -> None:
    where = replace(workload.where, regions={"aws": ("us-east-1",)}, quotas={"c6i": 7, "c7i.large": 3})
    problem = build_problem(replace(workload, where=where), book, bench.table, {})
    names = [option.machine.name for option in problem.options]
    found = {quota.name: (quota.mask.tolist(), quota.machines) for quota in problem.quotas}
    assert found == {
        "c6i": ([name.startswith("c6i.") for name in names], 7),
        "c7i.large": ([name == "c7i.large" for name in names], 3),
    }
