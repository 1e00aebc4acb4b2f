"""Machines over time: the schedule, the autoscaler, spot, a lost zone, and what is billed for them."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from fleets import FIXED, engine, fleet, poisson, pool, replay, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.records import ScalingPolicy
from tightrope.replay.records import SPOT_NOTICE_S, Drill, Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

HPA = ScalingPolicy(True, 0.5, 1.0, 0.1, 15.0, 0.0, 60.0, 0.0)
SYNC_S = 15.0


def machines_by_round(what: Fleet, requests: Traffic, rounds: int) -> list[int]:
    """Return the machines billed in each of the first rounds: what one more round adds to the bill."""
    billed = [
        replay_fleet(what, requests, duration_s=SYNC_S * n, block_offset_s=0.0, seed=0).machine_hours.sum() * 3600.0
        for n in range(1, rounds + 1)
    ]
    return np.rint(np.diff(billed, prepend=0.0) / SYNC_S).astype(int).tolist()


def steady(rate_per_s: float, until_s: float) -> Traffic:
    """Return evenly spaced requests, none of them at a round."""
    return traffic((np.arange(int(rate_per_s * until_s)) + 0.5) / rate_per_s)


# ------------------------------------------------------------------------------------------------------ schedule and bill


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=12), st.integers(0, 167), st.booleans())
def test_a_schedule_is_billed_exactly(machines: list[int], first_hour: int, hpa: bool) -> None:
    """Without traffic the autoscaler changes nothing; machines stop on the hour, and start 75 s before it: they take 77 s."""
    schedule = np.resize(np.array(machines), 168)
    what = fleet(
        pool(engine(1.0), schedule.tolist(), start_s=77.0), scaling=replace(HPA, downscale_stabilization_s=0.0) if hpa else FIXED
    )
    hours = len(machines)
    outcome = replay(what, traffic([]), hours, offset_s=3600.0 * first_hour)
    now, then = (schedule[(first_hour + np.arange(hours) + later) % 168] for later in (0, 1))
    assert outcome.machine_hours[0] == pytest.approx(now + np.maximum(then - now, 0) * 75.0 / 3600.0, abs=1e-12)


def test_an_hour_that_is_not_whole_is_billed_as_it_is() -> None:
    outcome = replay(fleet(pool(engine(1.0), 3)), traffic([]), 2.25)
    assert outcome.machine_hours[0] == pytest.approx([3.0, 3.0, 0.75])


def test_a_machine_that_is_told_to_go_finishes_its_work_and_is_billed_for_it() -> None:
    requests = traffic([3590.0, 3590.0, 3601.0])
    outcome = replay(fleet(pool(engine(100.0), [2, 1])), requests, 2.0)
    assert outcome.finish_s == pytest.approx([3690.0, 3690.0, 3790.0])
    assert outcome.machine_hours[0] == pytest.approx([2.0, 1.0 + 90.0 / 3600.0])
    assert (outcome.retries, outcome.interruptions) == (0, 0)


def test_requests_wait_for_the_first_machine() -> None:
    """Asked for at 3510 for the hour that begins at 3600, it is there 100 s later: at the round at 3615 it takes what waits."""
    outcome = replay(fleet(pool(engine(2.0), [0, 1], start_s=100.0)), traffic([10.0, 20.0]), 2.0)
    assert outcome.finish_s == pytest.approx([3617.0, 3619.0])


# ------------------------------------------------------------------------------------------------------------- autoscaler


def test_the_autoscaler_worked_by_hand_up_and_down() -> None:
    """20 requests/s for 300 s, machines of 10/s steered to one half, so 5/s each; rate over 60 s, window of 60 s.

    Rates at the rounds 0, 15, … are 0, 5, 10, 15, 20, 20, …: of two machines' 10/s they are 0.5 (down: the floor), 1 (within 0.1), 1.5
    (3 machines), then of three's 15/s 1.33 (4 machines), and of four's 20/s 1. From 300 s on: 20, 15, 10, 5, 0: recommendations
    4, 3, 2, 2, 2, and the highest of the last four falls to 3 at 360 s and to 2 at 375 s.
    """
    what = fleet(pool(engine(0.01), 2, ceiling=8, requests_per_s=10.0), scaling=HPA)
    counts = machines_by_round(what, steady(20.0, 300.0), 30)
    assert counts == [2] * 3 + [3] + [4] * 20 + [3] + [2] * 5


def test_a_metric_lag_moves_every_decision_by_itself() -> None:
    requests = steady(20.0, 300.0)
    now, late = (
        machines_by_round(
            fleet(pool(engine(0.01), 2, ceiling=8, requests_per_s=10.0), scaling=replace(HPA, metric_lag_s=lag_s)), requests, 32
        )
        for lag_s in (0.0, 30.0)
    )
    assert late == [2, 2, *now[:-2]]


def test_the_autoscaler_stops_at_its_ceiling_and_within_its_tolerance() -> None:
    at_most = fleet(pool(engine(0.01), 2, ceiling=3, requests_per_s=10.0), scaling=HPA)
    assert max(machines_by_round(at_most, steady(100.0, 300.0), 20)) == 3
    near = fleet(pool(engine(0.01), 2, ceiling=8, requests_per_s=10.0), scaling=HPA)
    assert set(machines_by_round(near, steady(10.9, 300.0), 20)) == {2}
    assert max(machines_by_round(near, steady(11.2, 300.0), 20)) == 3


def test_machines_that_start_are_not_asked_for_twice() -> None:
    """With 100 s to start, the fourth machine is not followed by a fifth though only two work."""
    what = fleet(pool(engine(0.01), 2, ceiling=12, requests_per_s=10.0, start_s=100.0), scaling=HPA)
    assert machines_by_round(what, steady(20.0, 300.0), 20) == [2] * 3 + [3] + [4] * 16


def test_a_pool_that_the_schedule_turns_off_stays_off() -> None:
    what = fleet(pool(engine(0.01), [1, 0], ceiling=5, requests_per_s=1.0), scaling=replace(HPA, downscale_stabilization_s=0.0))
    outcome = replay(what, steady(2.0, 3500.0), 2.0)
    assert outcome.machine_hours[0, 1] == pytest.approx(0.0, abs=1e-12)


# ---------------------------------------------------------------------------------------------------------- spot and zones


def test_two_minutes_of_notice_are_enough_for_short_work() -> None:
    what = fleet(pool(engine(1.0), 4, interruptions_per_hour=2.0, zones=3))
    outcome = replay(what, traffic(poisson(2.0, 14_000)), 2.0)
    assert outcome.interruptions > 5
    assert outcome.retries == 0
    assert np.isfinite(outcome.finish_s).all()


def test_work_longer_than_the_notice_starts_again_elsewhere() -> None:
    what = fleet(pool(engine(SPOT_NOTICE_S * 2), 6, interruptions_per_hour=1.0))
    outcome = replay(what, traffic(poisson(0.01, 200)), 6.0)
    assert outcome.retries > 0
    assert np.isfinite(outcome.finish_s).all()
    assert (outcome.latency_s >= 2 * SPOT_NOTICE_S - 1e-9).all()


def test_lifetimes_are_exponential_with_the_stated_rate() -> None:
    """1,000 machine-hours or so at 0.5 an hour: 500 interruptions, within four standard deviations of Poisson's."""
    outcome = replay(fleet(pool(engine(1.0), 10, interruptions_per_hour=0.5)), traffic([]), 100.0)
    assert abs(outcome.interruptions - 500) < 4 * 500**0.5


