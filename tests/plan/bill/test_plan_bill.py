"""The bill by cost driver: used and idle time apart, and what does not depend on machines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_workload import constant_lines

from tightrope.base.plan import Committed, Usage, UsageLine
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.offers.bill import charge_fleet
from tightrope.plan.problem.cost_lines import build_machine_lines, total_usd, used_share
from tightrope.plan.prove.proof import Proof
from tightrope.plan.solve.constraints import work_hours

LINES = (
    UsageLine("a", "aws", "us-east-1", "c6i.large", "on-demand"),
    UsageLine("b", "aws", "us-east-1", "c6i.large", "spot"),
)


@given(
    hours=st.lists(st.floats(0.0, 50.0), min_size=4, max_size=4),
    used=st.floats(0.0, 1.0),
    commitment=st.floats(0.0, 3.0),
    disk=st.floats(0.0, 0.1),
)
def test_used_and_idle_are_the_whole_bill(
    book: PriceBook, hours: list[float], used: float, commitment: float, disk: float
) -> None:
    usage = Usage(LINES, np.array(hours).reshape(2, 2), np.array([300.0, 430.0]))
    committed = (Committed("aws", "compute-savings-plan-1y-no-upfront", "", commitment),)
    lines = build_machine_lines(usage, book, committed, {"a": used}, disk)
    disks = disk * float((usage.machine_hours @ usage.hours_per_month).sum())
    assert total_usd(lines) == pytest.approx(total_usd(charge_fleet(usage, book, committed)) + disks, abs=1e-6)
    mine = {
        driver: sum(line.usd for line in lines if (line.driver, line.pool) == (driver, "a")) for driver in ("compute", "idle")
    }
    assert mine["compute"] == pytest.approx(used * sum(mine.values()), abs=1e-6)
    assert not any(line.driver == "idle" and line.pool == "b" for line in lines)


def test_egress_grows_with_the_traffic_planned_for_beyond_what_is_free(workload: Workload, book: PriceBook) -> None:
    web = workload.classes[0]
    grown = replace(workload, classes=(replace(web, growth=0.5), *workload.classes[1:]))
    now, then = (
        {line.driver: line.usd for line in constant_lines(one, book, {"big/int8"}, "aws", "us-east-1") if line.driver == "egress"}
        for one in (workload, grown)
    )
    free_usd = 0.09 * 100.0
    assert then["egress"] + free_usd == pytest.approx(1.5 * (now["egress"] + free_usd))


def test_only_the_variants_in_use_are_stored(workload: Workload, book: PriceBook) -> None:
    def stored(*variants: str) -> float:
        return sum(
            line.usd for line in constant_lines(workload, book, set(variants), "aws", "us-east-1") if line.driver == "storage"
        )

    assert stored("big/fp32", "big/int8") == pytest.approx(5.0 * stored("big/int8"))
    assert stored() == 0.0


def test_used_shares_are_shares_and_only_paid_pools_have_one(proof: Proof) -> None:
    problem, solution = proof.problem, proof.solution
    hours = [work_hours(problem, w) for w in range(len(problem.windows))]
    used = used_share(problem, solution.machines, solution.share, solution.work, hours)
    paid = solution.machines.any(axis=1)
    assert ((used > 0.0) == paid).all()
    assert (used <= 1.0).all()
