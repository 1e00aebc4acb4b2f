"""The HorizontalPodAutoscaler's rules, worked by hand on the figures of the Kubernetes documentation and at its edges.

"docs" is the page "Horizontal Pod Autoscaling" (section names in quotes); "source" is the controller where the docs are silent:
``replica_calculator.go`` (plain metrics: ``calcPlainMetricReplicas``, per-pod external metrics: ``GetExternalPerPodMetricReplicas``)
and ``horizontal.go`` (``stabilizeRecommendationWithBehaviors``, ``calculateScaleUpLimitWithScalingRules``, …).
"""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from controller import Behaviour, Controller
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.records import FloatArray, ScalingLimit, ScalingRule
from tightrope.policy.scaling import (
    NO_RECOMMENDATION,
    RULE_PERCENT,
    RULE_PODS,
    SELECT_DISABLED,
    SELECT_MAX,
    SELECT_MIN,
    desired_for_pods,
    desired_for_total,
    limited,
    stabilised,
)

SYNC_S = 15.0
TOLERANCE = 0.1
SELECT = {"max": SELECT_MAX, "min": SELECT_MIN, "disabled": SELECT_DISABLED}
DEFAULT_UP = ScalingLimit((ScalingRule("pods", 4, 15.0), ScalingRule("percent", 100, 15.0)))
DEFAULT_DOWN = ScalingLimit((ScalingRule("percent", 100, 15.0),))
"""Docs, "Default behavior"."""


def pods(current: int, *milli: float, missing: int = 0, unready: int = 0) -> int:
    """Return what is desired where the measured pods have these values, in thousandths, and the target is 100m."""
    return desired_for_pods(current, math.fsum(milli), len(milli), missing, unready, 100.0, TOLERANCE)


# -------------------------------------------------------------------------------------------------------- docs, "Algorithm details"


@pytest.mark.parametrize(
    ("current", "milli", "expected"),
    [
        (4, 200, 8),  # docs: "if the current metric value is 200m, and the desired value is 100m, … doubled"; 4 × 2.0
        (4, 50, 2),  # docs: "if the current value is instead 50m, you'll halve"; 4 × 0.5
        (4, 109, 4),  # docs: "sufficiently close to 1.0 (within a configurable tolerance, 0.1 by default)"; 1.09
        (4, 91, 4),  # 0.91
        (4, 111, 5),  # just beyond it: ceil(4 × 1.11) = ceil(4.44)
        (4, 89, 4),  # beyond it, but ceil(4 × 0.89) = ceil(3.56) = 4
        (10, 90, 10),  # at the tolerance is within it
        (10, 110, 10),  # also above: the source compares with 1.0 + tolerance, not the distance from 1.0
        (10, 89, 9),  # ceil(8.9)
        (1, 700, 7),
        (7, 0, 0),  # ceil(7 × 0): the floor is somebody else's
        (3, 100, 3),
    ],
)
def test_the_documentations_figures(current: int, milli: int, expected: int) -> None:
    """Both kinds of metric agree where every pod is there and measured."""
    assert pods(current, *[milli] * current) == expected
    assert desired_for_total(current, current * milli, 100.0, TOLERANCE) == expected


def test_a_metric_of_the_whole_pool_asks_for_total_over_target_whatever_there_is() -> None:
    """Source, per-pod external metrics: beyond the tolerance it is ceil(total / target); the replicas there are only set the ratio."""
    assert [desired_for_total(current, 0.95, 0.1, TOLERANCE) for current in (1, 5, 20)] == [10, 10, 10]  # ceil(9.5)
    assert desired_for_total(9, 0.95, 0.1, TOLERANCE) == 9  # 0.95 / 0.9 = 1.056, within 0.1
    assert desired_for_total(10, 0.95, 0.1, TOLERANCE) == 10  # 0.95, within 0.1


def test_a_whole_number_is_not_rounded_up_by_the_last_bit() -> None:
    for current in range(1, 200):
        for factor in range(2, 9):
            assert desired_for_pods(current, current * 0.1 * factor, current, 0, 0, 0.1, TOLERANCE) == current * factor
            assert desired_for_total(current, current * 0.1 * factor, 0.1, TOLERANCE) == current * factor


@given(st.integers(1, 500), st.floats(0.0, 20.0), st.floats(0.05, 1.0))
def test_the_load_fits_afterwards_within_the_tolerance(current: int, utilisation: float, target: float) -> None:
    load = current * utilisation
    wanted = desired_for_total(current, load, target, TOLERANCE)
    assert load <= wanted * target * (1.0 + TOLERANCE) + 1e-6
    assert wanted == current or wanted <= math.ceil(load / target)


# ----------------------------------------------------------------------------- docs, "Algorithm details": missing and unready pods


