"""Edges of the replay: nothing at all, everything at once, too large, too long, never ready, days of 23 and 25 hours."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from fleets import FIXED, TOKENS, engine, fleet, poisson, pool, replay, traffic, treated

from tightrope.base.records import EngineModel, ScalingPolicy
from tightrope.demand.requests import load_requests
from tightrope.replay.records import ANSWERED, NO_POOL, SHED, TOO_LARGE, UNANSWERED, Fleet, Traffic
from tightrope.replay.run import replay_fleet

HPA = ScalingPolicy(True, 0.5, 1.0, 0.1, 15.0, 0.0, 60.0, 0.0)
DAY_S = 86_400.0
ENGINES: tuple[EngineModel, ...] = (engine(1.0), engine(1.0, 1.5), TOKENS)
BERLIN = ZoneInfo("Europe/Berlin")


# ------------------------------------------------------------------------------------------------------------------ days and time


@pytest.mark.parametrize(
    "first",
    [
        datetime(2026, 3, 29, tzinfo=ZoneInfo("UTC")),  # at 02:00 in Berlin it is 03:00: the local day has 23 hours
        datetime(2026, 10, 25, tzinfo=ZoneInfo("UTC")),  # the hour from 02:00 comes twice: the local day has 25
    ],
    ids=["to summer time", "from summer time"],
)
def test_a_day_on_which_the_clocks_change_has_24_hours_like_any_other(tmp_path: Path, first: datetime) -> None:
    """Requests every ten minutes, written as local times with their offsets: nothing jumps, each of 24 hours is billed alike."""
    local = [(first + timedelta(minutes=10 * n)).astimezone(BERLIN) for n in range(144)]
    assert len({moment.utcoffset() for moment in local}) == 2
    path = tmp_path / "day.csv"
    path.write_text("timestamp\n" + "\n".join(moment.isoformat() for moment in local) + "\n")
    found = load_requests(path)
    assert found.time_s.tolist() == [600.0 * n for n in range(144)]
    outcome = replay(fleet(pool(engine(60.0), 2)), traffic(found.time_s), 24.0)
    assert outcome.machine_hours.tolist() == [[2.0] * 24]
    assert outcome.latency_s == pytest.approx(np.full(144, 60.0))
    assert outcome.busy_hours[0] == pytest.approx(144 / 60)


def test_a_week_that_begins_in_its_midst_goes_on_at_its_beginning() -> None:
    """The schedule's hour 167 is followed by hour 0."""
    schedule = np.zeros(168, dtype=int)
    schedule[[166, 167, 0, 1]] = 4, 3, 2, 1
    outcome = replay(fleet(pool(engine(1.0), schedule.tolist())), traffic([]), 4.0, offset_s=166 * 3600.0)
    assert outcome.machine_hours[0] == pytest.approx([4.0, 3.0, 2.0, 1.0])


def test_traffic_shorter_than_a_step() -> None:
    """Half a second of traffic, a service of 100 s: it is answered all the same, and billed for half a second."""
    outcome = replay(fleet(pool(engine(100.0))), traffic([0.25]), 0.5 / 3600.0)
    assert outcome.finish_s.tolist() == [100.25]
    assert outcome.machine_hours.sum() * 3600.0 == pytest.approx(0.5)
    assert outcome.busy_hours.sum() * 3600.0 == pytest.approx(0.25)


def test_a_request_at_the_very_end_of_the_traffic() -> None:
    outcome = replay(fleet(pool(engine(2.0))), traffic([3600.0, 3600.0]), 1.0)
    assert outcome.finish_s.tolist() == [3602.0, 3604.0]
    assert outcome.busy_hours.tolist() == [0.0]
    assert outcome.machine_hours.tolist() == [[1.0]]


def test_requests_at_the_very_beginning() -> None:
    """Machines of the schedule are ready before the first arrival."""
    assert replay(fleet(pool(engine(2.0), start_s=600.0)), traffic([0.0])).finish_s.tolist() == [2.0]


