"""What the evidence claims: intervals that cover the truth, verdicts at their boundaries, and figures that are numbers."""

from dataclasses import fields

import numpy as np
import pytest
from fleets import engine, fleet, pool, replay, traffic
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.plan import Evidence
from tightrope.base.records import Deferral, FloatArray, Slo
from tightrope.replay.evidence import attained, deadlines_s, group_s, judge, metric_s, percentiles_ms, student, wilson
from tightrope.replay.records import Outcome, Traffic

HOUR_S = 3600.0


def an_outcome(time_s: FloatArray, latency_s: FloatArray) -> Outcome:
    """Return an outcome in which each request took so long; half of that to its first token."""
    requests = traffic(time_s, [(1, 2)] * len(time_s))
    first_s = np.where(np.isfinite(latency_s), time_s + 0.5 * latency_s, np.inf)
    return outcome_of(requests, first_s, time_s + latency_s)


def outcome_of(requests: Traffic, first_s: FloatArray, finish_s: FloatArray) -> Outcome:
    """Return an outcome of which nothing but these times is asked."""
    none, hours = np.zeros(len(first_s), dtype=np.int64), np.zeros((1, 1))
    return Outcome(requests, first_s, finish_s, none, hours, hours[0], 0, 0, first_s, none, none)


def judged(outcome: Outcome, promise: Slo | Deferral, start_s: float = 0.0) -> Evidence:
    evidence = judge([outcome], 0, "chat", promise, start_s=start_s, window="day 1", seeds=(1,))
    assert evidence is not None
    return evidence


@pytest.mark.parametrize(("share", "spread"), [(0.95, 0.0), (0.95, 0.04), (0.999, 0.0), (0.5, 0.2)])
def test_the_interval_covers_the_truth_as_often_as_it_says(share: float, spread: float) -> None:
    """500 samples of 72 hours of 60 requests; hours differ by ``spread``. 95 % are meant, 91 % are asked for: hours are few."""
    random = np.random.default_rng(20_261_124)
    hour = np.repeat(np.arange(72), 60)
    covered = 0
    for _ in range(500):
        hourly = np.clip(share + spread * random.choice([-1.0, 1.0], 72), 0.0, 1.0)
        found = attained(random.random(len(hour)) < hourly[hour], hour)
        covered += found.low <= share <= found.high
    assert covered / 500 >= 0.91


@pytest.mark.parametrize(
    ("seeds", "spread", "least", "most"),
    [(2, 0.0, 0.91, 1.0), (5, 0.0, 0.91, 1.0), (2, 0.02, 0.75, 1.0), (5, 0.02, 0.88, 1.0), (1, 0.02, 0.0, 0.5)],
)
def test_what_differs_between_seeds_widens_the_interval(seeds: int, spread: float, least: float, most: float) -> None:
    """200 samples of so many replays of 72 hours of 60 requests; whole replays differ by ``spread``, which one of them cannot tell."""
    random = np.random.default_rng(20_261_125)
    hour, seed = np.tile(np.repeat(np.arange(72), 60), seeds), np.repeat(np.arange(seeds), 72 * 60)
    covered = 0
    for _ in range(200):
        shares = 0.9 + spread * random.standard_normal(seeds)
        found = attained(random.random(len(hour)) < shares[seed], hour, seed)
        covered += found.low <= 0.9 <= found.high
    assert least <= covered / 200 <= most


def test_seeds_that_differ_no_more_than_their_hours_widen_nothing() -> None:
    hour, seed = np.tile(np.repeat(np.arange(24), 100), 2), np.repeat([0, 1], 2400)
    kept = np.arange(4800) % 20 != 0
    assert attained(kept, hour, seed) == attained(kept, hour)


