"""Cascades: what is escalated comes to the large model when the small one has answered, and counts from when it was asked."""

import math
from collections.abc import Callable
from dataclasses import replace

import fleets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import replay_slowly

from tightrope.base.records import Slo
from tightrope.replay.evidence import judge_all
from tightrope.replay.records import ANSWERED, CACHED, NO_POOL, SHED, UNANSWERED, Fleet, Outcome, ResponseCache, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.replay.traffic import as_asked, going_on, with_followers

Engine = Callable[..., Outcome]


@pytest.fixture(params=[replay_fleet, replay_slowly], ids=["fast", "slow"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


def cascade(share: float = 0.5, *, small_s: float = 1.0, large_s: float = 4.0, large: int = 1) -> Fleet:
    """Return a fleet whose first class goes to the small pool, and on to the large one in its second class."""
    pools = (
        fleets.pool(fleets.engine(small_s), name="small", group="small"),
        fleets.pool(fleets.engine(large_s), large, name="large", group="large"),
    )
    made = fleets.treated(
        fleets.fleet(*pools, deferrable=(False, False)), {"name": "first"}, {"follows": "first", "follow_share": share}
    )
    to = np.zeros_like(made.share)
    to[0, 0] = to[1, 1] = 1.0
    return replace(made, share=to)


def played(engine: Engine, what: Fleet, traffic: Traffic, **more: object) -> Outcome:
    return engine(what, traffic, **({"duration_s": 600.0, "block_offset_s": 0.0, "seed": 0, "drill": None} | more))


def test_what_goes_on_comes_when_the_first_part_is_answered(engine: Engine) -> None:
    # answered at 1, 2, 3, 4; the second and the fourth go on at 2 and 4 and take 4 s each, one after the other
    outcome = played(engine, cascade(), fleets.traffic([0.0, 0.0, 0.0, 0.0]))
    assert outcome.finish_s.tolist() == [1.0, 2.0, 3.0, 4.0, 6.0, 10.0]
    assert outcome.begin_s.tolist() == [0.0, 1.0, 2.0, 3.0, 2.0, 6.0]
    assert outcome.pool.tolist() == [0, 0, 0, 0, 1, 1]


def test_whoever_asked_waits_for_both() -> None:
    outcome = played(replay_fleet, cascade(), fleets.traffic([0.0, 0.0, 0.0, 0.0]))
    assert outcome.traffic.after is not None
    assert outcome.traffic.after.tolist() == [-1, -1, -1, -1, 1, 3]
    assert outcome.arrived_s.tolist() == [0.0, 0.0, 0.0, 0.0, 2.0, 4.0]
    assert outcome.queue_s.tolist() == [0.0, 1.0, 2.0, 3.0, 0.0, 2.0]
    seen = as_asked(outcome)
    mine = seen.traffic.traffic_class == 0
    assert sorted(seen.latency_s[mine].tolist()) == [1.0, 3.0, 6.0, 10.0]
    # three of four within 6 s; the halves alone would say all six of six are within 6 s
    promised = [("asked", (Slo("latency", 0.5, 6.0),), None), ("second", (), None)]
    (evidence,) = judge_all([seen], promised, start_s=0.0, window="", seeds=(0,))
    assert (evidence.traffic_class, evidence.requests, evidence.attainment) == ("asked", 4, 0.75)


def test_the_first_token_is_that_of_the_last_answer() -> None:
    tokens = replace(fleets.TOKENS, max_sequences=64)
    made = cascade(0.5)
    made = replace(made, pools=tuple(replace(pool, engine=tokens) for pool in made.pools))
    outcome = played(replay_fleet, made, fleets.traffic([0.0, 5.0], [(16, 10), (16, 10)]))
    seen = as_asked(outcome)
    short, went, on = range(3)
    assert seen.traffic.traffic_class.tolist() == [0, -1, 0]
    assert seen.ttft_s[short] == outcome.latency_s[short] > outcome.ttft_s[short]
    assert seen.ttft_s[on] == outcome.first_s[on] - 5.0 > outcome.latency_s[went]


def test_nothing_goes_on_from_what_was_not_answered(engine: Engine) -> None:
    # one that is turned away at the small model takes what would have gone on with it
    made = cascade(1.0)
    made = fleets.treated(made, {"shed_wait_s": 0.5}, {})
    outcome = played(engine, made, fleets.traffic([0.0, 0.0]))
    assert outcome.ended.tolist() == [ANSWERED, SHED, ANSWERED, SHED]
    assert outcome.finish_s.tolist() == [1.0, math.inf, 5.0, math.inf]
    # a large pool that never runs ends it by itself
    outcome = played(engine, cascade(1.0, large=0), fleets.traffic([0.0]))
    assert outcome.ended.tolist() == [ANSWERED, NO_POOL]
    # what is still at the small model a day after the end never goes on
    outcome = played(engine, cascade(1.0, small_s=2e5), fleets.traffic([0.0]))
    assert outcome.ended.tolist() == [UNANSWERED, UNANSWERED]


def test_a_kept_answer_goes_on_when_it_is_given_and_the_large_models_is_another(engine: Engine) -> None:
    made = replace(cascade(1.0), cache=ResponseCache(10, 100.0, 0.25))
    outcome = played(engine, made, replace(fleets.traffic([0.0, 10.0]), key=np.array([3, 3])))
    assert outcome.ended.tolist() == [ANSWERED, CACHED, ANSWERED, CACHED]
    assert outcome.finish_s.tolist() == [1.0, 10.25, 5.0, 10.5]


def test_at_one_moment_what_goes_on_comes_after_arrivals(engine: Engine) -> None:
    # both classes share the large pool: at 1 s the one that arrives goes first, then the one that goes on
    made = cascade(1.0)
    made = fleets.treated(replace(made, share=np.ones_like(made.share)), {}, {})
    share = np.zeros_like(made.share)
    share[0, 0] = share[1, 1] = 1.0
    outcome = played(engine, replace(made, share=share), fleets.traffic([0.0, 1.0], kinds=[0, 1]))
    assert outcome.begin_s.tolist() == [0.0, 1.0, 5.0]


def test_a_machine_that_is_taken_sends_both_parts_again(engine: Engine) -> None:
    random = np.random.default_rng(4)
    made = cascade(0.4, small_s=2.0, large_s=3.0, large=2)
    made = replace(made, pools=tuple(replace(pool, failures_per_hour=20.0, ceiling=3) for pool in made.pools))
    outcome = played(engine, made, fleets.traffic(np.sort(random.uniform(0.0, 500.0, 120))))
    assert outcome.failures > 0
    assert outcome.retries > 0
    assert len(outcome.ended) == 168
    assert (outcome.ended == ANSWERED).all()


@given(requests=st.integers(0, 400), share=st.floats(0.0, 1.0))
def test_the_share_goes_on_wherever_one_looks(requests: int, share: float) -> None:
    chosen = np.isin(np.arange(requests), going_on(requests, share))
    total = np.concatenate([[0], np.cumsum(chosen)])
    assert (np.abs(total - share * np.arange(requests + 1)) <= 1.0 + 1e-6).all()


def test_traffic_and_fleets_that_do_not_fit_are_refused() -> None:
    made, traffic = cascade(), fleets.traffic([0.0, 1.0])
    with pytest.raises(ValueError, match="came by themselves"):
        played(replay_fleet, made, with_followers(made.classes, traffic))
    for wrong in ({"follows": "nobody"}, {"follows": "first", "follow_share": 1.5}, {"follows": "class 1"}):
        with pytest.raises(ValueError, match="follows"):
            played(replay_fleet, fleets.treated(made, {}, wrong), traffic)


def test_a_service_without_a_queue_is_waited_for() -> None:
    # the small model is a service: 0.5 s to its first token, 0.1 s for each of nine more
    made = cascade(1.0)
    stands = replace(fleets.TOKENS, overhead_s=0.0, weights_s=0.1, per_token_s=0.0, per_cached_token_s=0.0, chunk_tokens=10**6)
    service = replace(made.pools[0], engine=stands, answer_s=(0.5, 0.1), metered=True)
    outcome = played(replay_fleet, replace(made, pools=(service, made.pools[1])), fleets.traffic([0.0], [(16, 10)]))
    assert outcome.finish_s.tolist() == pytest.approx([1.4, 5.4])
    assert outcome.arrived_s.tolist() == pytest.approx([0.0, 1.4])
    both = replace(made, pools=(service, replace(service, name="large", group="large", answer_s=(1.0, 0.2))))
    outcome = played(replay_fleet, both, fleets.traffic([0.0], [(16, 10)]))
    assert outcome.finish_s.tolist() == pytest.approx([1.4, 1.4 + 1.0 + 9 * 0.2])
