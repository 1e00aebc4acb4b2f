"""Laws that every replay keeps, whatever the fleet (drawn as in ``reference_cases.py``): conservation, throughput, tokens and time."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fleets import TOKENS, engine, fleet, poisson, pool, replay, traffic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference_cases import MEAN_REQUEST_TOKENS, Case, a_drill, a_fleet, cases, some_blocks, some_traffic

from tightrope.base.records import EngineModel, FloatArray, IntArray, RequestEngine, TokenEngine
from tightrope.replay.records import ANSWERED, CACHED, ENDINGS, NO_POOL, SHED, TOO_LARGE, Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

MANY = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
FEW = settings(MANY, max_examples=60)


def replay_case(case: Case) -> tuple[Fleet, Outcome]:
    random = np.random.default_rng(case.seed)
    what, requests, drill = a_fleet(case, random), some_traffic(case, random), a_drill(case, random)
    offset_s = random.uniform(0.0, 604800.0)
    return what, replay_fleet(what, requests, duration_s=case.duration_s, block_offset_s=offset_s, seed=7, drill=drill)


def tokens_of(requests: Traffic) -> tuple[IntArray, IntArray]:
    """Return prompts and answers as engines have them: at least one token, int64[requests] each."""
    return np.maximum(requests.input_tokens, 1), np.maximum(requests.output_tokens, 1)


# ------------------------------------------------------------------------------------------------------------------- conservation


@MANY
@given(cases())
def test_every_request_ends_once_and_its_times_are_in_order(case: Case) -> None:
    what, outcome = replay_case(case)
    requests, ended = outcome.traffic, outcome.ended
    assert ended.shape == requests.time_s.shape
    assert set(ended.tolist()) <= set(range(len(ENDINGS)))
    assert (np.isfinite(outcome.finish_s) == np.isin(ended, (ANSWERED, CACHED))).all()
    done = ended == ANSWERED
    order = np.stack([requests.time_s, outcome.begin_s, outcome.first_s, outcome.finish_s])[:, done]
    assert (np.diff(order, axis=0) >= 0.0).all()
    assert (outcome.finish_s > outcome.begin_s)[done].all()
    hit = ended == CACHED
    assert (outcome.finish_s[hit] >= requests.time_s[hit] + (what.cache.hit_s if what.cache else 0.0)).all()
    came = np.isfinite(outcome.arrived_s)  # what would go on from what was turned away ends with it, and was never tried
    assert outcome.attempts_shed >= (ended[came] == SHED).sum()
    assert (outcome.pool[done] >= 0).all()
    check_right_pools(what, outcome)


def check_right_pools(what: Fleet, outcome: Outcome) -> None:
    """Who was answered, was so by a pool that may: of its group's share, or allowed to do deferrable work; and large enough."""
    tokens = sum(tokens_of(outcome.traffic))
    waits = np.array([item.deferrable for item in what.classes])[outcome.traffic.traffic_class]
    for p, item in enumerate(what.pools):
        mine = (outcome.pool == p) & (outcome.ended == ANSWERED)
        if isinstance(item.engine, TokenEngine):
            assert (tokens[mine] <= item.engine.kv_capacity_tokens).all()
        assert what.allowed[outcome.traffic.traffic_class[mine & waits], p].all()
        if item.keep_alive_s is not None:
            assert not (mine & waits).any()


@MANY
@given(cases())
def test_nobody_is_given_up_who_could_be_answered(case: Case) -> None:
    """Each of the four ways not to be answered has its reason, which its absence rules out."""
    what, outcome = replay_case(case)
    ended = set(outcome.ended.tolist())
    assert (CACHED in ended) <= case.cache
    assert (SHED in ended) <= any(kind.sheds and not kind.deferrable for kind in case.classes)
    if all(pool.ceiling > 0 and pool.keep_alive_s is None for pool in what.pools) and what.allowed.all():
        assert NO_POOL not in ended
    if not any(kind.token for kind in case.pools) or case.memory * MEAN_REQUEST_TOKENS >= 300:
        assert TOO_LARGE not in ended


@MANY
@given(cases())
def test_engines_are_busy_no_longer_than_they_are_there(case: Case) -> None:
    what, outcome = replay_case(case)
    assert (outcome.busy_hours >= -1e-12).all()
    assert (outcome.busy_hours <= outcome.machine_hours.sum(axis=1) + 1e-9).all()
    assert (outcome.machine_hours >= -1e-12).all()
    places = np.array([max(pool.ceiling, pool.schedule.max()) + 4 for pool in what.pools])
    backed = {pool.name: place - 4 for pool, place in zip(what.pools, places, strict=True)}
    places += np.array([backed.get(pool.backs, 0) for pool in what.pools])
    assert (outcome.machine_hours <= places[:, None] + 1e-9).all()


def least_work_s(model: EngineModel, outcome: Outcome) -> FloatArray:
    """Return the least time that each request takes of an engine: its part of the best batch, or each token's part of its step."""
    if isinstance(model, RequestEngine):
        return np.full(len(outcome.ended), min(time_s / size for size, time_s in enumerate(model.service_s, 1)))
    prompts, answers = tokens_of(outcome.traffic)
    return (prompts - outcome.prefix_tokens + answers - 1) * model.per_token_s