def test_two_seeds_far_apart_give_students_interval() -> None:
    # 90 and 94 of each hour's 100: the share is 0.92, a seed lies 0.02 from it, so the standard error is 0.02 with 1 degree of freedom
    hour, seed = np.tile(np.repeat(np.arange(24), 100), 2), np.repeat([0, 1], 2400)
    kept = np.arange(4800) % 100 < np.where(seed == 0, 90, 94)
    found = attained(kept, hour, seed)
    assert found.share == pytest.approx(0.92)
    assert found.low == pytest.approx(0.92 - 12.7062 * 0.02, abs=1e-3)
    assert found.high == 1.0


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (30, 2.0423), (1000, 1.9623)])
def test_students_quantile_is_the_tables(freedom: float, quantile: float) -> None:
    assert student(freedom) == pytest.approx(quantile, rel=2e-4)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_numpys(values: list[float]) -> None:
    assert percentiles_ms(np.array(values)) == pytest.approx(1000.0 * np.quantile(values, [0.5, 0.95, 0.99]), rel=1e-9, abs=1e-9)


def test_bursts_of_misses_widen_the_interval() -> None:
    hour = np.repeat(np.arange(48), 100)
    spread, burst = np.ones(4800, dtype=bool), np.ones(4800, dtype=bool)
    spread[::20] = False
    burst[: len(burst) // 20] = False
    even, uneven = attained(spread, hour), attained(burst, hour)
    assert even.share == uneven.share == 0.95
    assert uneven.high - uneven.low > 3 * (even.high - even.low)


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(1, 30))
def test_an_interval_holds_its_share_and_stays_within_all_and_nothing(kept: list[bool], per_hour: int) -> None:
    found = attained(np.array(kept), np.arange(len(kept)) // per_hour)
    assert 0.0 <= found.low <= found.share == np.mean(kept) <= found.high <= 1.0
    assert found.low < found.high


def test_a_share_of_few_requests_is_wide() -> None:
    assert wilson(1.0, 10).low == pytest.approx(0.7225, abs=1e-4)  # Wilson's interval of 10 out of 10, as tables have it
    assert wilson(0.0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert wilson(0.5, 10).low == pytest.approx(0.2366, abs=1e-4)


def test_a_promise_is_proven_where_the_whole_interval_keeps_it() -> None:
    time_s = np.arange(2000) * 60.0
    latency_s = np.where(np.arange(2000) % 50 == 0, 2.0, 0.5)  # 98 % within a second
    proven, close = (judged(an_outcome(time_s, latency_s), Slo("latency", share, 1.0)) for share in (0.95, 0.98))
    assert (proven.verdict, proven.attainment) == ("proven", 0.98)
    assert close.attainment >= close.target
    assert (close.verdict, close.attainment_low < close.target) == ("not proven", True)


def test_a_limit_is_kept_when_it_is_just_reached() -> None:
    outcome = an_outcome(np.zeros(500), np.full(500, 0.5))
    assert judged(outcome, Slo("latency", 0.9, 0.5)).attainment == 1.0
    assert judged(outcome, Slo("latency", 0.9, 0.4999)).attainment == 0.0


def test_a_deadline_is_proven_only_by_all() -> None:
    time_s, night = np.full(100, 22.0 * HOUR_S), Deferral(22.0, 6.0)
    latency_s = np.full(100, 7.9 * HOUR_S)
    assert judged(an_outcome(time_s, latency_s), night).verdict == "proven"
    latency_s[3] = 8.1 * HOUR_S
    late = judged(an_outcome(time_s, latency_s), night)
    assert (late.verdict, late.attainment, late.slo) == ("not proven", 0.99, "done by 06:00")


@pytest.mark.parametrize(
    ("release_h", "deadline_h", "clock_h", "left_h"),
    [
        (22, 6, 22, 8),
        (22, 6, 2.5, 3.5),
        (22, 6, 6, 24),
        (22, 6, 12, 18),
        (6, 6, 6, 24),
        (6, 6, 7, 23),
        (1, 5, 1, 4),
        (0, 24, 0, 24),
    ],
)
def test_the_next_deadline(release_h: float, deadline_h: float, clock_h: float, left_h: float) -> None:
    for start_h in (0.0, 10.0, 100.0):
        time_s = np.array([(clock_h - start_h) % 24.0 * HOUR_S + 86_400.0])
        due_s = deadlines_s(time_s, start_h * HOUR_S, Deferral(release_h, deadline_h))
        assert due_s - time_s == pytest.approx([left_h * HOUR_S])


def test_requests_that_are_never_answered_miss_every_promise_and_spoil_no_figure() -> None:
    outcome = replay(fleet(pool(engine(1.0), 0, ceiling=0)), traffic([1.0, 2.0]))
    for metric in ("latency", "ttft", "tpot"):
        assert np.isinf(metric_s(outcome, metric)).all()
        evidence = judged(outcome, Slo(metric, 0.95, 1.0))  # type: ignore[arg-type]
        numbers = [getattr(evidence, item.name) for item in fields(evidence)]
        assert all(np.isfinite(number) for number in numbers if isinstance(number, float))
        assert (evidence.verdict, evidence.attainment) == ("not proven", 0.0)
        assert (evidence.p50_ms, evidence.p95_ms, evidence.p99_ms) == (None, None, None)


def test_a_percentile_of_what_was_never_answered_is_not_made_up() -> None:
    latency_s = np.full(100, 2.0)
    latency_s[-4:] = np.inf
    found = judged(an_outcome(np.arange(100.0), latency_s), Slo("latency", 0.9, 3.0))
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (2000.0, 2000.0, None)


@pytest.mark.parametrize(("hours", "length_s"), [(24, HOUR_S), (100, HOUR_S), (12, 1800.0), (1, 120.0), (0.25, 60.0)])
def test_groups_are_hours_and_of_less_than_a_day_shorter(hours: float, length_s: float) -> None:
    assert group_s(hours * HOUR_S - 1.0) == length_s


def test_a_burst_of_misses_widens_the_interval_of_an_hour_too() -> None:
    time_s = np.arange(18_000) * 0.2
    spread, burst = np.full(18_000, 0.5), np.full(18_000, 0.5)
    spread[::20] = 2.0
    burst[9000:9900] = 2.0
    even, uneven = (judged(an_outcome(time_s, latency_s), Slo("latency", 0.93, 1.0)) for latency_s in (spread, burst))
    assert (even.attainment, even.verdict) == (uneven.attainment, "proven")
    assert (uneven.verdict, uneven.attainment_low < 0.92) == ("not proven", True)


def test_a_day_is_grouped_by_its_hours() -> None:
    time_s = np.arange(24 * 60) * 60.0
    latency_s = np.where(np.arange(24 * 60) % 200 < 20, 2.0, 0.5)
    found = judged(an_outcome(time_s, latency_s), Slo("latency", 0.9, 1.0))
    by_hand = attained(latency_s <= 1.0, (time_s // HOUR_S).astype(np.int64))
    assert (found.attainment_low, found.attainment_high) == (by_hand.low, by_hand.high)


def test_a_class_without_requests_has_no_evidence() -> None:
    outcome = an_outcome(np.arange(3.0), np.ones(3))
    assert judge([outcome], 1, "other", Slo("ttft", 0.9, 1.0), start_s=0.0, window="", seeds=(1,)) is None


def test_figures_are_those_of_the_class_alone_over_all_replays() -> None:
    requests = traffic([0.0, 1.0, 2.0, 3.0], [(1, 3)] * 4, [0, 1, 0, 1])
    outcomes = [
        outcome_of(requests, requests.time_s + shift, requests.time_s + 3 * shift)
        for shift in (np.array([1.0, 50.0, 2.0, 50.0]), np.array([3.0, 50.0, 4.0, 50.0]))
    ]
    ttft = judge(outcomes, 0, "chat", Slo("ttft", 0.5, 2.5), start_s=0.0, window="", seeds=(1, 2))
    tpot = judge(outcomes, 0, "chat", Slo("tpot", 0.5, 2.5), start_s=0.0, window="", seeds=(1, 2))
    assert ttft is not None
    assert tpot is not None
    assert (ttft.requests, ttft.attainment, ttft.p50_ms) == (4, 0.5, 2500.0)
    assert (tpot.requests, tpot.attainment, tpot.p50_ms) == (4, 0.5, 2500.0)