def test_missing_pods_dampen_a_way_up() -> None:
    """Docs: "assuming those pods were consuming … 0 % in case of a scale up. This dampens the magnitude of any potential scale"."""
    assert pods(4, 200, 200, 200, missing=1) == 6  # 600m / 4 = 150m, ceil(1.5 × 4); if the fourth were like the others, 8
    assert pods(4, 300, 300, missing=1, unready=1) == 6  # 600m / 4, the pod that is not ready at 0 as well
    assert pods(4, 100, 100, 100, missing=1) == 3  # source: exactly at the target is treated as up: 75m, ceil(0.75 × 4)


def test_missing_pods_dampen_a_way_down() -> None:
    """Docs: "assuming those pods were consuming 100 % of the desired value in case of a scale down"."""
    assert pods(4, 40, 40, 40, missing=1) == 3  # (120m + 100m) / 4 = 55m, ceil(2.2); if the fourth were like the others, 2
    assert pods(4, 50, 50, missing=1, unready=1) == 2  # (100m + 100m) / 3 = 66.7m, ceil(0.667 × 3): who is not ready is left out


def test_pods_not_ready_dampen_a_way_up_only() -> None:
    """Docs: if "the workload would have scaled up …, … the not-yet-ready pods are consuming 0 % of the desired metric"."""
    assert pods(4, 200, 200, unready=2) == 4  # 400m / 4 is the target
    assert pods(4, 300, 300, unready=2) == 6  # 600m / 4 = 150m, ceil(1.5 × 4)
    assert pods(4, 50, 50, unready=2) == 1  # source: down, they are left out, also of the count: ceil(0.5 × 2)
    assert pods(4, 95, 95, 95, unready=1) == 4  # within the tolerance they do not matter


def test_a_ratio_that_turns_round_or_comes_within_the_tolerance_changes_nothing() -> None:
    """Docs: "If the new ratio reverses the scale direction, or is within the tolerance, the controller doesn't take any … action"."""
    assert pods(4, 120, 120, unready=2) == 4  # 240m / 4 = 60m is down, 120m was up
    assert pods(2, 150, missing=1) == 2  # 150m / 2 = 75m
    assert pods(4, 105, 105, 105, unready=1) == 4  # 315m / 4 = 78.75m, though 105m was within the tolerance to begin with
    assert pods(4, 60, missing=3) == 4  # (60m + 300m) / 4 = 90m
    assert pods(6, 150, 150, missing=1) == 6  # 300m / 3 = 100m


def test_other_pods_than_replicas_change_nothing_against_the_ratio() -> None:
    """Source: pods that are more or fewer than the replicas wanted must not turn what the ratio says."""
    assert pods(2, 80, 80, 80, missing=1) == 2  # 340m / 4 = 85m, ceil(0.85 × 4) = 4 is up, the ratio says down
    assert pods(6, 200, 200, missing=1) == 6  # 400m / 3 = 133m, ceil(1.33 × 3) = 4 is down, the ratio says up
    assert pods(6, 200, 200) == 4  # source: where nobody is missing or unready there is no such care


def test_nothing_measured_is_no_metric() -> None:
    """Source: "did not receive metrics for any ready pods" is an error, and an error changes nothing."""
    assert pods(3, missing=3) == NO_RECOMMENDATION
    assert pods(3, missing=1, unready=2) == NO_RECOMMENDATION


@given(st.integers(1, 20), st.integers(0, 500).filter(lambda milli: milli != 100), st.integers(1, 10))
def test_missing_pods_never_go_further_than_pods_like_the_others(measured: int, milli: int, missing: int) -> None:
    current = measured + missing
    like_the_others, dampened = pods(current, *[milli] * current), pods(current, *[milli] * measured, missing=missing)
    assert min(current, like_the_others) <= dampened <= max(current, like_the_others)


# ------------------------------------------------------------------------------------------------------ docs, "Stabilization window"


def numbers(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)


def rounds_of(window_s: float) -> int:
    """Return the rounds a window holds, this one among them: earlier ones less than ``window_s`` ago."""
    return max(1, math.ceil(window_s / SYNC_S))


def test_down_goes_no_further_than_the_highest_of_the_window() -> None:
    """Docs: "uses the highest value from the specified interval" of 300 s: of rounds every 15 s those 0, 15, …, 285 s ago, twenty."""
    history = numbers([9] + [3] * 19)
    assert rounds_of(300.0) == 20
    assert stabilised(10, history, 19, 1, 20) == 9  # the 9 is 285 s ago
    later = numbers([9] + [3] * 20)
    assert stabilised(10, later, 20, 1, 20) == 3  # now it is 300 s ago, and no longer counts (source: strictly after the cut-off)