def test_the_only_zone_is_lost_and_comes_back() -> None:
    what = fleet(pool(engine(100.0), 2, interruptions_per_hour=1e-9))
    outcome = replay(what, traffic([3550.0, 4000.0]), 3.0, drill=Drill("spot-zone-loss", 3600.0, 7200.0))
    assert outcome.machine_hours[0] == pytest.approx([2.0, 0.0, 2.0], abs=1e-9)
    assert outcome.retries == 1
    assert outcome.finish_s == pytest.approx([7315.0, 7315.0])


def test_machines_are_replaced_in_the_zones_that_are_left() -> None:
    what = fleet(pool(engine(0.1), 4, interruptions_per_hour=1e-9, zones=2, start_s=300.0))
    outcome = replay(what, traffic(poisson(1.0, 7000)), 2.0, drill=Drill("spot-zone-loss", 1800.0, 3600.0))
    assert np.isfinite(outcome.finish_s).all()
    assert outcome.machine_hours.sum() == pytest.approx(8.0)


def test_the_drill_spares_machines_that_are_never_interrupted() -> None:
    what, requests = fleet(pool(engine(1.0), 2)), traffic(poisson(0.5, 1500))
    assert digest(replay(what, requests, drill=Drill("spot-zone-loss", 600.0, 1200.0))) == digest(replay(what, requests))


