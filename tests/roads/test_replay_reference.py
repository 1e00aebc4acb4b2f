"""Two roads to every event: the fast replay and the slow one agree on small fleets of every kind (``replay/reference_cases.py``)."""

import importlib
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings

from tightrope.replay.records import ANSWERED, CACHED, Outcome
from tightrope.replay.run import replay_fleet

sys.path.append(str(Path(__file__).parents[1] / "replay"))
REFERENCE, CASES = importlib.import_module("reference"), importlib.import_module("reference_cases")
COUNTS = ("interruptions", "retries", "preemptions", "failures", "cold_starts", "attempts_shed")
ROUNDING_S, WHOLE_S = 1e-6, 1e9


def first_tie_s(fast: Outcome) -> float:
    """Return when first something goes on as an engine elsewhere begins a step: rounding alone says whether it comes in time for it.

    Such engines are not rare: one that was idle begins with what goes on from another, and both then step at the same moments.
    """
    assert fast.work is not None
    assert fast.work.complete
    if fast.came_s is None or fast.traffic.after is None:
        return math.inf
    order = np.argsort(fast.work.begin_s)
    begin_s, engine = fast.work.begin_s[order], (fast.work.machine * 1000 + fast.work.engine)[order]
    for came_s in np.sort(fast.came_s[(fast.traffic.after >= 0) & np.isfinite(fast.came_s)]).tolist():
        first, last = np.searchsorted(begin_s, (came_s - ROUNDING_S, came_s + ROUNDING_S))
        if len(set(engine[first:last].tolist())) > 1:
            return float(came_s)
    return math.inf


def replays(case: "CASES.Case") -> tuple[Outcome, Outcome]:
    random = np.random.default_rng(case.seed)
    fleet, traffic, drill = CASES.a_fleet(case, random), CASES.some_traffic(case, random), CASES.a_drill(case, random)
    offset_s = random.uniform(0.0, 604800.0)
    arguments = {"duration_s": case.duration_s, "block_offset_s": offset_s, "seed": 7, "drill": drill}
    return replay_fleet(fleet, traffic, **arguments, log_s=WHOLE_S), REFERENCE.replay_slowly(fleet, traffic, **arguments)


def check_alike(fast: Outcome, slow: Outcome) -> None:
    tie_s = first_tie_s(fast)
    same = (fast.finish_s < tie_s - ROUNDING_S) | (tie_s == math.inf)
    for name in ("ended", "pool", "prefix_tokens"):
        assert getattr(fast, name)[same].tolist() == getattr(slow, name)[same].tolist(), name
    for name in ("begin_s", "first_s", "finish_s"):
        np.testing.assert_allclose(getattr(fast, name)[same], getattr(slow, name)[same], rtol=1e-6, atol=1e-6, err_msg=name)
    if tie_s < math.inf:
        return
    assert {name: getattr(fast, name) for name in COUNTS} == {name: getattr(slow, name) for name in COUNTS}
    np.testing.assert_allclose(fast.machine_hours, slow.machine_hours, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fast.busy_hours, slow.busy_hours, rtol=1e-6, atol=1e-9)


def check_sound(outcome: Outcome) -> None:
    """Work fits into the machines, and exactly the requests that are answered have their moments, in order."""
    assert (outcome.busy_hours <= outcome.machine_hours.sum(axis=1) + 1e-9).all()
    answered, cached = outcome.ended == ANSWERED, outcome.ended == CACHED
    assert (np.isfinite(outcome.finish_s) == (answered | cached)).all()
    assert (outcome.pool[answered] >= 0).all()
    assert (outcome.traffic.time_s[answered] <= outcome.begin_s[answered]).all()
    assert (outcome.begin_s[answered] < outcome.first_s[answered]).all()
    assert (outcome.first_s[answered] <= outcome.finish_s[answered]).all()
    assert (outcome.prefix_tokens <= outcome.traffic.input_tokens).all()


@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(CASES.cases())
def test_both_engines_tell_the_same_story(case: "CASES.Case") -> None:
    fast, slow = replays(case)
    check_alike(fast, slow)
    check_sound(replace(slow, traffic=fast.traffic))  # the traffic that the reference returns lacks what goes on


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(CASES.cases())
def test_both_engines_tell_the_same_story_of_batches_by_length(case: "CASES.Case") -> None:
    pools = tuple(replace(pool, token=False, lengths=True) for pool in case.pools)
    check_alike(*replays(replace(case, pools=pools, load=1.5)))