def test_up_goes_no_further_than_the_lowest_of_its_window() -> None:
    """Source: with 60 s for ``scaleUp``, the least of the last four rounds; below what there is, it is what there is."""
    assert stabilised(4, numbers([8, 5, 9, 9]), 3, 4, 1) == 5
    assert stabilised(6, numbers([8, 5, 9, 9]), 3, 4, 1) == 6
    assert stabilised(4, numbers([5, 9, 9, 9, 9]), 4, 4, 1) == 9


def test_between_what_both_windows_say_nothing_changes() -> None:
    """A metric that flaps between 3 and 8 moves neither way from 5: the least of the window is 3, the most is 8."""
    assert stabilised(5, numbers([3, 8, 3, 8]), 3, 4, 4) == 5
    assert stabilised(2, numbers([3, 8, 3, 8]), 3, 4, 4) == 3
    assert stabilised(9, numbers([3, 8, 3, 8]), 3, 4, 4) == 8


def test_without_windows_the_newest_counts() -> None:
    for current in (1, 5, 9):
        assert stabilised(current, numbers([9, 1, 6]), 2, 1, 1) == 6


def test_rounds_without_a_recommendation_do_not_count() -> None:
    history = numbers([NO_RECOMMENDATION, 4, NO_RECOMMENDATION, 2])
    assert stabilised(6, history, 3, 1, 4) == 4
    assert stabilised(1, history, 3, 4, 1) == 2


# ---------------------------------------------------------------------------------------------------------- docs, "Scaling policies"


def rules(limit: ScalingLimit) -> FloatArray:
    """Return the rules as the policy takes them, float64[rules, 3]."""
    kinds = {"pods": RULE_PODS, "percent": RULE_PERCENT}
    return np.array([(kinds[rule.kind], rule.value, rule.period_s) for rule in limit.rules]).reshape(-1, 3)


def ways(start: int, goal: int, limit: ScalingLimit, steps: int, sync_s: float = SYNC_S) -> list[int]:
    """Return the replicas after each of some rounds in which ``goal`` is desired."""
    changed, current, counts = np.zeros(200, dtype=np.int64), start, []
    for now in range(steps):
        before, current = current, limited(current, goal, changed, now, sync_s, rules(limit), SELECT[limit.select])
        changed[now] = current - before
        counts.append(current)
    return counts


PODS_4, PERCENT_10 = ScalingRule("pods", 4, 60.0), ScalingRule("percent", 10, 60.0)


def test_the_documentations_way_down_from_80_to_10() -> None:
    """Docs: "during the first step 8 replicas will be reduced", at 72 "10 % of the pods is 7.2 but the number is rounded up to 8".

    Then 64 × 0.9 = 57.6, 57 × 0.9 = 51.3, 51 × 0.9 = 45.9, 45 × 0.9 = 40.5, 40 × 0.9 = 36; "when the number of replicas falls below 40
    … 4 replicas will be reduced at a time".
    """
    down = ScalingLimit((PODS_4, PERCENT_10))
    assert ways(80, 10, down, 14, sync_s=60.0) == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10]


def test_a_period_of_a_minute_holds_over_its_rounds() -> None:
    """At 15, 30 and 45 s, the 8 removed at 0 are within the period: it began with 72 + 8, and 80 × 0.9 is what there is already."""
    assert ways(80, 10, ScalingLimit((PODS_4, PERCENT_10)), 9) == [72, 72, 72, 72, 64, 64, 64, 64, 57]


def test_at_most_ten_per_cent_a_minute() -> None:
    """Docs, "Example: limit scale down rate": 100, 90, 81, 72.9, 64.8."""
    assert ways(100, 1, ScalingLimit((PERCENT_10,)), 4, sync_s=60.0) == [90, 81, 72, 64]


def test_no_more_than_five_a_minute_by_the_policy_that_changes_least() -> None:
    """Docs: "a second scale-down policy with a fixed size of 5, and … selectPolicy … Min".

    From 60: 5 and not 6; from 45, 10 % is 4.5, to 40.5, the least change of which allows down to 40 with both; from 40, 36 and not 35.
    """
    down = ScalingLimit((PERCENT_10, ScalingRule("pods", 5, 60.0)), "min")
    assert ways(60, 1, down, 6, sync_s=60.0) == [55, 50, 45, 40, 36, 32]


def test_disabled_is_disabled() -> None:
    """Docs, "Example: disable scale down"; the same holds up."""
    assert ways(80, 10, ScalingLimit((PODS_4,), "disabled"), 3) == [80, 80, 80]
    assert ways(8, 100, ScalingLimit((PODS_4,), "disabled"), 3) == [8, 8, 8]


def test_the_default_way_up() -> None:
    """Docs, "Default behavior": "4 pods or a 100 % of the currently running replicas may at most be added every 15 seconds".

    1 + 4, then 5 + 5, 10 + 10, …; each change is 15 s ago at the next round, which is no longer within the period.
    """
    assert ways(1, 60, DEFAULT_UP, 5) == [5, 10, 20, 40, 60]
    assert ways(3, 60, DEFAULT_UP, 5) == [7, 14, 28, 56, 60]