# -------------------------------------------------------------------------------------------------------- the whole fleet


def digest(outcome: Outcome) -> str:
    arrays = (outcome.first_s, outcome.finish_s, outcome.pool, outcome.machine_hours, outcome.busy_hours)
    counts = f"{outcome.interruptions} {outcome.retries}".encode()
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays) + counts).hexdigest()


def busy_fleet_digest(seed: int) -> str:
    what = fleet(
        pool(engine(0.5, 0.8), 3, interruptions_per_hour=1.0, zones=3, ceiling=6, requests_per_s=2.5, start_s=60.0),
        pool(engine(0.4), 2, group="other", requests_per_s=2.0, ceiling=4),
        deferrable=(False, True),
        scaling=HPA,
    )
    times = poisson(6.0, 20_000)
    return digest(replay(what, traffic(times, kinds=(np.arange(20_000) % 5 == 0).astype(int).tolist()), seed=seed))


PROCESS = "import sys; sys.path.append(sys.argv[1]); import test_replay_fleet as t; print(t.busy_fleet_digest(3))"


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    folder = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", PROCESS, folder], text=True, capture_output=True, check=True)  # noqa: S603
    assert done.stdout.strip() == busy_fleet_digest(3) == busy_fleet_digest(3)
    assert busy_fleet_digest(3) != busy_fleet_digest(4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.5, 1.1))
def test_one_more_replica_never_hurts(seed: int, machines: int, load: float) -> None:
    """Attainment of a limit of three service times on the same traffic, to within one per mille of luck."""
    requests = traffic(poisson(load * machines, 4000, seed))
    hours = requests.time_s[-1] / 3600.0
    fewer, more = (replay(fleet(pool(engine(1.0), count)), requests, hours) for count in (machines, machines + 1))
    assert np.mean(more.latency_s <= 3.0) >= np.mean(fewer.latency_s <= 3.0) - 0.001
    assert more.latency_s.mean() <= fewer.latency_s.mean() + 0.001


def test_shares_decide_who_answers() -> None:
    what = fleet(pool(engine(0.001), 2), pool(engine(0.001), 2, group="small"))
    share = np.zeros((1, 2, 168))
    share[0, 0], share[0, 1] = 0.62, 0.38
    outcome = replay(replace(what, share=share), traffic(poisson(50.0, 100_000)))
    assert np.mean(outcome.pool == 1) == pytest.approx(0.38, abs=1e-4)


def test_queues_grow_with_capacity_within_a_group() -> None:
    """Two pools of one group, one machine twice as fast: it takes two thirds of the work."""
    what = fleet(pool(engine(1.0), requests_per_s=1.0), pool(engine(0.5), requests_per_s=2.0))
    outcome = replay(what, traffic(poisson(2.9, 40_000)), 4.0)
    assert np.mean(outcome.pool == 1) == pytest.approx(2 / 3, abs=0.01)
