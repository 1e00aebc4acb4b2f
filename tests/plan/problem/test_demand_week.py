"""Each class's week: rates rounded up, sized on what sizing may see, and when a year may be committed to."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import TrafficClass, Workload
from tightrope.plan.problem.demand_week import RATE_STEP, _round_up, lead_seconds, may_commit, size_classes

Load = Callable[..., Workload]


@given(st.lists(st.floats(0.0, 1e7), min_size=1))
def test_rates_are_rounded_up_by_less_than_a_step(rates: list[float]) -> None:
    rate = np.array(rates)
    found = _round_up(rate)
    assert (found >= rate * (1.0 - 1e-9)).all()
    assert (found <= rate * (1.0 + RATE_STEP) * (1.0 + 1e-9)).all()
    assert ((found == 0.0) == (rate == 0.0)).all()
    assert _round_up(found) == pytest.approx(found, rel=1e-9)


def test_classes_are_sized_on_what_sizing_may_see(workload: Workload) -> None:
    before = size_classes(workload, {}, 165.0)
    web = workload.classes[0]
    louder = web.demand.rate_per_s.copy()
    louder[-len(louder) // 14 :] *= 100.0
    changed = replace(workload, classes=(replace(web, demand=replace(web.demand, rate_per_s=louder)), *workload.classes[1:]))
    after = size_classes(changed, {}, 165.0)
    assert np.array_equal(before[0].planned, after[0].planned)
    assert (before[0].planned >= before[0].expected * (1.0 - 1e-9)).all()
    raised = size_classes(workload, {"web": 1.5}, 165.0)
    assert (raised[0].planned >= 1.5 * before[0].planned / (1.0 + RATE_STEP)).all()
    assert np.array_equal(raised[1].planned, before[1].planned)


def test_growth_and_surge_are_planned_for_and_growth_alone_is_expected(workload: Workload) -> None:
    plain, _ = size_classes(workload, {}, 165.0)
    web = replace(workload.classes[0], growth=0.5, surge=0.2)
    grown, _ = size_classes(replace(workload, classes=(web, workload.classes[1])), {}, 165.0)
    assert grown.expected == pytest.approx(1.5 * plain.expected)
    assert grown.work == pytest.approx(1.8 * plain.work)
    assert (grown.planned >= 1.8 * plain.planned / (1.0 + RATE_STEP)).all()


def test_a_rise_waits_for_the_metric_the_autoscaler_and_a_machine(workload: Workload) -> None:
    scaling = replace(workload.scaling, metric_lag_s=30.0, sync_s=15.0, machine_start_s=120.0)
    assert lead_seconds(replace(workload, scaling=scaling)) == 165.0


@pytest.mark.parametrize(("days", "may"), [(8, True), (7, False)])
def test_a_year_is_not_committed_to_on_less_than_a_week(workload: Workload, days: int, may: bool) -> None:
    def cut(item: TrafficClass) -> TrafficClass:
        rate = np.resize(item.demand.rate_per_s, int(days * 86_400.0 / item.demand.bin_s))
        return replace(item, demand=replace(item.demand, rate_per_s=rate))

    # the last day is held out
    seen = replace(workload, classes=tuple(cut(item) for item in workload.classes), heldout_share=1.0 / days)
    assert may_commit(seen) is may
