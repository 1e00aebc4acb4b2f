"""What every variant does on every machine: the same figures as the plan's own, and a front that nothing beats."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.speed_table import SpeedRow, find_pareto_front, find_speeds

SPEED = SpeedRow(
    "chat",
    "m/v",
    "g6.xlarge",
    "aws",
    "us-east-1",
    "spot",
    "",
    1.0,
    10.0,
    0.1,
    "ttft p95 ≤ 1 s",
    0.1,
    0.5,
    13.9,
    None,
    "model",
    0.25,
    "s",
)


def test_a_million_requests_cost_what_the_machine_hours_cost(workload: Workload, book: PriceBook) -> None:
    speeds = find_speeds(workload, book, CapacityTable())
    assert speeds
    for item in speeds:
        if item.requests_per_s is not None:
            assert item.usd_per_million_requests == pytest.approx(item.usd_per_hour / 3600.0 / item.requests_per_s * 1e6)
        assert 0.0 < item.error_band <= 1.0
        assert item.source


def test_they_are_the_rates_that_the_plan_is_made_with(workload: Workload, book: PriceBook) -> None:
    table = CapacityTable()
    problem = build_problem(workload, book, table, {}, whole=True)
    speeds = find_speeds(workload, book, table)
    for c, name in enumerate(problem.interactive):
        rates = {item.requests_per_s for item in speeds if item.traffic_class == name and item.requests_per_s is not None}
        peak = int(np.argmax(problem.rate[c]))
        assert rates == {float(rate) for rate in problem.mu[c, :, peak] if rate > 0.0}


FIGURES = st.tuples(
    st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.1, 0.5, None]), st.sampled_from([0.9, 1.0]), st.sampled_from(["a", "b"])
)


@given(st.lists(FIGURES, min_size=1, max_size=12))
def test_nothing_beats_the_front_and_the_front_beats_the_rest(figures: list[tuple[float, float | None, float, str]]) -> None:
    speeds = tuple(
        replace(SPEED, usd_per_million_requests=usd, promise_used=used, quality=quality, traffic_class=name, machine=str(place))
        for place, (usd, used, quality, name) in enumerate(figures)
    )

    def cost(item: SpeedRow) -> np.ndarray:
        used = np.inf if item.promise_used is None else item.promise_used
        return np.array([item.usd_per_million_requests, used, -item.quality])

    front = find_pareto_front(speeds)
    for item in speeds:
        rivals = [other for other in front if other.traffic_class == item.traffic_class]
        assert any(np.all(cost(other) <= cost(item)) for other in rivals), "everything is matched by the front"
        beaten = any(np.all(cost(other) <= cost(item)) and np.any(cost(other) < cost(item)) for other in rivals)
        assert not (item in front and beaten)
