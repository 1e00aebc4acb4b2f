"""Each rule of ``docs/explanation/replay-rules.md`` on a scenario small enough to work out on paper, for both engines.

Steps of the token engines here take one second, or one second a token, so that every figure can be followed by hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from fleets import engine as batches
from fleets import fleet, pool, traffic
from reference import replay_slowly

from tightrope.base.records import ScalingLimit, ScalingPolicy, ScalingRule, TokenEngine
from tightrope.replay.records import (
    ANSWERED,
    CACHED,
    NO_POOL,
    SHED,
    TOO_LARGE,
    UNANSWERED,
    Drill,
    Fleet,
    Outcome,
    ResponseCache,
    Traffic,
)
from tightrope.replay.run import replay_fleet

Replay = Callable[..., Outcome]
NEVER = np.inf
A_SECOND = TokenEngine(1.0, 0.0, 0.0, 0.0, kv_capacity_tokens=10, max_sequences=4, chunk_tokens=100, load_s=0.0)
A_SECOND_A_TOKEN = replace(A_SECOND, overhead_s=0.0, per_token_s=1.0, kv_capacity_tokens=1000)


@pytest.fixture(params=["fast", "slow"])
def engine(request: pytest.FixtureRequest) -> Replay:
    """Return a replay of so many seconds."""
    replay = {"fast": replay_fleet, "slow": replay_slowly}[request.param]

    def run(what: Fleet, requests: Traffic, seconds: float = 3600.0, *, seed: int = 0, drill: Drill | None = None) -> Outcome:
        return replay(what, requests, duration_s=seconds, block_offset_s=0.0, seed=seed, drill=drill)

    return run


def classes(what: Fleet, *treated: dict[str, object]) -> Fleet:
    """Return the fleet with its classes treated so."""
    changed = [replace(item, **fields) for item, fields in zip(what.classes, treated, strict=True)]  # type: ignore[arg-type]
    return replace(what, classes=tuple(changed))


def with_blocks(requests: Traffic, *prompts: str) -> Traffic:
    """Return the traffic with one block a letter."""
    starts = np.cumsum([0, *[len(prompt) for prompt in prompts]])
    return replace(requests, block_start=starts, blocks=np.array([ord(letter) for letter in "".join(prompts)]))


def machines_by_round(engine: Replay, what: Fleet, requests: Traffic, rounds: int, drill: Drill | None = None) -> list[int]:
    """Return the machines billed in each of the first rounds: what one more round adds to the bill."""
    billed = [engine(what, requests, 15.0 * n, drill=drill).machine_hours.sum() * 3600.0 for n in range(1, rounds + 1)]
    return np.rint(np.diff(billed, prepend=0.0) / 15.0).astype(int).tolist()


def seconds_billed(outcome: Outcome) -> list[float]:
    return (outcome.machine_hours.sum(axis=1) * 3600.0).tolist()


# --------------------------------------------------------------------------------------------------------- response cache


def test_an_answer_is_kept_for_its_time_and_the_least_recently_used_goes_first(engine: Replay) -> None:
    """Two entries, 100 s, batches of one in 1 s; the keys kept are in brackets, the least recently used first.

    0: 1 is made at 1 [1]. 10: hit. 20: 2 is made [1 2]. 30: 1 is hit [2 1]. 40: 3 is made, 2 goes [1 3]. 50: 2 is made at 51, 1 goes
    [3 2]. 60: 1 is made, 3 goes [2 1]. 150: 2 is 99 s old, a hit. 155: 104 s old, made anew.
    """
    what = replace(fleet(pool(batches(1.0))), cache=ResponseCache(entries=2, ttl_s=100.0, hit_s=0.25))
    times_s, keys = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 150.0, 155.0], [1, 1, 2, 1, 3, 2, 1, 2, 2]
    outcome = engine(what, replace(traffic(times_s), key=np.array(keys)))
    hits = [1, 3, 7]
    assert np.flatnonzero(outcome.ended == CACHED).tolist() == hits
    waits_s = np.where(np.isin(np.arange(9), hits), 0.25, 1.0)
    assert outcome.latency_s == pytest.approx(waits_s)
    assert outcome.ttft_s == pytest.approx(waits_s)
    assert outcome.pool.tolist() == [0, -1, 0, -1, 0, 0, 0, -1, 0]


def test_requests_in_flight_and_those_without_a_key_are_not_joined(engine: Replay) -> None:
    what = replace(fleet(pool(batches(1.0))), cache=ResponseCache(entries=9, ttl_s=100.0))
    outcome = engine(what, replace(traffic([0.0, 0.5, 10.0, 20.0, 30.0]), key=np.array([7, 7, -1, -1, 7])))
    assert outcome.finish_s == pytest.approx([1.0, 2.0, 11.0, 21.0, 30.0])
    assert outcome.ended.tolist() == [ANSWERED] * 4 + [CACHED]


def test_an_answer_that_is_made_again_is_young_again(engine: Replay) -> None:
    """Both requests in flight give the answer, the second at 2: it is 99.5 s old at 101.5, and 100 s at 102, when it is dropped."""
    what = replace(fleet(pool(batches(1.0))), cache=ResponseCache(entries=9, ttl_s=100.0))
    outcome = engine(what, replace(traffic([0.0, 0.5, 101.5, 102.0]), key=np.array([7, 7, 7, 7])))
    assert outcome.ended.tolist() == [ANSWERED, ANSWERED, CACHED, ANSWERED]


# ------------------------------------------------------------------------------------------------- shedding and priorities


def test_clients_that_are_turned_away_ask_again_and_give_up(engine: Replay) -> None:
    """One machine of 1/s, 10 s a request; whoever finds more than 1.5 s of requests is turned away, and asks again once, 5 s later.

    0 runs to 10. 1 finds one and waits, to 20. 2 finds two, at 7 still two: shed. 8 finds two, at 13 one: it waits, to 30.
    """
    what = classes(fleet(pool(batches(10.0))), {"shed_wait_s": 1.5, "retries": 1, "retry_after_s": 5.0})
    outcome = engine(what, traffic([0.0, 1.0, 2.0, 8.0]))
    assert outcome.finish_s == pytest.approx([10.0, 20.0, NEVER, 30.0])
    assert outcome.begin_s == pytest.approx([0.0, 10.0, NEVER, 20.0])
    assert outcome.ended.tolist() == [ANSWERED, ANSWERED, SHED, ANSWERED]
    assert outcome.pool.tolist() == [0, 0, -1, 0]
    assert outcome.attempts_shed == 3


def test_requests_that_were_held_or_lost_their_machine_are_not_turned_away(engine: Replay) -> None:
    """Two requests wait an hour for a machine, which is there at 3705 and lost at 3750; the next is asked for at 3810, there at 3915."""
    what = classes(fleet(pool(batches(100.0), [0, 1], start_s=100.0)), {"shed_wait_s": 0.5})
    drill = Drill("zone-loss", 3740.0, 3800.0)
    outcome = engine(what, traffic([10.0, 20.0]), 7200.0, drill=drill)
    assert outcome.finish_s == pytest.approx([4015.0, 4115.0])
    assert (outcome.attempts_shed, outcome.retries, outcome.interruptions, outcome.failures) == (0, 2, 0, 0)


def test_larger_priorities_go_first_and_within_one_the_first_come(engine: Replay) -> None:
    what = classes(fleet(pool(batches(10.0)), deferrable=(False, False)), {"priority": 0}, {"priority": 1})
    outcome = engine(what, traffic([0.0, 1.0, 2.0, 3.0, 4.0], kinds=[0, 0, 1, 0, 1]))
    assert outcome.finish_s == pytest.approx([10.0, 40.0, 20.0, 50.0, 30.0])


# ----------------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize(
    ("times_s", "finish_s"),
    [
        ([0.0], [9.0]),  # a batch of two takes 3 s: one waits until 10 - 3 = 7
        ([0.0, 5.0], [9.0, 9.0]),  # two wait until 10 - 4 = 6
        ([0.0, 6.5], [9.5, 9.5]),  # when the second comes, 10 - 4 = 6 has passed
        ([0.0, 1.0, 2.0], [6.0, 6.0, 6.0]),  # full
    ],
)
def test_a_batch_goes_before_its_first_request_is_late(engine: Replay, times_s: Sequence[float], finish_s: list[float]) -> None:
    """Batches of one, two and three take 2, 3 and 4 s and might wait 100 s for more, but answers are due within 10 s."""
    what = classes(fleet(pool(batches(2.0, 3.0, 4.0), max_wait_s=100.0)), {"answer_within_s": 10.0})
    outcome = engine(what, traffic(times_s))
    assert outcome.finish_s == pytest.approx(finish_s)


def test_who_comes_first_in_the_queue_decides_when_a_batch_goes(engine: Replay) -> None:
    """Batches of up to three wait 20 s. At 5 one of higher priority comes, which may wait until 25; at 8 another, and they are full."""
    what = fleet(pool(batches(2.0, 3.0, 4.0), max_wait_s=20.0), deferrable=(False, False))
    what = classes(what, {"priority": 0}, {"priority": 1})
    assert engine(what, traffic([0.0, 5.0], kinds=[0, 1])).finish_s == pytest.approx([28.0, 28.0])
    assert engine(what, traffic([0.0, 5.0, 8.0], kinds=[0, 1, 1])).finish_s == pytest.approx([12.0, 12.0, 12.0])


# ------------------------------------------------------------------------------------------------------------- preemption


def test_the_last_taken_up_gives_its_memory_back_and_reads_again(engine: Replay) -> None:
    """Ten tokens of memory, steps of a second; prompts of four tokens, answers of four.

    0-1: the first is read. 1-2: it has 4 cached and one more, the second's 4 fit: 9. At 2 they have 5 and 4, and two more are 11: the
    second is preempted. The first goes on to 4; then the second reads its prompt and the token it had (5), and has three more by 7.
    """
    outcome = engine(fleet(pool(A_SECOND)), traffic([0.0, 0.5], [(4, 4), (4, 4)]))
    assert outcome.first_s == pytest.approx([1.0, 2.0])
    assert outcome.finish_s == pytest.approx([4.0, 7.0])
    assert outcome.begin_s == pytest.approx([0.0, 1.0])
    assert (outcome.preemptions, outcome.retries) == (1, 0)
    assert outcome.busy_hours[0] * 3600.0 == pytest.approx(7.0)


def test_the_lowest_priority_is_preempted_first_whenever_it_was_taken_up(engine: Replay) -> None:
    """The same, but the second comes first: at 2 the first gives way, with two tokens written; it reads 6 at 5, and has two more by 7."""
    what = classes(fleet(pool(A_SECOND), deferrable=(False, False)), {"priority": 0}, {"priority": 1})
    outcome = engine(what, traffic([0.0, 0.5], [(4, 4), (4, 4)], [0, 1]))
    assert outcome.first_s == pytest.approx([1.0, 2.0])
    assert outcome.finish_s == pytest.approx([7.0, 5.0])
    assert outcome.preemptions == 1


def test_a_preempted_request_goes_before_those_that_wait(engine: Replay) -> None:
    """A third comes at 0.7 and waits (at 1 its 4 would make 13). At 2 the second is preempted, and goes before it.

    At 4 the second needs 5, for its prompt and what it wrote, and the third's 4 fit beside it: both are read by 5. Then they have 5 and
    4, and two more are 11: the third, taken up last, is preempted after its first token. The second has its last two tokens by 7;
    then the third reads 5, and has its second token at 8.
    """
    outcome = engine(fleet(pool(A_SECOND)), traffic([0.0, 0.5, 0.7], [(4, 4), (4, 4), (4, 2)]))
    assert outcome.begin_s == pytest.approx([0.0, 1.0, 4.0])
    assert outcome.first_s == pytest.approx([1.0, 2.0, 5.0])
    assert outcome.finish_s == pytest.approx([4.0, 7.0, 8.0])
    assert outcome.preemptions == 2


def test_a_preempted_request_whose_machine_is_taken_starts_from_nothing(engine: Replay) -> None:
    """Steps of 10 s: at 20 the second is preempted, at 30 the machine's zone is lost; another is there at 45, and all begins again."""
    what = fleet(pool(replace(A_SECOND, overhead_s=10.0), zones=2))
    outcome = engine(what, traffic([0.0, 5.0], [(4, 4), (4, 4)]), drill=Drill("zone-loss", 25.0, 1000.0))
    assert outcome.begin_s == pytest.approx([45.0, 55.0])
    assert outcome.first_s == pytest.approx([55.0, 65.0])
    assert outcome.finish_s == pytest.approx([85.0, 115.0])
    assert (outcome.preemptions, outcome.retries) == (2, 2)
    assert outcome.busy_hours[0] * 3600.0 == pytest.approx(30.0 + 70.0)


