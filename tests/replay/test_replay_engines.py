"""One engine, worked by hand; and what no engine may ever do."""

import numpy as np
import pytest
from fleets import TOKENS, engine, fleet, poisson, pool, replay, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.records import TokenEngine


def test_two_requests_share_steps_as_worked_by_hand() -> None:
    """A: 20 tokens in, 3 out, at 0. B: 4 in, 2 out, at 0.05. A step may hold 16 tokens.

    Step 1, 0: 16 of A's tokens, nothing cached: 0.01 + max(0.02, 0.016) = 0.03.
    Step 2, 0.03: A's other 4, 16 cached: 0.01 + 0.02 + 0.0016 = 0.0316; A's first token at 0.0616.
    Step 3, 0.0616: B's prompt and A's second token, 20 cached: 0.032; B's first token at 0.0936.
    Step 4, 0.0936: one token each, 21 + 4 cached: 0.0325; both end at 0.1261.
    """
    outcome = replay(fleet(pool(TOKENS)), traffic([0.0, 0.05], [(20, 3), (4, 2)]))
    assert outcome.first_s == pytest.approx([0.0616, 0.0936], abs=1e-12)
    assert outcome.finish_s == pytest.approx([0.1261, 0.1261], abs=1e-12)
    assert outcome.ttft_s == pytest.approx([0.0616, 0.0436], abs=1e-12)
    assert outcome.tpot_s == pytest.approx([0.03225, 0.0325], abs=1e-12)
    assert outcome.busy_hours * 3600.0 == pytest.approx([0.1261], abs=1e-12)


def test_a_request_joins_a_decoding_batch_after_the_step_it_arrived_in() -> None:
    """A decodes alone from 0.03 in steps of 0.0304, 0.0305, …; B comes at 0.05 and its prompt is in the step from 0.0604."""
    outcome = replay(fleet(pool(TOKENS)), traffic([0.0, 0.05], [(4, 10), (4, 1)]))
    assert outcome.first_s == pytest.approx([0.03, 0.0604 + 0.0305], abs=1e-12)
    steps = [0.0304, *(0.03 + 0.0001 * cached for cached in range(5, 13))]
    assert outcome.finish_s[0] == pytest.approx(0.03 + sum(steps), abs=1e-12)


def test_a_request_waits_for_kv_cache_though_a_sequence_is_free() -> None:
    model = TokenEngine(0.01, 0.02, 0.001, 0.0, 30, 4, 512, 0.0)
    outcome = replay(fleet(pool(model)), traffic([0.0, 0.0, 0.0], [(20, 10), (12, 5), (2, 2)]))
    assert outcome.first_s == pytest.approx([0.03, 0.33, 0.33])  # the third is not let past the second
    assert outcome.finish_s[0] == pytest.approx(0.03 + 9 * 0.03)


def test_a_request_larger_than_every_kv_cache_fails_alone() -> None:
    for waits in (False, True):
        outcome = replay(
            fleet(pool(TOKENS, ceiling=1), deferrable=(waits,)), traffic([0.0, 1.0, 2.0], [(10, 10), (900, 101), (900, 100)])
        )
        assert np.isfinite(outcome.finish_s).tolist() == [True, False, True]
        assert outcome.pool.tolist() == [0, -1, 0]


def test_a_batch_takes_what_waits_and_no_more_than_it_holds() -> None:
    model = engine(1.0, 1.5, 1.8)
    outcome = replay(fleet(pool(model)), traffic([0.0, 0.1, 0.2, 0.3, 0.4]))
    assert outcome.finish_s == pytest.approx([1.0, 2.8, 2.8, 2.8, 3.8])


def test_a_partial_batch_waits_as_long_as_it_is_told_also_late_in_a_replay() -> None:
    wait_s = 0.005
    time_s = np.array([0.0, 0.004, 0.02, 0.021, 0.022]) + 1e6
    outcome = replay(fleet(pool(engine(0.001, 0.002, 0.003), max_wait_s=wait_s)), traffic(time_s), hours=280.0)
    assert outcome.finish_s - 1e6 == pytest.approx([0.007, 0.007, 0.025, 0.025, 0.025], abs=1e-8)
    late_s = 1e6 + np.arange(2000) * 0.37
    alone = replay(fleet(pool(engine(0.001, 0.002), max_wait_s=wait_s)), traffic(late_s), hours=280.0)
    assert alone.latency_s == pytest.approx(np.full(2000, 0.006), abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3.0), st.integers(1, 3))