@MANY
@given(cases())
def test_throughput_never_exceeds_the_profile(case: Case) -> None:
    """What began and ended within an hour took no more of the engines than they were there in it."""
    what, outcome = replay_case(case)
    for p, item in enumerate(what.pools):
        work_s = least_work_s(item.engine, outcome)
        for hour in range(outcome.machine_hours.shape[1]):
            begin_s, end_s = 3600.0 * hour, min(3600.0 * (hour + 1), case.duration_s)
            inside = (
                (outcome.begin_s >= begin_s) & (outcome.finish_s <= end_s) & (outcome.pool == p) & (outcome.ended == ANSWERED)
            )
            there_s = outcome.machine_hours[p, hour] * 3600.0 * item.engines_per_machine
            assert work_s[inside].sum() <= there_s + 1e-6


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0.0, 3000.0), st.floats(1.0, 600.0))
def test_throughput_never_exceeds_the_profile_in_any_window(seed: int, machines: int, from_s: float, for_s: float) -> None:
    model = engine(1.0, 1.5, 1.8)
    outcome = replay(fleet(pool(model, machines, max_wait_s=0.1)), traffic(poisson(2.0 * machines, 5000, seed)))
    inside = (outcome.begin_s >= from_s) & (outcome.finish_s <= from_s + for_s)
    assert inside.sum() * 0.6 <= machines * for_s + 1e-6


# ------------------------------------------------------------------------------------------------------------------ tokens and time


def alone_s(model: TokenEngine, prompt: int, answer: int) -> float:
    """Return the time of one request alone, step by step: its prompt in chunks, then each further token."""
    steps = [(min(model.chunk_tokens, prompt - done), done) for done in range(0, prompt, model.chunk_tokens)]
    steps += [(1, prompt + written) for written in range(answer - 1)]
    dense_s = sum(max(model.weights_s, tokens * model.per_token_s) for tokens, _ in steps)
    return len(steps) * model.overhead_s + dense_s + sum(cached for _, cached in steps) * model.per_cached_token_s


@FEW
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=30), st.integers(1, 40))
def test_time_of_one_at_a_time_is_the_sum_of_every_tokens(sizes: list[tuple[int, int]], chunk_tokens: int) -> None:
    """Tokens in are tokens out: nothing is read or written twice, nothing is left out."""
    model = replace(TOKENS, max_sequences=1, chunk_tokens=chunk_tokens)
    outcome = replay(fleet(pool(model)), traffic(np.arange(len(sizes)) * 0.01, sizes))
    expected_s = np.array([alone_s(model, max(prompt, 1), max(answer, 1)) for prompt, answer in sizes])
    np.testing.assert_allclose(outcome.finish_s - outcome.begin_s, expected_s, rtol=1e-9)
    assert outcome.busy_hours[0] * 3600.0 == pytest.approx(expected_s.sum())


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([3, 16, 400]), st.booleans(), st.booleans())
def test_tokens_that_steps_read_and_write_are_those_of_the_requests(
    seed: int, sequences: int, chunk_tokens: int, tight: bool, prefixes: bool
) -> None:
    """From the log of all work: prompts read once, less what the prefix cache spared; a token a step for each that is written.

    Where memory is tight, what a preempted request had is read again: more is read, and as much is written.
    """
    random = np.random.default_rng(seed)
    model = replace(TOKENS, max_sequences=sequences, chunk_tokens=chunk_tokens, kv_capacity_tokens=130 if tight else 10**6)
    sizes = random.integers(0, 60, (60, 2))
    requests = traffic(np.sort(random.uniform(0.0, 30.0, 60)), [tuple(pair) for pair in sizes.tolist()])
    starts, blocks = some_blocks(sizes[:, 0], 8, random)
    requests = replace(requests, block_start=starts, blocks=blocks)
    what = fleet(pool(model, prefix_block_tokens=8 * prefixes))
    outcome = replay_fleet(what, requests, duration_s=3600.0, block_offset_s=0.0, seed=0, log_s=3600.0)
    work = outcome.work
    assert work is not None
    prompts, answers = tokens_of(requests)
    read, written = int((prompts - outcome.prefix_tokens).sum()), int((answers - 1).sum())
    if outcome.preemptions == 0:
        assert (work.prompt_tokens.sum(), (work.steps * work.sequences).sum()) == (read, written)
    else:
        assert work.prompt_tokens.sum() > read
        assert (work.steps * work.sequences).sum() <= written
    assert (outcome.ended == ANSWERED).all()
    assert outcome.busy_hours[0] * 3600.0 == pytest.approx((work.end_s - work.begin_s).sum())


def test_memory_that_is_tight_does_preempt() -> None:
    """The law above has both cases."""
    model = replace(TOKENS, max_sequences=9, kv_capacity_tokens=130)
    outcome = replay(fleet(pool(model)), traffic([0.0] * 20, [(20, 60)] * 20))
    assert outcome.preemptions > 0


# ---------------------------------------------------------------------------------------------------------------------- the page


def test_the_page_on_verification_names_tests_that_there_are() -> None:
    """A test that moves must move on the page too."""
    root = Path(__file__).parents[2]
    named = re.findall(r"tests/[a-z_/]+\.py", (root / "docs/explanation/how-the-replay-is-verified.md").read_text("utf-8"))
    assert len(named) > 10
    assert [name for name in named if not (root / name).is_file()] == []