def test_work_that_takes_longer_than_a_day_is_not_waited_for() -> None:
    """A replay goes on for a day after its traffic; what is then still on an engine, or behind it, is unanswered."""
    outcome = replay(fleet(pool(engine(1.5 * DAY_S), 2)), traffic([0.0, 1.0, 2.0]), 1.0)
    assert outcome.ended.tolist() == [UNANSWERED] * 3
    assert np.isinf(outcome.latency_s).all()
    just = replay(fleet(pool(engine(0.9 * DAY_S))), traffic([0.0, 1.0]), 1.0)
    assert just.ended.tolist() == [ANSWERED, UNANSWERED]


def test_a_very_long_answer_takes_the_sum_of_its_steps() -> None:
    """10,000 tokens alone: n - 1 further steps of 0.03 s and 0.0001 s for each token cached, the first of which are the prompt's 10."""
    model = replace(TOKENS, kv_capacity_tokens=10**6)
    outcome = replay(fleet(pool(model)), traffic([0.0], [(10, 10_000)]))
    steps = 10_000 - 1
    assert outcome.first_s[0] == pytest.approx(0.03)
    assert outcome.latency_s[0] == pytest.approx(0.03 + steps * 0.03 + 0.0001 * (10 * steps + steps * (steps - 1) / 2), rel=1e-9)


# ---------------------------------------------------------------------------------------------------------------- few and many at once


@pytest.mark.parametrize("model", ENGINES, ids=["one", "batch", "token"])
@pytest.mark.parametrize("scaling", [FIXED, HPA], ids=["fixed", "hpa"])
def test_an_empty_trace(model: EngineModel, scaling: ScalingPolicy) -> None:
    outcome = replay(fleet(pool(model, 2, ceiling=5), scaling=scaling), traffic([]), 2.0)
    assert outcome.finish_s.shape == outcome.ended.shape == (0,)
    assert outcome.machine_hours.tolist() == [[2.0, 2.0]]
    assert outcome.busy_hours.tolist() == [0.0]


@pytest.mark.parametrize("model", ENGINES, ids=["one", "batch", "token"])
def test_one_request(model: EngineModel) -> None:
    outcome = replay(fleet(pool(model, 3)), traffic([100.0]))
    assert outcome.ended.tolist() == [ANSWERED]
    assert outcome.begin_s.tolist() == [100.0]
    assert outcome.latency_s[0] == pytest.approx({ENGINES[0]: 1.0, ENGINES[1]: 1.0, TOKENS: 0.03}[model])


def test_thousands_at_one_moment_one_after_another() -> None:
    """5,000 at 60 s on 4 machines: the k-th of a machine is answered k seconds later."""
    outcome = replay(fleet(pool(engine(1.0), 4)), traffic([60.0] * 5000))
    assert np.sort(outcome.latency_s) == pytest.approx(np.repeat(np.arange(1.0, 1251.0), 4))
    assert (np.diff(outcome.begin_s) >= 0.0).all()


def test_thousands_at_one_moment_in_batches() -> None:
    """8 at a time on one machine: 625 batches of 2 s each, the first of which finds only the first request."""
    outcome = replay(fleet(pool(engine(*[2.0] * 8))), traffic([60.0] * 5001))
    assert np.sort(outcome.latency_s) == pytest.approx(np.concatenate([[2.0], np.repeat(2.0 * np.arange(2, 627), 8)]))


def test_thousands_at_one_moment_token_by_token() -> None:
    """Every engine always has four sequences: tokens are written in order, and the last request ends with the engine's work."""
    outcome = replay(fleet(pool(TOKENS, 2)), traffic([60.0] * 3000, [(20, 5)] * 3000), 3.0)
    assert (outcome.ended == ANSWERED).all()
    assert (np.diff(outcome.begin_s) >= -1e-9).all()
    assert outcome.finish_s.max() - 60.0 == pytest.approx(outcome.busy_hours[0] * 3600.0 / 2, rel=1e-3)


def test_thousands_at_one_moment_and_nobody_ready() -> None:
    """Held, in order, until the first machine comes at 3615 s (asked for at 3510 for the hour from 3600, ready after 100 s)."""
    outcome = replay(fleet(pool(engine(0.1), [0, 1], start_s=100.0)), traffic([5.0] * 2000), 2.0)
    assert outcome.finish_s == pytest.approx(3615.0 + 0.1 * np.arange(1, 2001))


