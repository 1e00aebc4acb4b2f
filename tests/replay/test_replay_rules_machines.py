"""Each rule of ``docs/explanation/replay-rules.md`` on a scenario small enough to work out on paper, for both engines: machines."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fleets import engine as batches
from fleets import fleet, pool, seconds_billed, traffic, treated

from tightrope.base.records import ScalingLimit, ScalingPolicy, ScalingRule, TokenEngine
from tightrope.replay.records import NO_POOL, UNANSWERED, Drill, Fleet, Outcome, Traffic

Replay = Callable[..., Outcome]


def machines_by_round(engine: Replay, what: Fleet, requests: Traffic, rounds: int, **others: object) -> list[int]:
    """Return the machines billed in each of the first rounds: what one more round adds to the bill."""
    billed = [engine(what, requests, 15.0 * n, **others).machine_hours.sum() * 3600.0 for n in range(1, rounds + 1)]
    return np.rint(np.diff(billed, prepend=0.0) / 15.0).astype(int).tolist()


# ------------------------------------------------------------------------------------------------------------ who takes a request


def test_an_engine_has_its_share_of_what_its_machine_sustains(engine: Replay) -> None:
    """With one request on a machine of 1/s, 2/1 is less than the 1/0.45 of an engine of two that sustain 0.9/s together."""
    double = pool(batches(10.0), name="double", engines_per_machine=2, requests_per_s=0.9)
    assert engine(fleet(pool(batches(10.0)), double), traffic([0.0, 1.0, 2.0])).pool.tolist() == [0, 0, 1]


def test_who_waits_for_a_day_is_not_answered(engine: Replay) -> None:
    """The pool might run, but its schedule never says so."""
    outcome = engine(fleet(pool(batches(1.0), 0, ceiling=1)), traffic([5.0]), 60.0)
    assert outcome.ended.tolist() == [UNANSWERED]
    assert outcome.finish_s == pytest.approx([np.inf])
    assert seconds_billed(outcome) == [0.0]


# ------------------------------------------------------------------------------------------------------------- serverless


def test_instances_start_for_requests_and_go_when_nobody_needs_them(engine: Replay) -> None:
    """At most two instances, 30 s to start, 60 s kept alive, requests of 10 s.

    1 starts an instance, ready at 31; 2 another, ready at 32; 3 waits for the first: 41, 42, 51. 100 finds the first idle: 110. The
    second, idle since 42, goes at 105, the first, idle since 110, at 180. 200 starts one again: 240, and that one goes at 300.
    """
    what = fleet(pool(batches(10.0), 0, ceiling=2, start_s=30.0, keep_alive_s=60.0))
    outcome = engine(what, traffic([1.0, 2.0, 3.0, 100.0, 200.0]))
    assert outcome.finish_s == pytest.approx([41.0, 42.0, 51.0, 110.0, 240.0])
    assert outcome.begin_s == pytest.approx([31.0, 32.0, 41.0, 100.0, 230.0])
    assert seconds_billed(outcome) == pytest.approx([179.0 + 103.0 + 100.0])
    assert (outcome.cold_starts, outcome.retries) == (3, 0)


def test_instances_that_the_schedule_keeps_warm_are_cold_starts_but_the_first(engine: Replay) -> None:
    """One is warm in the first hour, two in the second: the second is asked for at 3570, 30 s before, and takes a request at 3611."""
    what = fleet(pool(batches(10.0), [1, 2], ceiling=2, start_s=30.0, keep_alive_s=60.0))
    outcome = engine(what, traffic([100.0, 3610.0, 3611.0]), 7200.0)
    assert outcome.finish_s == pytest.approx([110.0, 3620.0, 3621.0])
    assert seconds_billed(outcome) == pytest.approx([7200.0 + 3630.0])
    assert outcome.cold_starts == 1


def test_machines_are_there_when_their_hour_begins(engine: Replay) -> None:
    """They take 100 s: at 3510, the first round after 3500, the two of the next hour are asked for; the third hour has one again.

    The machine that goes at 7200 does so then and no sooner; requests of the second hour find two at once.
    """
    what = fleet(pool(batches(10.0), [0, 2, 1], start_s=100.0))
    outcome = engine(what, traffic([3590.0, 3616.0, 3617.0]), 3 * 3600.0)
    assert outcome.finish_s == pytest.approx([3625.0, 3626.0, 3635.0])
    assert outcome.machine_hours[0] * 3600.0 == pytest.approx([2 * 90.0, 7200.0, 3600.0])


def test_an_instance_takes_as_many_requests_as_it_has_engines(engine: Replay) -> None:
    """Two engines an instance, two instances: 1 starts the first, 2 joins it, 3 starts the second; 4 joins that, 5 waits.

    The first is ready at 31, the second at 33, where the fifth follows the first to have come: 31 + 10, all engines having one.
    """
    what = fleet(pool(batches(10.0), 0, ceiling=2, engines_per_machine=2, start_s=30.0, keep_alive_s=600.0))
    outcome = engine(what, traffic([1.0, 2.0, 3.0, 4.0, 5.0]), 60.0)
    assert outcome.begin_s == pytest.approx([31.0, 31.0, 33.0, 33.0, 41.0])
    assert outcome.cold_starts == 2
    assert outcome.busy_hours[0] * 3600.0 == pytest.approx((4 * 10.0 + 10.0) / 2)


def test_a_serverless_pool_is_chosen_as_if_it_were_empty(engine: Replay) -> None:
    """A machine of 1/s stands first; with one request there, a new instance of 0.6/s is nearer (1/0.6 < 2/1), then an idle one.

    At 3 the instance is starting, and at its ceiling: one request there is 2/0.6, the machine with one 2/1.
    """
    plain, instance = pool(batches(10.0)), pool(batches(10.0), 0, ceiling=1, start_s=20.0, keep_alive_s=600.0, requests_per_s=0.6)
    outcome = engine(fleet(plain, replace(instance, name="instances")), traffic([1.0, 2.0, 3.0, 40.0, 41.0]))
    assert outcome.pool.tolist() == [0, 1, 0, 0, 1]
    assert outcome.finish_s == pytest.approx([11.0, 32.0, 21.0, 50.0, 51.0])


def test_serverless_pools_do_no_work_that_can_wait(engine: Replay) -> None:
    what = fleet(pool(batches(10.0), ceiling=2, keep_alive_s=60.0), deferrable=(True,))
    assert engine(what, traffic([1.0])).ended.tolist() == [NO_POOL]


def test_an_instance_that_nobody_used_is_kept_from_when_it_was_ready(engine: Replay) -> None:
    """Asked for at 3510 for the hour from 3600 on, ready at 3610; 3,700 s later is 7310, so it goes in the round at 7320."""
    what = fleet(pool(batches(10.0), [0, 1, 0], ceiling=1, start_s=100.0, keep_alive_s=3700.0))
    assert seconds_billed(engine(what, traffic([]), 3 * 3600.0)) == pytest.approx([7320.0 - 3510.0])


def test_an_instance_with_notice_still_starts_for_what_it_has(engine: Replay) -> None:
    """Notice at 15; ready at 31, the request is answered at 41, and it goes. Another can start only after the storm, at 1005."""
    what = fleet(pool(batches(10.0), 0, ceiling=2, start_s=30.0, keep_alive_s=60.0, interruptions_per_hour=1e-9))
    outcome = engine(what, traffic([1.0, 20.0]), 1100.0, drill=Drill("spot-storm", 10.0, 1000.0))
    assert outcome.finish_s == pytest.approx([41.0, 1045.0])
    assert seconds_billed(outcome) == pytest.approx([40.0 + 95.0])
    assert (outcome.interruptions, outcome.cold_starts) == (1, 2)


# ---------------------------------------------------------------------------------------- machines that are taken, and fall back


@pytest.mark.parametrize("behind_first", [False, True])
def test_a_pool_stands_in_for_machines_that_are_not_to_be_had(engine: Replay, behind_first: bool) -> None:
    """A storm from 100 to 1000 takes two idle spot machines at 105; two on demand are asked for then, and ready at 150.

    Spot is asked for at 1005 and ready at 1050, when on demand is given back.
    """
    spot = pool(batches(10.0), 2, name="spot", start_s=40.0, interruptions_per_hour=1e-9)
    behind = pool(batches(10.0), 0, name="on demand", start_s=40.0, ceiling=2, backs="spot")
    pools = [behind, spot] if behind_first else [spot, behind]
    outcome = engine(fleet(*pools), traffic([120.0]), drill=Drill("spot-storm", 100.0, 1000.0))
    billed = seconds_billed(outcome)
    assert (billed[::-1] if behind_first else billed) == pytest.approx([2 * 105.0 + 2 * 2595.0, 2 * 945.0])
    assert outcome.finish_s == pytest.approx([160.0])
    assert (outcome.interruptions, outcome.retries) == (2, 0)


def test_a_storm_gives_two_minutes(engine: Replay) -> None:
    """Notice at 105; the request of 200 s that began at 50 is lost at 225; a machine is asked for at 300, and there at 315."""
    what = fleet(pool(batches(200.0), interruptions_per_hour=1e-9))
    outcome = engine(what, traffic([50.0]), drill=Drill("spot-storm", 100.0, 300.0))
    assert outcome.finish_s == pytest.approx([515.0])
    assert seconds_billed(outcome) == pytest.approx([225.0 + 3300.0])
    assert outcome.busy_hours[0] * 3600.0 == pytest.approx(175.0 + 200.0)
    assert (outcome.interruptions, outcome.retries, outcome.failures) == (1, 1, 0)


def test_a_machine_fails_when_its_draw_says(engine: Replay) -> None:
    """The rate is such that the first machine's draw, of the second row, is 100 s: it is gone at 105, its successor there at 120."""
    draw, next_draw = np.random.default_rng(3).exponential(size=(2, 4096))[1, :2]
    rate_per_hour = 36.0 * draw
    assert 3600.0 * next_draw / rate_per_hour > 100.0  # the second fails after the traffic's end
    outcome = engine(fleet(pool(batches(50.0), failures_per_hour=rate_per_hour)), traffic([90.0]), 180.0, seed=3)
    assert outcome.finish_s == pytest.approx([170.0])
    assert seconds_billed(outcome) == pytest.approx([180.0])
    assert (outcome.failures, outcome.interruptions, outcome.retries) == (1, 0, 1)


