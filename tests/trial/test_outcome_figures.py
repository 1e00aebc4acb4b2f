"""Figures and series of outcomes made by hand: every request is counted once, and every percentile is of the right ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.plan import Plan
from tightrope.base.records import TokenEngine
from tightrope.replay.records import (
    ANSWERED,
    CACHED,
    NO_POOL,
    SHED,
    TOO_LARGE,
    UNANSWERED,
    Drill,
    Outcome,
    Timeline,
    Traffic,
)
from tightrope.trial.outcome_figures import drill_evidence, gather_trial_evidence, summarise_classes, summarise_pools
from tightrope.trial.time_series import _count_queued, bin_width_s, series_of

INF = np.inf


def outcome(plan: Plan) -> Outcome:
    """Return six requests of ``web``, one of each end, and one of ``night``; all 100 s apart."""
    ended = np.array([ANSWERED, CACHED, SHED, TOO_LARGE, NO_POOL, UNANSWERED, ANSWERED])
    time_s = 100.0 * np.arange(7)
    took = np.array([0.5, 0.01, INF, INF, INF, INF, 20.0])
    waited = np.array([0.1, INF, INF, INF, INF, INF, 5.0])
    pools = len(plan.pools)
    return Outcome(
        traffic=Traffic(time_s, np.array([0] * 6 + [1]), np.full(7, 10), np.full(7, 5)),
        first_s=time_s + took / 2.0,
        finish_s=time_s + took,
        pool=np.array([0, -1, -1, -1, -1, -1, 0]),
        machine_hours=np.full((pools, 1), 2.0),
        busy_hours=np.full(pools, 0.5),
        interruptions=0,
        retries=0,
        begin_s=time_s + waited,
        ended=ended,
        prefix_tokens=np.array([5, 0, 0, 0, 0, 0, 0]),
    )


def test_every_request_is_counted_once(plan: Plan) -> None:
    web, night = summarise_classes(plan, [outcome(plan)])
    counts = (web.answered, web.cached, web.shed, web.too_large, web.no_pool, web.unanswered)
    assert counts == (1, 1, 1, 1, 1, 1)
    assert web.requests == 6
    assert (night.requests, night.answered) == (1, 1)


def test_times_are_of_those_who_were_answered(plan: Plan) -> None:
    web, night = summarise_classes(plan, [outcome(plan)])
    assert web.latency is not None
    assert web.latency.p50_ms == pytest.approx(255.0)
    assert web.queue is not None
    assert web.queue.p99_ms == pytest.approx(100.0)
    assert night.latency is not None
    assert night.latency.p95_ms == pytest.approx(20_000.0)


def test_the_share_of_prompts_spared_is_known_only_where_there_are_blocks_and_a_cache(plan: Plan) -> None:
    one = outcome(plan)
    blocks = replace(one, traffic=replace(one.traffic, blocks=np.arange(7), block_start=np.arange(8)))
    pools = tuple(replace(pool, serving=replace(pool.serving, prefix_block_tokens=5)) for pool in plan.pools)
    cached = replace(plan, pools=pools)
    shares = [
        tuple(item.prefix_share for item in summarise_classes(*both))
        for both in ((cached, [blocks]), (cached, [one]), (plan, [blocks]))
    ]
    assert shares == [(0.5, 0.0), (None, None), (None, None)]
    assert [item.prompt_tokens for item in summarise_classes(cached, [blocks, blocks])] == [10.0, 10.0]


def test_engines_without_tokens_have_no_times_of_tokens(plan: Plan) -> None:
    web, _ = summarise_classes(plan, [outcome(plan)])
    assert (web.ttft, web.tpot) == (None, None)
    engine = TokenEngine(0.0, 0.01, 0.0, 0.0, 100, 4, 64, 1.0)
    pools = tuple(replace(pool, serving=replace(pool.serving, engine=engine)) for pool in plan.pools)
    web, _ = summarise_classes(replace(plan, pools=pools), [outcome(plan)])
    assert web.ttft is not None
    assert web.tpot is not None
    assert web.tpot.p50_ms == pytest.approx(250.0 / 4.0)  # of the one an engine wrote


def test_counts_are_means_over_seeds_and_percentiles_over_all(plan: Plan) -> None:
    one = outcome(plan)
    slow = replace(one, finish_s=one.finish_s + 1.0)
    web, _ = summarise_classes(plan, [one, slow])
    assert web.requests == 6
    assert web.latency is not None
    assert web.latency.p50_ms == pytest.approx(1000.0 * np.quantile([0.5, 0.01, 1.5, 1.01], 0.5))


def test_a_class_without_requests_is_left_out(plan: Plan) -> None:
    one = outcome(plan)
    quiet = replace(one, traffic=replace(one.traffic, traffic_class=np.zeros(7, dtype=np.int64)))
    assert [item.name for item in summarise_classes(plan, [quiet])] == ["web"]
    assert {item.traffic_class for item in gather_trial_evidence(plan, [quiet], start_s=0.0, window="w", seeds=(1,))} == {"web"}


def test_pools_are_busy_for_a_part_of_what_is_paid(plan: Plan) -> None:
    first, *rest = summarise_pools(plan, [outcome(plan)], 1800.0)
    assert first.utilisation == 0.25
    assert (first.least_machines, first.most_machines) == (4.0, 4.0)  # two machine-hours in half an hour
    assert first.requests == 2
    assert all(pool.requests == 0 for pool in rest)


def test_a_pool_without_machines_is_neither_idle_nor_busy(plan: Plan) -> None:
    none = replace(outcome(plan), machine_hours=np.zeros((len(plan.pools), 1)), busy_hours=np.zeros(len(plan.pools)))
    assert {pool.utilisation for pool in summarise_pools(plan, [none], 1800.0)} == {None}


def test_busier_than_paid_for_is_not_hidden(plan: Plan) -> None:
    wrong = replace(outcome(plan), busy_hours=np.full(len(plan.pools), 3.0))
    assert summarise_pools(plan, [wrong], 1800.0)[0].utilisation == 1.5


def test_answers_after_the_end_are_counted(plan: Plan) -> None:
    assert [summarise_pools(plan, [outcome(plan)], duration_s)[0].late for duration_s in (0.4, 610.0, 620.0)] == [2.0, 1.0, 0.0]


def test_a_drill_is_judged_by_those_who_came_while_it_went_on(plan: Plan) -> None:
    found = {item.traffic_class: item for item in drill_evidence(plan, [outcome(plan)], Drill("zone-loss", 50.0, 301.0), 0.0)}
    assert found["web"].requests == 3
    assert found["web"].attainment == pytest.approx(1.0 / 3.0)  # the cached one; what was turned away or too large is missed
    assert "night" not in found
    assert drill_evidence(plan, [outcome(plan)], None, 0.0) == ()


@pytest.mark.parametrize(("duration_s", "width_s"), [(60.0, 60.0), (18_000.0, 60.0), (86_400.0, 300.0), (604_800.0, 3600.0)])
def test_there_are_never_too_many_bins(duration_s: float, width_s: float) -> None:
    assert bin_width_s(duration_s) == width_s
    assert duration_s / bin_width_s(duration_s) <= 300


def test_bins_hold_the_means_of_machines(plan: Plan) -> None:
    pools = len(plan.pools)
    none = np.zeros((4, pools), dtype=np.int64)
    ready, starting, waiting = none.copy(), none.copy(), none.copy()
    ready[:, 0], starting[1, 0], waiting[2] = [1, 2, 4, 4], 3, 5
    timeline = Timeline(np.array([0.0, 30.0, 60.0, 200.0]), ready, starting, none, waiting, none, np.array([0, 1, 2, 0]))
    one = replace(outcome(plan), timeline=timeline)
    series = series_of(plan, one, 240.0, 7200.0, {"": [0.5], **{pool.name: [1.0] for pool in plan.pools}})
    name = plan.pools[0].name
    assert series.start_h == 2.0
    assert series.ready[name] == (1.5, 4.0, 4.0, 4.0)
    assert series.starting == {name: (1.5, 0.0, 0.0, 0.0)}
    assert series.usd_per_hour["commitment unused"] == (0.5,)
    with pytest.raises(ValueError, match="without a time-line"):
        series_of(plan, replace(one, timeline=None), 240.0, 7200.0, {})


def waits(plan: Plan, time_s: list[float], begin_s: list[float], ended: list[int]) -> Outcome:
    """Return requests of ``web`` that begin then, on a fleet of which samples show nothing."""
    none, number = np.zeros((1, len(plan.pools)), dtype=np.int64), np.zeros(len(time_s), dtype=np.int64)
    begin = np.array(begin_s)
    return replace(
        outcome(plan),
        traffic=Traffic(np.array(time_s), number, number + 1, number + 1),
        first_s=begin + 1.0,
        finish_s=begin + 1.0,
        begin_s=begin,
        ended=np.array(ended),
        prefix_tokens=number,
        timeline=Timeline(np.zeros(1), none, none, none, none, none, none[:, 0]),
    )


def test_the_queue_is_known_between_samples(plan: Plan) -> None:
    burst = waits(plan, [20.0] * 5 + [130.0], [20.0, 21.0, 22.0, 23.0, 61.0, 130.0], [ANSWERED] * 6)
    # Four of five wait, one of them into the second minute; the last one is taken up at once.
    assert series_of(plan, burst, 240.0, 0.0, {}).queued == (4.0, 1.0, 0.0, 0.0)


def test_who_waits_for_no_engine_is_not_in_the_queue(plan: Plan) -> None:
    never = waits(plan, [10.0, 10.0, 20.0, 30.0, 40.0], [INF] * 5, [CACHED, SHED, TOO_LARGE, NO_POOL, UNANSWERED])
    assert series_of(plan, never, 180.0, 0.0, {}).queued == (1.0, 1.0, 1.0)  # until the end


@given(st.lists(st.tuples(st.integers(0, 250), st.integers(0, 200)), max_size=40))
def test_the_most_that_waited_is_that_of_a_count_at_every_moment(rows: list[tuple[int, int]]) -> None:
    arrived = np.sort(np.array([float(at) for at, _ in rows]))
    begun = arrived + np.array([float(took) for _, took in rows])
    number = np.zeros(len(rows), dtype=np.int64)
    none = np.zeros((0, 1))
    seen = Outcome(Traffic(arrived, number, number, number), begun, begun, number, none, none[:, 0], 0, 0, begun, number, number)
    level = [int(np.sum((arrived <= at) & (begun > at))) for at in range(240)]
    assert _count_queued(seen, 4, 60.0).tolist() == [max(level[60 * place : 60 * place + 60]) for place in range(4)]


def test_latency_is_by_arrival_and_unknown_where_nobody_was_answered(plan: Plan) -> None:
    none = np.zeros((1, len(plan.pools)), dtype=np.int64)
    timeline = Timeline(np.zeros(1), none, none, none, none, none, none[:, 0])
    series = series_of(plan, replace(outcome(plan), timeline=timeline), 660.0, 0.0, {})
    assert series.latency_p95_ms["web"][:3] == (500.0, pytest.approx(10.0), None)
    assert series.latency_p95_ms["night"][10] == pytest.approx(20_000.0)
    assert series.promised_ms == {"web": 900.0}