def test_the_default_way_down() -> None:
    """Docs: "allows a 100 % of the currently running replicas to be removed"."""
    assert ways(80, 10, DEFAULT_DOWN, 1) == [10]


def test_up_by_the_policy_that_changes_least() -> None:
    """From 10: 10 % more is 11, 4 more is 14; from 60: 66 and 64."""
    up = ScalingLimit((PODS_4, PERCENT_10), "min")
    assert ways(10, 99, up, 3, sync_s=60.0) == [11, 13, 15]  # ceil(12.1), ceil(14.3)
    assert ways(60, 99, up, 2, sync_s=60.0) == [64, 68]


def test_up_is_rounded_up_so_that_it_never_sticks() -> None:
    """Source: "the proposal has to be rounded up because the proposed change might not increase the replica count"."""
    assert ways(1, 9, ScalingLimit((PERCENT_10,)), 3, sync_s=60.0) == [2, 3, 4]


def test_policies_with_periods_of_their_own() -> None:
    """At most 2 a round and 5 a minute, by the least: 2 + 2 + 1, then nothing until the first 2 are a minute old."""
    up = ScalingLimit((ScalingRule("pods", 2, 15.0), ScalingRule("pods", 5, 60.0)), "min")
    assert ways(10, 99, up, 6) == [12, 14, 15, 15, 17, 19]


def test_what_went_the_other_way_within_the_period_counts() -> None:
    """Source: start = current - added + removed. 6 removed and 1 added in the minute: it began with 15; 15 + 4 is allowed, not 14."""
    changed = numbers([-6, 1, 0, 0])
    up, down = rules(ScalingLimit((PODS_4,))), rules(ScalingLimit((PERCENT_10,)))
    assert limited(10, 99, changed, 2, SYNC_S, up, SELECT_MAX) == 19
    assert limited(10, 1, changed, 2, SYNC_S, down, SELECT_MAX) == 10  # 15 × 0.9 = 13.5 is above what there is: nothing


def test_a_period_ends_when_a_change_is_as_old_as_it() -> None:
    """Source: changes strictly after now - period. 3 more were added at 0; 4 a minute leave 1 until the round at 60 s."""
    changed = numbers([3, 0, 0, 0, 0])
    up = rules(ScalingLimit((PODS_4,)))
    assert [limited(10, 99, changed, now, SYNC_S, up, SELECT_MAX) for now in (1, 2, 3, 4)] == [11, 11, 11, 14]


def test_per_cents_that_float64_has_not() -> None:
    """7 % of 100 is 7, and 10 % more than 100 is 110: the controller's own float64 says 92.99… and 110.00…1."""
    assert ways(100, 1, ScalingLimit((ScalingRule("percent", 7, 60.0),)), 1) == [93]
    assert ways(100, 500, ScalingLimit((ScalingRule("percent", 10, 60.0),)), 1) == [110]


# ------------------------------------------------------------------------------------- the whole controller, against a second one


@st.composite
def limits(draw: st.DrawFn) -> ScalingLimit:
    kinds = st.builds(
        ScalingRule,
        st.sampled_from(["pods", "percent"]),
        st.integers(1, 120).map(float),
        st.sampled_from([15.0, 30.0, 60.0, 180.0, 40.0]),
    )
    select = draw(st.sampled_from(["max", "min", "disabled"]))
    return ScalingLimit(tuple(draw(st.lists(kinds, min_size=1, max_size=3))), select)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 40),
    st.lists(st.one_of(st.none(), st.integers(0, 60)), min_size=1, max_size=60),
    limits(),
    limits(),
    st.sampled_from([0.0, 15.0, 45.0, 100.0]),
    st.sampled_from([0.0, 15.0, 60.0, 300.0]),
)
def test_rings_of_rounds_and_lists_of_events_tell_the_same_story(
    start: int, desired: list[int | None], up: ScalingLimit, down: ScalingLimit, up_window_s: float, down_window_s: float
) -> None:
    """Any metric, any behaviour: the policy's functions in rings, and the controller with its clocks."""
    kubernetes = Controller(Behaviour(0, 1000, up, down, up_window_s, down_window_s), start)
    rings, current = np.full((2, 64), NO_RECOMMENDATION, dtype=np.int64), start
    rings[1] = 0
    for now, wish in enumerate(desired):
        before = current
        if wish is not None:
            rings[0, now] = wish
            goal = stabilised(current, rings[0], now, rounds_of(up_window_s), rounds_of(down_window_s))
            limit = up if goal > current else down
            current = limited(current, goal, rings[1], now, SYNC_S, rules(limit), SELECT[limit.select])
        rings[1, now] = current - before
        assert current == kubernetes.reconcile(now * SYNC_S, wish)