def test_a_request_that_comes_ends_a_run_of_steps(engine: Replay) -> None:
    """The first decodes from 1 on; at 3.5 another comes, is read from 4 to 5, and has its second token at 6."""
    outcome = engine(fleet(pool(replace(A_SECOND, kv_capacity_tokens=100))), traffic([0.0, 3.5], [(4, 10), (4, 2)]))
    assert outcome.begin_s == pytest.approx([0.0, 4.0])
    assert outcome.finish_s == pytest.approx([10.0, 6.0])


def test_prompts_share_what_a_step_may_read(engine: Replay) -> None:
    """Six tokens a step, a second a token: 0-6 six of ten; 6-12 four and two of the next; 12-17 a decoding token and four more.

    The second's answer is one token, at 17; the first has its three at 12, 17 and 18.
    """
    model = replace(A_SECOND_A_TOKEN, chunk_tokens=6)
    outcome = engine(fleet(pool(model)), traffic([0.0, 1.0], [(10, 3), (6, 1)]))
    assert outcome.first_s == pytest.approx([12.0, 17.0])
    assert outcome.finish_s == pytest.approx([18.0, 17.0])


# ----------------------------------------------------------------------------------------------------------- prefix cache


def test_leading_blocks_that_are_kept_are_not_read_again(engine: Replay) -> None:
    """Blocks of 4 tokens, a second a token, half a second a cached one.

    ``abc`` (10 tokens: the third block is not full) takes 10 s. ``abd`` is spared 8, reads 2: 2 + 8/2 s. ``ab`` of 8 tokens is never spared
    its last block: 4 + 4/2 s. ``axb`` of 12 tokens is spared 4 and reads 8. ``bb`` is a block that leads no prompt.
    """
    model = replace(A_SECOND_A_TOKEN, per_cached_token_s=0.5)
    requests = traffic([0.0, 100.0, 200.0, 300.0, 400.0], [(10, 1), (10, 1), (8, 1), (12, 1), (8, 1)])
    outcome = engine(fleet(pool(model, prefix_block_tokens=4)), with_blocks(requests, "abc", "abd", "ab", "axb", "yz"))
    assert outcome.prefix_tokens.tolist() == [0, 8, 4, 4, 0]
    assert outcome.latency_s == pytest.approx([10.0, 6.0, 6.0, 10.0, 8.0])


