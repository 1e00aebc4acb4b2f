"""The way to users and back: taken off what is promised, refused where it is not known."""

from dataclasses import replace

import pytest

from tightrope.base.places import WherePolicy
from tightrope.base.records import Slo, TrafficClass, Workload
from tightrope.plan.problem.demand_week import lead_seconds, size_classes
from tightrope.plan.problem.distance import group_by_distance, round_trip_s, tighten_promises

WHERE = WherePolicy({"aws": ("us-east-1", "us-west-2", "eu-west-1")}, (), {}, True, {("us-east-1", "us-west-2"): 0.07})


@pytest.fixture
def web(workload: Workload) -> TrafficClass:
    slos = (Slo("latency", 0.95, 0.9), Slo("ttft", 0.9, 0.3), Slo("tpot", 0.9, 0.05))
    return replace(workload.classes[0], place=("aws", "us-east-1"), slos=slos)


def test_the_way_is_none_at_home_and_unknown_where_nobody_says(web: TrafficClass) -> None:
    found = [round_trip_s(web, region, WHERE) for region in ("us-east-1", "us-west-2", "eu-west-1")]
    assert found == [0.0, 0.07, None]
    assert round_trip_s(replace(web, place=None), "eu-west-1", WHERE) == 0.0


def test_the_way_is_taken_off_latency_and_first_token_alone(web: TrafficClass) -> None:
    near = tighten_promises(web, 0.07)
    assert near is not None
    assert [slo.limit_s for slo in near.slos] == pytest.approx([0.83, 0.23, 0.05])
    assert tighten_promises(web, 0.3) is None
    assert tighten_promises(web, None) is None
    assert tighten_promises(web, 0.0) is web


def test_work_that_waits_may_be_done_anywhere(workload: Workload) -> None:
    night = replace(workload.classes[1], place=("aws", "us-east-1"))
    assert tighten_promises(night, None) is night
    assert tighten_promises(night, 5.0) is night


def test_regions_equally_far_are_one_group_and_refusals_have_reasons(workload: Workload, web: TrafficClass) -> None:
    placed = replace(workload, classes=(web, *workload.classes[1:]), where=WHERE)
    sized = size_classes(placed, {}, lead_seconds(placed))
    found = {near.where.regions["aws"]: (seen, refused) for near, seen, refused in group_by_distance(placed, sized)}
    assert set(found) == {("us-east-1",), ("us-west-2",), ("eu-west-1",)}
    assert [len(seen) for seen, _ in found.values()] == [2, 2, 1]
    (refusal,) = found["eu-west-1",][1]
    assert refusal.what == "web in eu-west-1"
    assert refusal.reason == "web: no round trip from us-east-1 is stated in where.round_trip"


def test_without_places_all_regions_are_one_group(workload: Workload) -> None:
    sized = size_classes(workload, {}, lead_seconds(workload))
    ((near, seen, refused),) = group_by_distance(workload, sized)
    assert near.where.regions == workload.where.regions
    assert repr(seen) == repr(sized)  # Python 3.13 compares arrays even with themselves
    assert refused == ()