def test_thousands_turned_away_at_one_moment_all_end() -> None:
    """One machine at 1 request/s, at most 10 s of wait: 11 are let in each time that they ask, three times in all, 5 s apart.

    5 s later 5 are answered, so 5 more come in; ends of work go before clients that ask again.
    """
    what = treated(fleet(pool(engine(1.0))), {"shed_wait_s": 10.0, "retries": 2, "retry_after_s": 5.0})
    outcome = replay(what, traffic([60.0] * 2000))
    assert (outcome.ended == ANSWERED).sum() == 11 + 5 + 5
    assert (outcome.ended == SHED).sum() == 2000 - 21
    assert outcome.attempts_shed == 1989 + 1984 + 1979


# ------------------------------------------------------------------------------------------------------------------------ sizes


def test_a_request_larger_than_the_cache_ends_with_its_reason_and_delays_nobody() -> None:
    """1,001 tokens for a cache of 1,000; the others are as if it had not been there."""
    times, sizes = poisson(0.5, 200).tolist(), [(100, 50)] * 200
    alone = replay(fleet(pool(TOKENS)), traffic(times, sizes))
    with_it = replay(
        fleet(pool(TOKENS)), traffic([*times[:100], times[100], *times[100:]], [*sizes[:100], (501, 500), *sizes[100:]])
    )
    others = np.arange(201) != 100
    assert with_it.ended[100] == TOO_LARGE
    assert np.isinf(with_it.latency_s[100])
    assert with_it.pool[100] == -1
    assert with_it.finish_s[others].tolist() == alone.finish_s.tolist()
    assert with_it.busy_hours.tolist() == alone.busy_hours.tolist()


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_request_that_just_fits_is_answered(deferrable: bool) -> None:
    outcome = replay(fleet(pool(TOKENS), deferrable=(deferrable,)), traffic([0.0, 0.0], [(500, 500), (999, 1)]))
    assert outcome.ended.tolist() == [ANSWERED, ANSWERED]


@pytest.mark.parametrize("deferrable", [False, True])
def test_only_a_pool_that_could_hold_a_request_gets_it(deferrable: bool) -> None:
    """A small and a large cache, one group: the large request goes to the large one, however long its queue."""
    small, large = (
        pool(TOKENS, requests_per_s=9.0),
        pool(replace(TOKENS, kv_capacity_tokens=5000), name="large", requests_per_s=0.1),
    )
    outcome = replay(fleet(small, large, deferrable=(deferrable,)), traffic([0.0] * 6, [(800, 800), *[(10, 5)] * 4, (900, 200)]))
    assert (outcome.ended == ANSWERED).all()
    assert (outcome.pool[[0, 5]] == 1).all()


def test_requests_of_zero_tokens_count_as_one() -> None:
    sizes = [(0, 0), (1, 1), (0, 5), (1, 5), (7, 0), (7, 1)]
    outcome = replay(fleet(pool(TOKENS)), traffic(np.arange(6) * 100.0, sizes))
    latency_s = outcome.latency_s.tolist()
    assert latency_s[0::2] == pytest.approx(latency_s[1::2])
    assert outcome.tpot_s[0] == 0.0


def test_a_chunk_of_one_token_reads_a_prompt_token_by_token() -> None:
    """Prompt of 5: steps with 0 to 4 cached, 0.03 s each and 0.0001 s for each cached; then two further tokens with 5 and 6 cached."""
    outcome = replay(fleet(pool(replace(TOKENS, chunk_tokens=1))), traffic([0.0], [(5, 3)]))
    assert outcome.first_s[0] == pytest.approx(5 * 0.03 + 0.0001 * (0 + 1 + 2 + 3 + 4))
    assert outcome.finish_s[0] == pytest.approx(7 * 0.03 + 0.0001 * (0 + 1 + 2 + 3 + 4 + 5 + 6))


def test_with_a_chunk_of_one_token_a_decoding_sequence_leaves_nothing_for_prompts() -> None:
    """Its token comes first: the second prompt begins when the first request has left."""
    outcome = replay(fleet(pool(replace(TOKENS, chunk_tokens=1))), traffic([0.0, 0.001], [(1, 50), (1, 1)]))
    assert outcome.begin_s[1] == pytest.approx(outcome.finish_s[0])


