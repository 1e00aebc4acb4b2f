"""From zero and back: a request that finds no machine starts one, which goes again when nobody has come for a while."""

from collections.abc import Callable
from dataclasses import replace

import fleets
import numpy as np
import pytest
from reference import replay_slowly

from tightrope.base.records import ScalingPolicy
from tightrope.policy.scaling import sleeps, wakes
from tightrope.replay.records import ANSWERED, Drill, Fleet, FleetPool, Outcome, Traffic
from tightrope.replay.run import replay_fleet

Engine = Callable[..., Outcome]
HPA = ScalingPolicy(True, 0.5, 2.0, 0.1, 15.0, 0.0, 0.0, 0.0, metric_window_s=15.0)


@pytest.fixture(params=[replay_fleet, replay_slowly], ids=["fast", "slow"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


def asleep(**fields: object) -> FleetPool:
    """Return a pool that nothing is scheduled for, of machines that start in 40 s and answer in 2 s."""
    return fleets.pool(fleets.engine(2.0), 0, **({"ceiling": 3, "start_s": 40.0, "cooldown_s": 60.0} | fields))


def played(engine: Engine, what: Fleet, traffic: Traffic, drill: Drill | None = None) -> Outcome:
    return engine(what, traffic, duration_s=1800.0, block_offset_s=0.0, seed=0, drill=drill)


def test_a_request_starts_a_machine_and_an_idle_one_goes(engine: Engine) -> None:
    # asked for in the round at 15 s, ready in that at 60 s, which is the last that sees the request: gone at 120 s
    outcome = played(engine, fleets.fleet(asleep(), scaling=HPA), fleets.traffic([10.0]))
    assert outcome.begin_s.tolist() == [60.0]
    assert outcome.finish_s.tolist() == [62.0]
    assert outcome.cold_starts == 1
    assert fleets.seconds_billed(outcome) == [pytest.approx(120.0 - 15.0)]


def test_whoever_comes_while_it_is_awake_finds_it_and_the_next_wakes_it_again(engine: Engine) -> None:
    outcome = played(engine, fleets.fleet(asleep(), scaling=HPA), fleets.traffic([10.0, 100.0, 400.0]))
    assert outcome.begin_s.tolist() == [60.0, 100.0, 450.0]
    assert outcome.cold_starts == 2


def test_awake_it_is_the_autoscalers(engine: Engine) -> None:
    # two requests a second for one machine's half: as many machines as the ceiling allows, and none in the end
    outcome = played(engine, fleets.fleet(asleep(), scaling=HPA), fleets.traffic(np.arange(5.0, 305.0, 0.5)))
    assert (outcome.ended == ANSWERED).all()
    assert outcome.cold_starts == 1
    billed_s = fleets.seconds_billed(outcome)[0]
    assert 3 * 250.0 < billed_s < 3 * 1800.0
    last_s = outcome.finish_s.max()
    assert billed_s < 3 * (last_s + 60.0 + 15.0)


@pytest.mark.parametrize(
    ("fields", "scaling"),
    [({"cooldown_s": None}, HPA), ({}, fleets.FIXED), ({"ceiling": 1, "keep_alive_s": None, "cooldown_s": None}, HPA)],
    ids=["not-asked-for", "no-autoscaler", "off"],
)
def test_without_it_they_wait_for_the_schedule(engine: Engine, fields: dict[str, object], scaling: ScalingPolicy) -> None:
    outcome = played(engine, fleets.fleet(asleep(**fields), scaling=scaling), fleets.traffic([10.0]))
    assert outcome.cold_starts == 0
    assert np.isinf(outcome.finish_s).all()


def test_nobody_is_woken_where_another_of_the_group_is_there_or_on_its_way(engine: Engine) -> None:
    on = replace(asleep(name="on"), schedule=np.ones(168, dtype=np.int64), start_s=0.0, cooldown_s=None)
    outcome = played(engine, fleets.fleet(asleep(), on, scaling=HPA), fleets.traffic([10.0, 11.0]))
    assert outcome.pool.tolist() == [1, 1]
    assert outcome.cold_starts == 0
    # the first in order wakes, the second sees it start
    outcome = played(engine, fleets.fleet(asleep(), asleep(name="other"), scaling=HPA), fleets.traffic([10.0]))
    assert outcome.pool.tolist() == [0]
    assert outcome.cold_starts == 1
    # where the first is not to be had, the second is
    spot = asleep(interruptions_per_hour=1e-9)
    storm = Drill("spot-storm", 0.0, 1800.0)
    outcome = played(engine, fleets.fleet(spot, asleep(name="other"), scaling=HPA), fleets.traffic([10.0]), storm)
    assert outcome.pool.tolist() == [1]


def test_the_schedule_relieves_what_was_woken(engine: Engine) -> None:
    # the other pool's hour begins at 3600 s: with requests every 20 s the woken one would never be idle
    day = replace(
        asleep(name="day"), schedule=np.array([0] + [1] * 167, dtype=np.int64), start_s=0.0, cooldown_s=None, requests_per_s=0.9
    )
    what = fleets.fleet(asleep(ceiling=1), day, scaling=HPA)
    traffic = fleets.traffic(np.arange(2000.0, 5000.0, 20.0))
    outcome = engine(what, traffic, duration_s=5400.0, block_offset_s=0.0, seed=0, drill=None)
    assert (outcome.ended == ANSWERED).all()
    # ready at 3600 s, seen by the round after
    assert outcome.machine_hours[0].sum() * 3600.0 == pytest.approx(3600.0 + 15.0 - 2010.0, abs=16.0)


def test_the_rules_are_the_policys() -> None:
    assert wakes(3, 0)
    assert not wakes(3, 2)
    assert not sleeps(1e9 - 1.0, 1e9, relieved=False)
