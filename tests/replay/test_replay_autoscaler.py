"""The autoscaler inside a whole replay: the documentation's figures, and a second controller on the same arrivals.

Single rules are worked by hand in ``policy/test_policy_scale.py`` and ``test_replay_rules_machines.py``.
"""

import importlib
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fleets import engine, fleet, poisson, pool, replay, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.records import ScalingLimit, ScalingPolicy, ScalingRule
from tightrope.replay.records import Drill, Fleet, Traffic
from tightrope.replay.run import replay_fleet

sys.path.append(str(Path(__file__).parents[1] / "policy"))
CONTROLLER = importlib.import_module("controller")

SYNC_S = 15.0
HPA = ScalingPolicy(
    enabled=True,
    target_utilisation=0.5,
    max_surge=1.0,
    tolerance=0.1,
    sync_s=SYNC_S,
    metric_lag_s=0.0,
    downscale_stabilization_s=0.0,
    machine_start_s=0.0,
    metric_window_s=15.0,
)
QUICK = engine(0.001)
PODS_4, PERCENT_10 = ScalingRule("pods", 4, 60.0), ScalingRule("percent", 10, 60.0)


def machines_by_round(what: Fleet, requests: Traffic, rounds: int, first: int = 0, drill: Drill | None = None) -> list[int]:
    """Return the machines billed after each of some rounds: what one more round adds to the bill."""
    sync_s = what.scaling.sync_s
    billed_s = [
        replay_fleet(what, requests, duration_s=sync_s * n, block_offset_s=0.0, seed=0, drill=drill).machine_hours.sum() * 3600.0
        for n in range(first, first + rounds + 1)
    ]
    return np.rint(np.diff(billed_s) / sync_s).astype(int).tolist()


def steady(rate_per_s: float, until_s: float, from_s: float = 0.0) -> Traffic:
    """Return evenly spaced requests, none of them at a round."""
    return traffic(from_s + (np.arange(int(rate_per_s * (until_s - from_s))) + 0.5) / rate_per_s)


# ------------------------------------------------------------------------------------------------------ the documentation's figures


def test_the_documentations_way_down_from_80_to_10() -> None:
    """The schedule's floor falls from 80 to 10 at 3600 s, nobody comes; rounds a minute apart. The arithmetic is in the policy's test."""
    scaling = replace(HPA, sync_s=60.0, metric_window_s=60.0, scale_down=ScalingLimit((PODS_4, PERCENT_10)))
    what = fleet(pool(QUICK, [80, 10], ceiling=100), scaling=scaling)
    counts = machines_by_round(what, traffic([]), 16, first=59)
    assert counts == [80, 72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10]


def test_the_documentations_way_down_by_five_at_most() -> None:
    """With "selectPolicy: Min" of 10 % and 5 pods a minute: five at a time while 10 % is more, then 10 % of 40 is 4."""
    down = ScalingLimit((PERCENT_10, ScalingRule("pods", 5, 60.0)), "min")
    what = fleet(pool(QUICK, [60, 30], ceiling=60), scaling=replace(HPA, sync_s=60.0, metric_window_s=60.0, scale_down=down))
    assert machines_by_round(what, traffic([]), 9, first=59) == [60, 55, 50, 45, 40, 36, 32, 30, 30]


def test_scale_down_that_is_disabled_never_happens() -> None:
    what = fleet(pool(QUICK, [8, 1], ceiling=8), scaling=replace(HPA, scale_down=ScalingLimit((PODS_4,), "disabled")))
    assert machines_by_round(what, traffic([]), 20, first=239) == [8] * 20


def test_the_default_way_up() -> None:
    """300 requests/s from the start, 5 a machine: 60 are desired from 15 s on; by default 4 more or twice as many a round."""
    what = fleet(pool(QUICK, 1, ceiling=200, requests_per_s=10.0), scaling=HPA)
    assert machines_by_round(what, steady(300.0, 150.0), 8) == [1, 5, 10, 20, 40, 60, 60, 60]


def test_down_waits_for_the_default_five_minutes() -> None:
    """20 machines' load until 60 s, then none: the last recommendation of 20 is made at 60 s; at 345 s it is 285 s old, at 360 s 300."""
    scaling = replace(HPA, downscale_stabilization_s=300.0)
    what = fleet(pool(QUICK, 1, ceiling=200, requests_per_s=10.0), scaling=scaling)
    counts = machines_by_round(what, steady(100.0, 60.0), 28)
    assert counts[3:25] == [20] * 21 + [1]
    assert counts[24:] == [1] * 4


def test_the_ceiling_and_the_floor_hold() -> None:
    what = fleet(pool(QUICK, 2, ceiling=7, requests_per_s=10.0), scaling=HPA)
    assert machines_by_round(what, steady(300.0, 60.0), 10) == [2, 6, 7, 7, 7, 2, 2, 2, 2, 2]


