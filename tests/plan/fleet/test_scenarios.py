"""What may go wrong: a surge keeps the day's shape, and drills fall on the busiest time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.plan.fleet.recorded_traffic import RecordedTraffic
from tightrope.plan.fleet.scenarios import (
    NEAR_S,
    ReplayScenario,
    drop_caches,
    find_busiest_s,
    parse_scenarios,
    place_drills,
    surged,
)
from tightrope.plan.plan_json import rebuild_fleet
from tightrope.replay.records import ResponseCache, Traffic

HOUR_S = 3600.0


def traffic_at(time_s: np.ndarray) -> Traffic:
    count = np.arange(len(time_s))
    return Traffic(time_s, 0 * count, count + 1, count + 2, key=count, deadline_s=time_s + 100.0)


def recorded(time_s: np.ndarray, duration_s: float) -> RecordedTraffic:
    return RecordedTraffic(traffic_at(time_s), 5 * HOUR_S, 2 * HOUR_S, duration_s, ("here",))


@settings(deadline=None)
@given(st.floats(0.1, 4.0), st.integers(0, 5))
def test_a_surge_has_that_many_times_the_requests_each_near_its_own(factor: float, seed: int) -> None:
    time_s = np.sort(np.random.default_rng(7).uniform(0.0, HOUR_S, 2000))
    found = surged(traffic_at(time_s), factor, HOUR_S, seed)
    assert len(found.time_s) == pytest.approx(2000 * factor, abs=5 * np.sqrt(2000) / 2)
    assert (np.diff(found.time_s) >= 0.0).all()
    assert (np.abs(found.time_s - time_s[found.input_tokens - 1]) <= NEAR_S).all()
    assert found.time_s.min() >= 0.0
    assert found.time_s.max() <= HOUR_S
    assert (found.output_tokens == found.input_tokens + 1).all()
    assert found.key is not None
    assert (found.key == found.input_tokens - 1).all()


def test_a_whole_surge_keeps_every_original() -> None:
    time_s = np.linspace(0.0, HOUR_S, 500)
    found = surged(traffic_at(time_s), 2.0, HOUR_S, 1)
    assert len(found.time_s) == 1000
    assert np.isin(time_s, found.time_s).all()
    assert np.bincount(found.input_tokens - 1).tolist() == [2] * 500


def test_the_same_seed_draws_the_same_copies() -> None:
    traffic = traffic_at(np.linspace(0.0, HOUR_S, 200))
    one, same, other = (surged(traffic, 1.5, HOUR_S, seed) for seed in (1, 1, 2))
    assert one.time_s.tobytes() == same.time_s.tobytes()
    assert one.time_s.tobytes() != other.time_s.tobytes()
    assert surged(traffic, 1.0, HOUR_S, 1) is traffic


@pytest.mark.parametrize(
    ("stated", "found", "said"),
    [
        ((), ReplayScenario(), ""),
        (("surge=2x",), ReplayScenario(surge=2.0), "surge=2x"),
        (("surge=1.5", "no-cache"), ReplayScenario(surge=1.5, no_cache=True), "surge=1.5x + no-cache"),
        (("spot-storm", "surge=4x"), ReplayScenario(4.0, drill="spot-storm"), "spot-storm + surge=4x"),
        (("zone-loss", "zone-loss"), ReplayScenario(drill="zone-loss"), "zone-loss"),
    ],
)
def test_scenarios_are_read_and_said(stated: tuple[str, ...], found: ReplayScenario, said: str) -> None:
    assert parse_scenarios(stated) == found
    assert str(found) == said


@pytest.mark.parametrize("text", ["surge=", "surge=-1", "surge=1e9", "surge=inf", "no-cache=1", "ZONE-LOSS", ""])
def test_what_is_no_scenario_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="Resolve: "):
        parse_scenarios((text,))


def test_a_surge_that_changes_nothing_and_a_second_one_are_refused() -> None:
    with pytest.raises(InputError, match="leaves the traffic as it was recorded\nResolve: "):
        parse_scenarios(("surge=1x",))
    for second in ("surge=2x", "surge=100x"):
        with pytest.raises(InputError, match="two surges at once: surge=2x and "):
            parse_scenarios(("surge=2x", second))


@given(st.lists(st.floats(0.0, 7199.0), min_size=1, max_size=60), st.integers(1, 60))
def test_no_stretch_is_busier_than_the_busiest(times: list[float], minutes: int) -> None:
    time_s = np.array(sorted(times))
    start_s, length_s = find_busiest_s(time_s, 7200.0, 60.0 * minutes), 60.0 * minutes

    def held(first_s: float) -> int:
        return int(np.count_nonzero((time_s >= first_s) & (time_s < first_s + length_s)))

    assert 0.0 <= start_s <= 7200.0 - length_s
    assert held(start_s) == max(held(60.0 * first) for first in range(120 - minutes + 1))


def test_a_drill_falls_on_the_busiest_half_hour_of_those_who_do_not_wait(plan: Plan) -> None:
    fleet = rebuild_fleet(plan)
    busy = np.concatenate([np.linspace(0.0, 7200.0, 60), np.linspace(4000.0, 4900.0, 100)])
    night = np.linspace(100.0, 900.0, 5000)
    time_s = np.concatenate([busy, night])
    classes = np.concatenate([np.zeros(len(busy), dtype=np.int64), np.ones(len(night), dtype=np.int64)])
    order = np.argsort(time_s)
    traffic = replace(traffic_at(time_s[order]), traffic_class=classes[order])
    drills = place_drills("zone-loss", fleet, replace(recorded(time_s, 7200.0), traffic=traffic))
    assert {drill.end_s - drill.start_s for drill in drills} == {1800.0}
    assert all(drill.start_s <= 4000.0 and drill.end_s >= 4900.0 for drill in drills)
    assert [drill.zone for drill in drills] == list(range(max(pool.zones for pool in fleet.pools)))
    assert len(place_drills("spot-storm", fleet, recorded(time_s, 7200.0))) == 1


def test_a_drill_finds_a_fleet_to_take_from(plan: Plan) -> None:
    fleet = rebuild_fleet(plan)
    even = recorded(np.linspace(0.0, 599.0, 600), 600.0)
    assert [(drill.start_s, drill.end_s) for drill in place_drills("metrics-loss", fleet, even)] == [(60.0, 360.0)]
    minute = recorded(np.linspace(0.0, 59.0, 60), 60.0)
    assert [(drill.start_s, drill.end_s) for drill in place_drills("metrics-loss", fleet, minute)] == [(30.0, 60.0)]


def test_a_short_trace_has_a_short_drill(plan: Plan) -> None:
    drills = place_drills("metrics-loss", rebuild_fleet(plan), recorded(np.array([0.0, 500.0]), 600.0))
    assert [drill.end_s - drill.start_s for drill in drills] == [300.0]


def test_without_caches_there_are_none(plan: Plan) -> None:
    fleet = rebuild_fleet(plan)
    cached = replace(
        fleet, cache=ResponseCache(5, 1.0), pools=tuple(replace(pool, prefix_block_tokens=16) for pool in fleet.pools)
    )
    bare = drop_caches(cached)
    assert bare.cache is None
    assert {pool.prefix_block_tokens for pool in bare.pools} == {0}