def test_a_request_engine_does_each_request_once_and_no_faster_than_profiled(seed: int, load: float, machines: int) -> None:
    random = np.random.default_rng(seed)
    service_s = np.cumsum(random.uniform(0.2, 1.0, random.integers(1, 6)))
    best_per_s = max((b + 1) / time_s for b, time_s in enumerate(service_s))
    time_s = poisson(load * machines * best_per_s, 400, seed)
    outcome = replay(fleet(pool(engine(*service_s), machines)), traffic(time_s), 3.0)
    assert np.isfinite(outcome.finish_s).all()
    assert (outcome.latency_s >= service_s[0] - 1e-9).all()
    done_s, busy_s = np.sort(outcome.finish_s), float(outcome.busy_hours[0]) * 3600.0
    assert busy_s <= machines * (done_s[-1] - time_s[0]) + 1e-6
    assert busy_s >= len(time_s) / best_per_s - 1e-6
    for window in (10, 50, 200):
        fastest = len(service_s) * machines + machines * best_per_s * (done_s[window:] - done_s[:-window])
        assert (fastest >= window - 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_token_takes_its_time(seed: int) -> None:
    """With one sequence at a time, busy time is the sum of every request's own steps, in closed form: no token is lost or twice."""
    random = np.random.default_rng(seed)
    model = TokenEngine(*random.uniform(0.001, 0.02, 4) * [1, 1, 0.1, 0.001], 2000, 1, int(random.integers(2, 64)), 0.0)
    sizes = random.integers(1, 200, (50, 2))
    outcome = replay(fleet(pool(model)), traffic(poisson(0.5, 50, seed), [tuple(row) for row in sizes.tolist()]))
    expected_s = sum(alone_s(model, int(prompt), int(answer)) for prompt, answer in sizes)
    assert outcome.busy_hours[0] * 3600.0 == pytest.approx(expected_s, rel=1e-9)
    assert np.isfinite(outcome.finish_s).all()
    least = np.array([alone_s(model, int(prompt), int(answer)) for prompt, answer in sizes])
    assert (outcome.latency_s >= least - 1e-9).all()


def alone_s(model: TokenEngine, prompt: int, answer: int) -> float:
    """Return the time of one request on an empty engine."""
    total_s = 0.0
    for done in range(0, prompt, model.chunk_tokens):
        part = min(model.chunk_tokens, prompt - done)
        total_s += model.overhead_s + max(model.weights_s, part * model.per_token_s) + done * model.per_cached_token_s
    for cached in range(prompt, prompt + answer - 1):
        total_s += model.overhead_s + max(model.weights_s, model.per_token_s) + cached * model.per_cached_token_s
    return total_s


def test_work_that_can_wait_fills_valleys_and_stands_back() -> None:
    """One token engine, two of its sequences open to deferrable work: it starts only where nobody waits."""
    model = TokenEngine(0.01, 0.02, 0.001, 0.0, 1000, 4, 20, 0.0)
    kinds, sizes = [1, 1, 1, 0], [(10, 4), (10, 4), (10, 4), (10, 4)]
    outcome = replay(
        fleet(pool(model, deferrable_limit=2), deferrable=(False, True)), traffic([0.0, 0.0, 0.0, 0.0], sizes, kinds)
    )
    # the first wakes the idle engine alone; in the next step the interactive one goes first, and then two sequences run: no third
    assert outcome.first_s[[0, 3]] == pytest.approx([0.03, 0.06])
    assert outcome.first_s[1] == pytest.approx(0.15)  # the first has ended at 0.12, one sequence is left
    assert outcome.first_s[2] > outcome.first_s[1] - 1e-12


@pytest.mark.parametrize("requests", [0, 1])
def test_next_to_nothing_is_replayed(requests: int) -> None:
    outcome = replay(fleet(pool(engine(1.0))), traffic([5.0] * requests))
    assert outcome.finish_s.tolist() == [6.0] * requests
    assert outcome.machine_hours.tolist() == [[1.0]]


def test_an_idle_engine_gets_work_that_stood_behind_a_request_too_large_for_it() -> None:
    """Nine requests that only the first pool holds, then small ones: once they are gone, the second pool works as well."""
    large, small = (TokenEngine(0.01, 1.0, 0.001, 0.0, cache, 1, 512, 0.0) for cache in (1000, 100))
    sizes = [(500, 1)] * 9 + [(10, 9)] * 100
    outcome = replay(fleet(pool(large), pool(small), deferrable=(True,)), traffic([0.0] * 109, sizes))
    assert (outcome.pool[:9] == 0).all()
    assert 40 <= np.sum(outcome.pool == 1) <= 60