def test_the_longest_idle_block_is_given_up_and_of_a_prompt_its_last(engine: Replay) -> None:
    """20 tokens of memory, blocks of 4; what is idle stands in brackets, the longest first.

    ``abcd`` leaves [d c b a]. ``ef`` needs 8 beside 16: d goes, [c b a f e]. ``abcd`` holds a b c and reads 4, 16 in use, so of [f e] f
    goes; then [e d c b a]. ``efg`` (9 tokens) is spared e only.
    """
    model = replace(A_SECOND_A_TOKEN, kv_capacity_tokens=20)
    requests = traffic([0.0, 100.0, 200.0, 300.0], [(16, 1), (8, 1), (16, 1), (9, 1)])
    outcome = engine(fleet(pool(model, prefix_block_tokens=4)), with_blocks(requests, "abcd", "ef", "abcd", "efg"))
    assert outcome.prefix_tokens.tolist() == [0, 0, 12, 4]
    assert outcome.latency_s == pytest.approx([16.0, 8.0, 4.0, 5.0])


def test_blocks_in_use_count_once(engine: Replay) -> None:
    """Sixteen tokens of memory, blocks of 4, steps of a second: three prompts of 9 tokens with 8 in common fit beside each other.

    The first is read by 1 and occupies 9; one token more, and one of each of the others, are 12. Without a prefix cache two are 18.
    """
    model = replace(A_SECOND, kv_capacity_tokens=16)
    requests = traffic([0.0, 0.5, 0.6], [(9, 3), (9, 1), (9, 1)])
    outcome = engine(fleet(pool(model, prefix_block_tokens=4)), with_blocks(requests, "ab", "ab", "ab"))
    assert outcome.prefix_tokens.tolist() == [0, 8, 8]
    assert outcome.finish_s == pytest.approx([3.0, 2.0, 2.0])
    assert engine(fleet(pool(model)), requests).finish_s == pytest.approx([3.0, 4.0, 5.0])