def test_draws_go_round_after_4096_machines(engine: Replay) -> None:
    """Of 4,100 machines the last four have the first four's draws; at 15 those are gone whose draw is below a rate's share of it."""
    draws = np.random.default_rng(0).exponential(size=(2, 4096))[1]
    rate_per_hour = 3600.0 / 15.0 * np.median(draws[:4])
    outcome = engine(fleet(pool(batches(1.0), 4100, failures_per_hour=rate_per_hour)), traffic([]), 16.0)
    assert outcome.failures == (np.resize(draws, 4100) * 3600.0 / rate_per_hour <= 15.0).sum()
    assert 0 < outcome.failures - (draws * 3600.0 / rate_per_hour <= 15.0).sum() < 4


def test_what_was_nearest_to_its_end_is_sent_again_first(engine: Replay) -> None:
    """Steps of 10 s. A machine is lost at 60; the other, of which nobody would have made use before, takes one at a time.

    31: the first is read, by 41; 41: the second, by 51, when they have 7 and 3 tokens left; 51: the third is being read at 60, and the
    fourth, which came at 55, waits. So they go: the second until 100, the first until 190, the third until 250, the fourth until 260.
    """
    model = TokenEngine(10.0, 0.0, 0.0, 0.0, kv_capacity_tokens=1000, max_sequences=4, chunk_tokens=100, load_s=0.0)
    lost = pool(model, 1, name="lost", requests_per_s=100.0, zones=2)
    other = pool(replace(model, max_sequences=1), 1, name="other", requests_per_s=0.01, zones=2)
    requests = traffic([31.0, 32.0, 50.0, 55.0], [(4, 9), (4, 4), (4, 6), (4, 1)])
    outcome = engine(fleet(lost, other), requests, drill=Drill("zone-loss", 59.0, 100000.0))
    assert outcome.pool.tolist() == [1, 1, 1, 1]
    assert outcome.begin_s == pytest.approx([100.0, 60.0, 190.0, 250.0])
    assert outcome.finish_s == pytest.approx([190.0, 100.0, 250.0, 260.0])
    assert outcome.retries == 4


