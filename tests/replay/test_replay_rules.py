"""The rules of ``docs/explanation/replay-rules.md`` for requests and engines, on scenarios worked out on paper, for both replays.

Steps of the token engines here take one second, or one second a token, so that every figure can be followed by hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from fleets import engine as batches
from fleets import fleet, pool, traffic, treated, with_blocks

from tightrope.base.records import TokenEngine
from tightrope.replay.records import ANSWERED, CACHED, NO_POOL, SHED, TOO_LARGE, UNANSWERED, Drill, Outcome, ResponseCache

Replay = Callable[..., Outcome]
NEVER = np.inf
A_SECOND = TokenEngine(1.0, 0.0, 0.0, 0.0, kv_capacity_tokens=10, max_sequences=4, chunk_tokens=100, load_s=0.0)
A_SECOND_A_TOKEN = replace(A_SECOND, overhead_s=0.0, per_token_s=1.0, kv_capacity_tokens=1000)


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


def test_an_answer_that_is_made_again_is_the_most_recently_used(engine: Replay) -> None:
    """Two in flight make 1 twice, and 2 between: at 3 [2 1], so 3, at 11, takes the place of 2."""
    what = replace(fleet(pool(batches(1.0))), cache=ResponseCache(entries=2, ttl_s=100.0))
    outcome = engine(what, replace(traffic([0.0, 0.1, 0.2, 10.0, 20.0, 30.0]), key=np.array([1, 2, 1, 3, 1, 2])))
    assert outcome.ended.tolist() == [ANSWERED, ANSWERED, ANSWERED, ANSWERED, CACHED, ANSWERED]


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
    what = treated(fleet(pool(batches(10.0))), {"shed_wait_s": 1.5, "retries": 1, "retry_after_s": 5.0})
    outcome = engine(what, traffic([0.0, 1.0, 2.0, 8.0]))
    assert outcome.finish_s == pytest.approx([10.0, 20.0, NEVER, 30.0])
    assert outcome.begin_s == pytest.approx([0.0, 10.0, NEVER, 20.0])
    assert outcome.ended.tolist() == [ANSWERED, ANSWERED, SHED, ANSWERED]
    assert outcome.pool.tolist() == [0, 0, -1, 0]
    assert outcome.attempts_shed == 3


def test_nobody_is_turned_away_while_an_engine_of_the_group_is_idle(engine: Replay) -> None:
    """A machine of 10/s with five requests is thought quicker than an idle one of 0.1/s: 0.6 s against 10 s.

    But its 0.5 s of requests are more than the 0.4 s that may be waited, and the idle one has none: the sixth goes there. The seventh
    would wait 0.5 s or 10 s, and is turned away.
    """
    quick, slow = pool(batches(10.0), requests_per_s=10.0), pool(batches(10.0), name="slow", requests_per_s=0.1)
    what = treated(fleet(quick, slow), {"shed_wait_s": 0.4})
    outcome = engine(what, traffic([0.0] * 7))
    assert outcome.pool.tolist() == [0, 0, 0, 0, 0, 1, -1]
    assert outcome.ended.tolist() == [ANSWERED] * 6 + [SHED]


def test_requests_that_were_held_or_lost_their_machine_are_not_turned_away(engine: Replay) -> None:
    """Two requests wait an hour for a machine, which is there at 3615 and lost at 3750; the next is asked for at 3810, there at 3825."""
    what = treated(fleet(pool(batches(200.0), [0, 1])), {"shed_wait_s": 0.5})
    outcome = engine(what, traffic([10.0, 20.0]), 7200.0, drill=Drill("zone-loss", 3740.0, 3800.0))
    assert outcome.finish_s == pytest.approx([4025.0, 4225.0])
    assert (outcome.attempts_shed, outcome.retries, outcome.interruptions, outcome.failures) == (0, 2, 0, 0)


def test_larger_priorities_go_first_and_within_one_the_first_come(engine: Replay) -> None:
    what = treated(fleet(pool(batches(10.0)), deferrable=(False, False)), {"priority": 0}, {"priority": 1})
    outcome = engine(what, traffic([0.0, 1.0, 2.0, 3.0, 4.0], kinds=[0, 0, 1, 0, 1]))
    assert outcome.finish_s == pytest.approx([10.0, 40.0, 20.0, 50.0, 30.0])


def test_at_one_moment_ends_come_before_arrivals_and_those_before_clients_that_ask_again(engine: Replay) -> None:
    """At 10 the engine is free, then the third request begins, then the second asks again and finds it there: it is shed."""
    what = treated(fleet(pool(batches(10.0))), {"shed_wait_s": 0.5, "retries": 1, "retry_after_s": 8.0})
    outcome = engine(what, traffic([0.0, 2.0, 10.0]))
    assert outcome.finish_s == pytest.approx([10.0, NEVER, 20.0])
    assert outcome.attempts_shed == 2


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
    what = treated(fleet(pool(batches(2.0, 3.0, 4.0), max_wait_s=100.0)), {"answer_within_s": 10.0})
    outcome = engine(what, traffic(times_s))
    assert outcome.finish_s == pytest.approx(finish_s)


def test_who_comes_first_in_the_queue_decides_when_a_batch_goes(engine: Replay) -> None:
    """Batches of up to three wait 20 s. At 5 one of higher priority comes, which may wait until 25; at 8 another, and they are full."""
    what = fleet(pool(batches(2.0, 3.0, 4.0), max_wait_s=20.0), deferrable=(False, False))
    what = treated(what, {"priority": 0}, {"priority": 1})
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
    what = treated(fleet(pool(A_SECOND), deferrable=(False, False)), {"priority": 0}, {"priority": 1})
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


@pytest.mark.parametrize(
    ("comes_s", "priority", "finish_s"),
    [
        (4.5, 0, [8.0, 13.0, 9.0, 9.0]),  # behind the preempted one: the run goes on to 8, when all begin
        (
            5.5,
            3,
            [8.0, 13.0, 9.0, 7.0],
        ),  # before all others: the run ends at 6, where 11 of 12 are taken with it, and 3 more do not fit
    ],
)
def test_nobody_begins_in_a_step_that_preempted_or_in_its_run(
    engine: Replay, comes_s: float, priority: int, finish_s: list[float]
) -> None:
    """Twelve tokens of memory, steps of a second; the first of four requests decodes to 8.

    The second begins at 1. At 2 the third, which goes first, finds 8 + 2, and is 3. At 4 the two that decode have 7 and 5, and two more are
    14: the second is preempted, with three tokens. Only now would the third fit, but a run begins. At 8 it begins, and the second, which
    reads 6 and has its other five tokens by 13.
    """
    what = fleet(pool(replace(A_SECOND, kv_capacity_tokens=12)), deferrable=(False,) * 4)
    what = treated(what, {"priority": 1}, {"priority": 0}, {"priority": 2}, {"priority": priority})
    requests = traffic([0.0, 0.5, 1.5, comes_s], [(4, 8), (3, 8), (3, 1), (1, 1)], [0, 1, 2, 3])
    outcome = engine(what, requests)
    assert outcome.finish_s == pytest.approx(finish_s)
    assert outcome.preemptions == 1


def test_who_does_not_fit_holds_up_those_behind_it_and_work_that_can_wait(engine: Replay) -> None:
    """Ten tokens. At 1 the first has 4 and writes one more: 6 do not fit, so neither the 1 behind them nor 1 that can wait begins."""
    what = fleet(pool(A_SECOND, deferrable_limit=4), deferrable=(False, True))
    outcome = engine(what, traffic([0.0, 0.5, 0.6, 0.7], [(4, 4), (6, 1), (1, 1), (1, 1)], [0, 0, 0, 1]))
    assert outcome.begin_s == pytest.approx([0.0, 4.0, 4.0, 4.0])


def test_a_prompt_that_is_being_read_may_be_preempted(engine: Replay) -> None:
    """Ten tokens of memory, three a step. 1: the first's last token is read, and two of the second's five; 2: two more.

    At 3 the first has 5 and wants one more: the second gives way. At 7 the first is complete; the second is read from 7 to 9.
    """
    model = replace(A_SECOND, chunk_tokens=3)
    outcome = engine(fleet(pool(model)), traffic([0.0, 0.5], [(4, 6), (5, 1)]))
    assert outcome.begin_s == pytest.approx([0.0, 1.0])
    assert outcome.finish_s == pytest.approx([7.0, 9.0])
    assert outcome.preemptions == 1


def test_sequences_that_decode_may_leave_no_room_for_prompts(engine: Replay) -> None:
    """Two tokens a step: the second is read from 1 to 3, one token a step; then two decode, until 7, and the third is read to 9."""
    model = replace(A_SECOND, chunk_tokens=2, kv_capacity_tokens=100)
    outcome = engine(fleet(pool(model)), traffic([0.0, 0.5, 2.5], [(2, 10), (2, 5), (2, 2)]))
    assert outcome.begin_s == pytest.approx([0.0, 1.0, 7.0])
    assert outcome.first_s == pytest.approx([1.0, 3.0, 9.0])
    assert outcome.finish_s == pytest.approx([10.0, 7.0, 10.0])


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


def test_what_is_cached_costs_time(engine: Replay) -> None:
    """Six tokens a step, a second each, half a second a cached one; prompts of 16 tokens, the first block of 8 of them shared.

    The first: 6, 6 + 6/2, 4 + 12/2 s. The second is spared 8: 6 + 8/2, then 2 + 14/2 s.
    """
    model = replace(A_SECOND_A_TOKEN, chunk_tokens=6, per_cached_token_s=0.5)
    requests = with_blocks(traffic([0.0, 100.0], [(16, 1), (16, 1)]), "ab", "ac")
    outcome = engine(fleet(pool(model, prefix_block_tokens=8)), requests)
    assert outcome.latency_s == pytest.approx([25.0, 19.0])


# ----------------------------------------------------------------------------------------------------------- prefix cache


def test_leading_blocks_that_are_kept_are_not_read_again(engine: Replay) -> None:
    """Blocks of 4 tokens, a second a token, half a second a cached one.

    ``abc`` (10 tokens: the third block is not full) takes 10 s. ``abd`` is spared 8, reads 2: 2 + 8/2 s. ``ab`` of 8 tokens is never spared
    its last block: 4 + 4/2 s. ``axb`` of 12 tokens is spared 4 and reads 8: 10 s. ``yz`` is new. ``abc`` of 13 is spared 8: 9 s.
    """
    model = replace(A_SECOND_A_TOKEN, per_cached_token_s=0.5)
    sizes = [(10, 1), (10, 1), (8, 1), (12, 1), (8, 1), (13, 1)]
    requests = with_blocks(traffic([100.0 * i for i in range(6)], sizes), "abc", "abd", "ab", "axb", "yz", "abc")
    outcome = engine(fleet(pool(model, prefix_block_tokens=4)), requests)
    assert outcome.prefix_tokens.tolist() == [0, 8, 4, 4, 0, 8]
    assert outcome.latency_s == pytest.approx([10.0, 6.0, 6.0, 10.0, 8.0, 9.0])


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


def test_blocks_are_given_up_before_the_next_request_begins(engine: Replay) -> None:
    """28 tokens of memory, blocks of 4: ``abcd`` and ``xy`` are idle, 24. At 201 one request decodes with 2, and two begin in one step.

    The 3 of the first make 29: d goes. So the second is spared ``abc`` of its 17.
    """
    model = replace(A_SECOND_A_TOKEN, kv_capacity_tokens=28)
    requests = traffic([0.0, 100.0, 200.0, 200.5, 200.6], [(16, 1), (8, 1), (1, 2), (3, 1), (17, 1)])
    outcome = engine(fleet(pool(model, prefix_block_tokens=4)), with_blocks(requests, "abcd", "xy", "", "", "abcd"))
    assert outcome.prefix_tokens.tolist() == [0, 0, 0, 0, 12]
    assert outcome.begin_s == pytest.approx([0.0, 100.0, 200.0, 201.0, 201.0])


def test_idle_blocks_that_are_held_again_need_memory(engine: Replay) -> None:
    """Twenty tokens; ``ab`` is idle, 8. One of 11 is read at 100; then 12 are taken, and of 9 tokens one would be read and 8 held: 21."""
    model = replace(A_SECOND, kv_capacity_tokens=20)
    requests = with_blocks(traffic([0.0, 100.0, 100.5], [(8, 1), (11, 3), (9, 1)]), "ab", "", "ab")
    outcome = engine(fleet(pool(model, prefix_block_tokens=4)), requests)
    assert outcome.begin_s == pytest.approx([0.0, 100.0, 103.0])
    assert outcome.prefix_tokens.tolist() == [0, 0, 4]  # b has gone for the first one's second token, which made 21


def test_a_prefix_cache_is_gone_with_its_machine(engine: Replay) -> None:
    """The only zone is lost at 60 for a minute; the machine that is asked for at 120, and there at 135, has to read all."""
    what = fleet(pool(A_SECOND_A_TOKEN, prefix_block_tokens=4))
    requests = with_blocks(traffic([0.0, 50.0, 100.0], [(9, 1), (9, 1), (9, 1)]), "ab", "ab", "ab")
    outcome = engine(what, requests, drill=Drill("zone-loss", 60.0, 120.0))
    assert outcome.prefix_tokens.tolist() == [0, 8, 0]
    assert outcome.finish_s == pytest.approx([9.0, 51.0, 144.0])


def test_what_was_spared_on_a_machine_that_was_taken_does_not_count(engine: Replay) -> None:
    """The second request is spared 8 tokens at 100, loses its machine at 105, and finds none again."""
    what = fleet(pool(A_SECOND_A_TOKEN, prefix_block_tokens=4))
    requests = with_blocks(traffic([0.0, 100.0], [(9, 1), (40, 1)]), "ab", "ab")
    outcome = engine(what, requests, drill=Drill("zone-loss", 101.0, NEVER))
    assert outcome.ended.tolist() == [ANSWERED, UNANSWERED]
    assert (outcome.prefix_tokens.tolist(), outcome.pool.tolist()) == ([0, 0], [0, -1])


# ------------------------------------------------------------------------------------------------------ deferrable work


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


def test_work_that_can_wait_joins_sequences_up_to_a_limit_and_never_in_a_run(engine: Replay) -> None:
    """Steps of a second, two requests at most: 0 reads the first, 1 the second; at 3 the first is complete, and the third begins.

    100: from 101 on a run, until 110; the second, which comes at 103.5, begins only then.
    """
    what = fleet(pool(replace(A_SECOND, kv_capacity_tokens=100), deferrable_limit=2), deferrable=(True,))
    times_s, sizes = [0.0, 0.1, 0.2, 100.0, 103.5], [(4, 3), (4, 3), (4, 3), (4, 10), (4, 2)]
    outcome = engine(what, traffic(times_s, sizes))
    assert outcome.begin_s == pytest.approx([0.0, 1.0, 3.0, 100.0, 110.0])
    assert outcome.finish_s == pytest.approx([3.0, 4.0, 6.0, 110.0, 112.0])


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