def test_one_sequence_at_a_time_is_first_come_first_served() -> None:
    outcome = replay(fleet(pool(replace(TOKENS, max_sequences=1))), traffic([0.0] * 50, [(5, 5)] * 50))
    assert outcome.begin_s[1:] == pytest.approx(outcome.finish_s[:-1])


# ------------------------------------------------------------------------------------------------------------------- nobody there


@pytest.mark.parametrize("scaling", [FIXED, HPA], ids=["fixed", "hpa"])
def test_a_pool_that_may_never_run(scaling: ScalingPolicy) -> None:
    """Its ceiling is 0: requests end at once with that reason, and nothing is billed."""
    outcome = replay(fleet(pool(engine(1.0), 0), scaling=scaling), traffic([1.0, 2.0]))
    assert outcome.ended.tolist() == [NO_POOL, NO_POOL]
    assert outcome.machine_hours.sum() == 0.0
    assert outcome.pool.tolist() == [-1, -1]


@pytest.mark.parametrize("scaling", [FIXED, HPA], ids=["fixed", "hpa"])
def test_a_pool_that_could_run_but_is_never_asked_to(scaling: ScalingPolicy) -> None:
    """Its schedule is 0 all week: off, autoscaling or not; requests wait for it to the end of the last day."""
    outcome = replay(fleet(pool(engine(1.0), 0, ceiling=5), scaling=scaling), traffic([1.0, 2.0]))
    assert outcome.ended.tolist() == [UNANSWERED, UNANSWERED]
    assert outcome.machine_hours.sum() == 0.0


def test_machines_that_take_longer_to_start_than_there_is_time() -> None:
    outcome = replay(fleet(pool(engine(1.0), [0, 1], start_s=3 * DAY_S)), traffic([1.0]), 2.0)
    assert outcome.ended.tolist() == [UNANSWERED]
    assert outcome.machine_hours[0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("deferrable", [False, True])
def test_one_group_without_pools_does_not_touch_another(deferrable: bool) -> None:
    """Half of the requests go to a group that may never run; deferrable work goes where it can."""
    what = fleet(pool(engine(1.0), 1), pool(engine(1.0), 0, group="none"), deferrable=(deferrable,))
    outcome = replay(what, traffic(np.arange(10) * 10.0))
    expected = {True: [ANSWERED] * 10, False: None}[deferrable]
    assert expected is None or outcome.ended.tolist() == expected
    assert set(outcome.ended.tolist()) <= {ANSWERED, NO_POOL}
    assert deferrable or 3 <= (outcome.ended == NO_POOL).sum() <= 7


def test_no_class_has_any_requests() -> None:
    """Three classes, all of the traffic of one."""
    what = fleet(pool(engine(1.0)), deferrable=(False, True, False))
    assert replay(what, traffic([1.0, 2.0], kinds=[2, 2])).latency_s.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("offsets", [(0.0, 604_800.0), (3600.0, 608_400.0), (-3600.0, 601_200.0)])
def test_weeks_are_all_alike(offsets: Sequence[float]) -> None:
    """A replay that begins some weeks later, or earlier, has the same schedule."""
    what: Fleet = fleet(pool(engine(1.0), list(range(1, 25))))
    requests: Traffic = traffic(poisson(0.2, 500))
    one, other = (replay_fleet(what, requests, duration_s=7200.0, block_offset_s=offset_s, seed=0) for offset_s in offsets)
    assert one.finish_s.tolist() == other.finish_s.tolist()
    assert one.machine_hours.tolist() == other.machine_hours.tolist()


def test_a_prompt_that_names_a_block_twice_is_answered_like_any_other() -> None:
    """No trace of whole prefixes has such prompts; if one does, it must not cost the engine its memory."""
    count = 60
    blocks = {"block_start": np.arange(0, 2 * count + 1, 2), "blocks": np.repeat(np.arange(count) % 2, 2)}
    requests = replace(traffic(poisson(2.0, count), [(40, 5)] * count), **blocks)
    outcome = replay(fleet(pool(replace(TOKENS, kv_capacity_tokens=100), prefix_block_tokens=16)), requests)
    assert (outcome.ended == ANSWERED).all()
    assert outcome.prefix_tokens.any()