def test_a_prefix_cache_is_gone_with_its_machine(engine: Replay) -> None:
    """The only zone is lost at 60 for a minute; the machine that is asked for at 120, and there at 135, has to read all."""
    what = fleet(pool(A_SECOND_A_TOKEN, prefix_block_tokens=4))
    requests = with_blocks(traffic([0.0, 50.0, 100.0], [(9, 1), (9, 1), (9, 1)]), "ab", "ab", "ab")
    outcome = engine(what, requests, drill=Drill("zone-loss", 60.0, 120.0))
    assert outcome.prefix_tokens.tolist() == [0, 8, 0]
    assert outcome.finish_s == pytest.approx([9.0, 51.0, 144.0])


# ------------------------------------------------------------------------------------------------------ work that can wait


def test_the_work_that_is_due_first_goes_first(engine: Replay) -> None:
    """At 10 the engine is free; of two classes' work the one due at 500 goes first, though the other came first."""
    what = fleet(pool(batches(10.0)), deferrable=(True, True, False))
    requests = traffic([0.0, 1.0, 2.0], kinds=[2, 0, 1])
    assert engine(what, replace(requests, deadline_s=np.array([9e9, 1000.0, 500.0]))).finish_s == pytest.approx(
        [10.0, 30.0, 20.0]
    )
    assert engine(what, requests).finish_s == pytest.approx([10.0, 20.0, 30.0])