# ------------------------------------------------------------------------------------------------------------- autoscaler

RATE = ScalingPolicy(True, 0.5, 1.0, 0.1, 15.0, 0.0, 0.0, 0.0, metric_window_s=15.0)


def each_second(until_s: float) -> Traffic:
    return traffic(np.arange(int(until_s)) + 0.5)


NO_CHANGE = ScalingLimit((ScalingRule("pods", 1, 15.0),), "disabled")


def rules(*rows: tuple[str, float, float], select: str = "max") -> ScalingLimit:
    return ScalingLimit(tuple(ScalingRule(*row) for row in rows), select)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("up", "machines"),
    [
        (rules(("pods", 1, 30.0)), [1, 2, 2, 3, 3, 4, 4, 5, 5, 5]),  # one in any 30 s
        (rules(("percent", 100, 30.0)), [1, 2, 2, 4, 4, 5, 5, 5, 5, 5]),  # double what was there 30 s ago
        (rules(("pods", 1, 30.0), ("percent", 100, 30.0)), [1, 2, 2, 4, 4, 5, 5, 5, 5, 5]),  # the one that allows more
        (rules(("pods", 1, 30.0), ("percent", 100, 30.0), select="min"), [1, 2, 2, 3, 3, 4, 4, 5, 5, 5]),
        (rules(("percent", 10, 15.0)), [1, 2, 3, 4, 5, 5, 5, 5, 5, 5]),  # rounded up: at least one
        (NO_CHANGE, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_rules_limit_how_fast_a_pool_grows(engine: Replay, up: ScalingLimit, machines: list[int]) -> None:
    """One request a second where a machine is to have 0.2: five machines, from the first round after 15 s of traffic."""
    what = fleet(pool(batches(0.001), 1, ceiling=9, requests_per_s=0.4), scaling=replace(RATE, scale_up=up))
    assert machines_by_round(engine, what, each_second(150.0), len(machines)) == machines


@pytest.mark.parametrize(
    ("down", "machines"),
    [
        (rules(("pods", 1, 30.0)), [5, 4, 4, 3, 3, 2, 2, 1, 1]),
        (rules(("percent", 50, 30.0)), [5, 2, 2, 1, 1, 1, 1, 1, 1]),  # 5 less 50 % is 2.5: 2
        (rules(("percent", 50, 30.0), ("pods", 1, 30.0), select="min"), [5, 4, 4, 3, 3, 2, 2, 1, 1]),
        (NO_CHANGE, [5, 5, 5, 5, 5, 5, 5, 5, 5]),
    ],
)
def test_rules_limit_how_fast_a_pool_shrinks(engine: Replay, down: ScalingLimit, machines: list[int]) -> None:
    """The same traffic for 60 s; from the round at 75 on there is none, and one machine would do."""
    what = fleet(pool(batches(0.001), 1, ceiling=9, requests_per_s=0.4), scaling=replace(RATE, scale_down=down))
    assert machines_by_round(engine, what, each_second(60.0), 4 + len(machines))[4:] == machines


def test_stabilisation_upwards_waits_for_the_lowest_of_its_window(engine: Replay) -> None:
    """The first round asks for none, so with 45 s the round at 45, three rounds on, is the first that sees fives only."""
    what = fleet(pool(batches(0.001), 1, ceiling=9, requests_per_s=0.4), scaling=replace(RATE, upscale_stabilization_s=45.0))
    assert machines_by_round(engine, what, each_second(90.0), 6) == [1, 1, 1, 5, 5, 5]


def test_stabilisation_downwards_waits_for_the_highest_of_its_window(engine: Replay) -> None:
    """Three machines at 0, as many as the schedule has until 15, are the recommendation of the round before: 45 s before 30."""
    what = fleet(pool(batches(1.0), [3, 1]), scaling=replace(RATE, downscale_stabilization_s=45.0))
    assert machines_by_round(engine, what, traffic([]), 4, block_offset_s=3585.0) == [3, 3, 1, 1]


def test_without_a_metric_nothing_changes(engine: Replay) -> None:
    """The metric is lost from 10 to 40: the round at 45 is the first that sees it."""
    what = fleet(pool(batches(0.001), 1, ceiling=9, requests_per_s=0.4), scaling=RATE)
    drill = Drill("metrics-loss", 10.0, 40.0)
    assert machines_by_round(engine, what, each_second(90.0), 6, drill=drill) == [1, 1, 1, 5, 5, 5]


def test_a_metric_of_pods_counts_those_that_are_not_ready(engine: Replay) -> None:
    """A machine is to have one request; three come to the first. The round at 15 sees 3 and asks for three machines.

    The two new ones wait for their node (30), load (45), become ready (60, too late for that round's metric): each time they count as
    0, so the ratio is 1. At 75 they are seen with nothing. At 80 to 82 three more come: 3, 2, 1, a mean of 2: six machines.
    """
    scaling = replace(RATE, metric="concurrency", metric_lag_s=0.0)
    what = fleet(pool(batches(1000.0), 1, ceiling=9, concurrency=2.0, start_s=40.0, load_s=10.0), scaling=scaling)
    assert machines_by_round(engine, what, traffic([1.0, 2.0, 3.0, 80.0, 81.0, 82.0]), 7) == [1, 3, 3, 3, 3, 3, 6]


@pytest.mark.parametrize(
    ("load_s", "machines"),
    [
        (90.0, [1, 3, 3, 2, 1]),  # loading at 30 already: missing ones count as 0 where the rest says more
        (80.0, [1, 3, 3, 2, 1]),  # loading at 45: missing ones count as the target, (0 + 1 + 1) / 3 of 3 is 2; then 1 of 2
        (10.0, [1, 3, 3, 1, 1]),  # waiting for their node: they do not count on the way down, 0 of 1 machine is none
    ],
)
def test_a_metric_of_pods_goes_down_gently_while_machines_load(engine: Replay, load_s: float, machines: list[int]) -> None:
    """A machine is to have one request. Three come to the first: it has 3 at 15, 2 at 30 (which does not count), none at 45."""
    what = pool(batches(20.0, 20.0, 20.0), 1, ceiling=9, concurrency=2.0, start_s=100.0, load_s=load_s)
    scaled = fleet(what, scaling=replace(RATE, metric="concurrency"))
    assert machines_by_round(engine, scaled, traffic([1.0, 2.0, 3.0]), 5) == machines


def test_machines_that_are_not_ready_keep_a_pool_within_its_tolerance(engine: Replay) -> None:
    """Three requests on machines that are to have 0.94 each ask for four; two may be added at 15, and from then on 3 / 0.94 / 3 is 1.06."""
    scaling = replace(RATE, metric="concurrency", target_utilisation=0.47, scale_up=rules(("pods", 2, 15.0)))
    what = fleet(pool(batches(1000.0), 1, ceiling=9, concurrency=2.0, start_s=40.0, load_s=10.0), scaling=scaling)
    assert machines_by_round(engine, what, traffic([1.0, 2.0, 3.0]), 6) == [1, 3, 3, 3, 3, 3]


def test_a_pool_that_lost_machines_is_not_made_smaller_for_a_metric_that_says_more(engine: Replay) -> None:
    """Four requests of 20 s come to one machine: four machines at 15. At 30 the zone of two is lost, before they are ready.

    Of the other two one has three requests, one is new (missing, so 0): the mean is 1.5, which says more, but 1.5 of two machines are
    three. So four stay, and the two lost are asked for in the other zone. At 45 two measured ones have 2 and 0, which is what they are to
    have; but with two that are missing it is half of that, so two.
    """
    what = fleet(pool(batches(20.0), 1, ceiling=9, concurrency=2.0, zones=2), scaling=replace(RATE, metric="concurrency"))
    requests, drill = traffic([1.0, 1.0, 1.0, 1.0]), Drill("zone-loss", 20.0, 1000.0, zone=1)
    assert machines_by_round(engine, what, requests, 4, drill=drill) == [1, 4, 4, 2]


def test_a_machine_is_not_measured_by_what_its_place_had(engine: Replay) -> None:
    """A machine with three requests is lost at 60; another is asked for at 75, ready at 90, and seen with them at 105.

    What is seen at 105 is acted on at 135; in the round at 90, what was seen at 60 is not the new machine's.
    """
    scaling = replace(RATE, metric="concurrency", metric_lag_s=30.0)
    what = fleet(pool(batches(1000.0), 1, ceiling=9, concurrency=2.0), scaling=scaling)
    requests, drill = traffic([46.0, 46.0, 46.0]), Drill("zone-loss", 50.0, 70.0)
    assert machines_by_round(engine, what, requests, 10, drill=drill) == [1, 1, 1, 1, 0, 1, 1, 1, 1, 3]


def test_a_metric_of_pods_is_as_old_as_its_lag(engine: Replay) -> None:
    """Two requests come at 1, on one machine that is to have one: seen in the round at 15, acted on in that at 45."""
    scaling = replace(RATE, metric="concurrency", metric_lag_s=30.0)
    what = fleet(pool(batches(1000.0), 1, ceiling=9, concurrency=2.0), scaling=scaling)
    assert machines_by_round(engine, what, traffic([1.0, 1.0]), 5) == [1, 1, 1, 2, 2]


def test_the_rate_counts_who_is_turned_away_and_not_who_can_wait(engine: Replay) -> None:
    """One request a second, of which almost all are turned away, asks for five machines; deferrable work for none."""
    what = fleet(pool(batches(1000.0), 1, ceiling=9, requests_per_s=0.4), deferrable=(False, True), scaling=RATE)
    what, requests = treated(what, {"shed_wait_s": 0.0}, {}), each_second(60.0)
    assert machines_by_round(engine, what, requests, 4) == [1, 5, 5, 5]
    assert machines_by_round(engine, what, replace(requests, traffic_class=np.ones(60, dtype=np.int64)), 4) == [1, 1, 1, 1]


def test_a_new_most_or_floor_is_all_that_changes_in_its_round(engine: Replay) -> None:
    """At 60 the schedule falls from six to one and the most from six to the ceiling of four; the metric is followed from 75 on."""
    what = fleet(pool(batches(1.0), [6, 1], ceiling=4), scaling=RATE)
    assert machines_by_round(engine, what, traffic([]), 6, block_offset_s=3540.0) == [6, 6, 6, 6, 4, 1]


def test_a_pool_that_was_off_begins_at_its_floor(engine: Replay) -> None:
    """One machine until 15, five until the pool is off at 60; at 3660 it is on with two, though no rule would let it shrink from five."""
    what = fleet(pool(batches(0.001), [1, 0, 2], ceiling=9, requests_per_s=0.4), scaling=replace(RATE, scale_down=NO_CHANGE))
    outcome = engine(what, each_second(60.0), 3675.0, block_offset_s=3540.0)
    assert outcome.machine_hours.sum() * 3600.0 == pytest.approx(15.0 + 5 * 45.0 + 2 * 15.0)