def test_an_outage_of_the_metric_leaves_everything_as_it_is() -> None:
    """From 60 to 120 s nothing is seen, and nobody comes from 60 s on: the first recommendation to go down is that of 120 s."""
    what = fleet(pool(QUICK, 1, ceiling=99, requests_per_s=10.0), scaling=HPA)
    counts = machines_by_round(what, steady(100.0, 60.0), 10, drill=Drill("metrics-loss", 60.0, 120.0))
    assert counts == [1, 5, 10, 20, 20, 20, 20, 20, 1, 1]


@pytest.mark.parametrize(("start_s", "load_s"), [(0.0, 0.0), (100.0, 0.0), (100.0, 40.0), (100.0, 100.0)])
def test_a_metric_of_pods_asks_once_for_machines_that_take_long_to_start(start_s: float, load_s: float) -> None:
    """Twelve long requests on two machines, two wanted on each: ratio 3, so ceil(3 × 2) = 6, within 4 more a round.

    While the four start, they count as 0: 12 / 6 is the target. When they are ready, they have nothing, and 12 / 6 is it again.
    """
    scaling = replace(HPA, metric="concurrency")
    what = fleet(pool(engine(3000.0), 2, ceiling=20, concurrency=4.0, start_s=start_s, load_s=load_s), scaling=scaling)
    assert machines_by_round(what, traffic([1.0] * 12), 20) == [2] + [6] * 19


# ------------------------------------------------------------------------------------------------ a second controller, same arrivals


def predicted(what: Fleet, requests: Traffic, rounds: int) -> list[int]:
    """Return the replicas that the second controller has after each round, from the arrival times and one pool's numbers."""
    scaling, item = what.scaling, what.pools[0]
    floor = int(item.schedule[0])
    behaviour = CONTROLLER.Behaviour(
        floor,
        item.ceiling,
        scaling.scale_up,
        scaling.scale_down,
        scaling.upscale_stabilization_s,
        scaling.downscale_stabilization_s,
    )
    kubernetes = CONTROLLER.Controller(behaviour, floor, recommended=[(-SYNC_S, floor)])
    counts = []
    for n in range(rounds):
        until_s = n * SYNC_S - scaling.metric_lag_s
        since_s = until_s - scaling.metric_window_s
        seen = np.searchsorted(requests.time_s, until_s, "right") - np.searchsorted(requests.time_s, max(since_s, -1.0), "right")
        total = float(seen) / scaling.metric_window_s
        target = scaling.target_utilisation * item.requests_per_s
        inside = 1.0 - scaling.tolerance <= total / (target * kubernetes.replicas) <= 1.0 + scaling.tolerance
        desired = kubernetes.replicas if inside else math.ceil(total / target - 1e-9)
        counts.append(kubernetes.reconcile(n * SYNC_S, desired))
    return counts


def limits() -> st.SearchStrategy[ScalingLimit]:
    rule = st.builds(
        ScalingRule,
        st.sampled_from(["pods", "percent"]),
        st.sampled_from([1.0, 3.0, 20.0, 100.0]),
        st.sampled_from([15.0, 60.0, 120.0]),
    )
    return st.builds(ScalingLimit, st.lists(rule, min_size=1, max_size=2).map(tuple), st.sampled_from(["max", "min", "disabled"]))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    limits(),
    limits(),
    st.sampled_from([0.0, 30.0, 60.0]),
    st.sampled_from([0.0, 60.0, 300.0]),
    st.sampled_from([0.0, 15.0, 45.0]),
    st.sampled_from([15.0, 60.0]),
)
def test_the_replay_has_the_replicas_that_a_second_controller_has(
    seed: int, floor: int, up: ScalingLimit, down: ScalingLimit, up_s: float, down_s: float, lag_s: float, window_s: float
) -> None:
    """Bursts of random sizes and lengths on machines that are quick and start at once."""
    random = np.random.default_rng(seed)
    rates = np.repeat(random.exponential(60.0, 12), random.integers(1, 6, 12))[:30]
    times = [n * SYNC_S + poisson(rate, max(1, int(rate * SYNC_S)), seed + n) for n, rate in enumerate(rates)]
    requests = traffic(np.sort(np.concatenate(times)))
    scaling = replace(
        HPA,
        scale_up=up,
        scale_down=down,
        upscale_stabilization_s=up_s,
        downscale_stabilization_s=down_s,
        metric_lag_s=lag_s,
        metric_window_s=window_s,
    )
    what = fleet(pool(QUICK, floor, ceiling=25, requests_per_s=10.0), scaling=scaling)
    assert machines_by_round(what, requests, 40) == predicted(what, requests, 40)


def test_what_is_billed_is_what_the_time_line_shows() -> None:
    what = fleet(pool(QUICK, 1, ceiling=50, requests_per_s=10.0, start_s=40.0), scaling=HPA)
    requests = steady(100.0, 120.0)
    timeline = replay(what, requests, 300.0 / 3600.0).timeline
    assert timeline is not None
    assert timeline.time_s[:20].tolist() == (SYNC_S * np.arange(20)).tolist()
    there = (timeline.ready + timeline.starting + timeline.draining)[:20, 0]
    assert there.tolist() == machines_by_round(what, requests, 20)