def test_work_that_can_wait_starts_at_once_and_fills_what_starts_anyway(engine: Replay) -> None:
    """Batches of one, two, three take 10, 11, 12 s and wait 50 s for more; two that can wait may be in one.

    0: an idle engine takes the first alone. 10: it takes the next two, not the third: 21. Then that one: 31.
    100: an interactive one waits for more; what can wait does not make it start. At 150 both go: 161.
    """
    what = fleet(pool(batches(10.0, 11.0, 12.0), max_wait_s=50.0, deferrable_limit=2), deferrable=(True, False))
    outcome = engine(what, traffic([0.0, 1.0, 2.0, 3.0, 100.0, 110.0], kinds=[0, 0, 0, 0, 1, 0]))
    assert outcome.finish_s == pytest.approx([10.0, 21.0, 21.0, 31.0, 161.0, 161.0])


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


def test_instances_that_the_schedule_keeps_warm_are_no_cold_starts(engine: Replay) -> None:
    """One is warm in the first hour, two in the second: the second is asked for at 3600 and is ready, for the request, at 3630."""
    what = fleet(pool(batches(10.0), [1, 2], ceiling=2, start_s=30.0, keep_alive_s=60.0))
    outcome = engine(what, traffic([100.0, 3610.0, 3611.0]), 7200.0)
    assert outcome.finish_s == pytest.approx([110.0, 3620.0, 3640.0])
    assert seconds_billed(outcome) == pytest.approx([7200.0 + 3600.0])
    assert outcome.cold_starts == 1


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


def test_what_was_nearest_to_its_end_is_sent_again_first(engine: Replay) -> None:
    """Steps of 10 s. A machine is lost at 60; the other, of which nobody would have made use before, takes one at a time.

    31: the first is read, by 41; 41: the second, by 51, when they have 7 and 3 tokens left; 51: the third is being read at 60, and the
    fourth, which came at 55, waits. So they go: the second until 100, the first until 190, the third until 250, the fourth until 260.
    """
    model = replace(A_SECOND, overhead_s=10.0, kv_capacity_tokens=1000)
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
        (rules(("pods", 4, 15.0), select="disabled"), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
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
        (rules(("pods", 1, 30.0), select="disabled"), [5, 5, 5, 5, 5, 5, 5, 5, 5]),
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


def test_without_a_metric_nothing_changes(engine: Replay) -> None:
    """The metric is lost from 10 to 40: the round at 45 is the first that sees it."""
    what = fleet(pool(batches(0.001), 1, ceiling=9, requests_per_s=0.4), scaling=RATE)
    drill = Drill("metrics-loss", 10.0, 40.0)
    assert machines_by_round(engine, what, each_second(90.0), 6, drill) == [1, 1, 1, 5, 5, 5]


def test_a_metric_of_pods_counts_those_that_are_not_ready(engine: Replay) -> None:
    """A machine is to have one request; three come to the first. The round at 15 sees 3 and asks for three machines.

    The two new ones wait for their node (30), load (45), become ready (60, too late for that round's metric): each time they count as
    0, so the ratio is 1. At 75 they are seen with nothing. At 80 to 82 three more come: 3, 2, 1, a mean of 2: six machines.
    """
    scaling = replace(RATE, metric="concurrency", metric_lag_s=0.0)
    what = fleet(pool(batches(1000.0), 1, ceiling=9, concurrency=2.0, start_s=40.0, load_s=10.0), scaling=scaling)
    assert machines_by_round(engine, what, traffic([1.0, 2.0, 3.0, 80.0, 81.0, 82.0]), 7) == [1, 3, 3, 3, 3, 3, 6]


# ------------------------------------------------------------------------------------------------------- how requests end


def test_what_can_never_be_answered_ends_at_once(engine: Replay) -> None:
    """Prompt and answer of 11 tokens are more than the cache of 10; the other group never runs; what can wait ends likewise."""
    small = pool(A_SECOND)
    off = pool(A_SECOND, 0, name="off", group="off")
    what = fleet(small, off, deferrable=(False, False, True, True))
    share = np.zeros_like(what.share)
    share[0, 0], share[1, 1], share[2:, 0] = 1.0, 1.0, 1.0
    allowed = np.array([[True, True], [True, True], [True, False], [False, True]])
    requests = traffic([0.0, 1.0, 2.0, 3.0, 20.0], [(4, 7), (1, 1), (4, 7), (1, 1), (4, 6)], [0, 1, 2, 3, 0])
    outcome = engine(replace(what, share=share, allowed=allowed), requests)
    assert outcome.ended.tolist() == [TOO_LARGE, NO_POOL, TOO_LARGE, NO_POOL, ANSWERED]
    assert outcome.pool.tolist() == [-1, -1, -1, -1, 0]


def test_who_waits_for_a_day_is_not_answered(engine: Replay) -> None:
    """The pool might run, but its schedule never says so."""
    outcome = engine(fleet(pool(batches(1.0), 0, ceiling=1)), traffic([5.0]), 60.0)
    assert outcome.ended.tolist() == [UNANSWERED]
    assert outcome.finish_s == pytest.approx([NEVER])
    assert seconds_billed(outcome) == [0.0]
