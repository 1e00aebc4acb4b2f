"""Two roads to a queue: the replay and the theory where there is theory.

One replica serves its own queue (M/D/1, M/G/1). A single queue for several servers is what work that can wait has, so M/D/c and
M/M/c are replayed as that. Five million requests a case, in four replays of 15 batches; the theory must lie in Student's interval
of the batches' means, and within 1 % of their mean (3 % with twenty servers, whose waits vary more).
"""

import math

import numpy as np
import pytest

from tightrope.base.records import EngineModel, FloatArray, RequestEngine, ScalingPolicy, TokenEngine
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Traffic
from tightrope.replay.run import replay_fleet

REQUESTS, REPLAYS, BATCHES = 1_250_000, 4, 15
"""Requests of one replay, replays of one case, batches of one replay."""
STUDENT = 2.662
"""Quantile of Student's distribution with 59 degrees of freedom that leaves 1 % outside, two-sided."""
TOKENS_PER_S = 10_000
FIXED = ScalingPolicy(False, 1.0, 1.0, 0.1, 3600.0, 0.0, 0.0, 0.0)
ONE_SECOND = RequestEngine((1.0,), 0.0)
BY_SIZE = TokenEngine(0.0, 0.0, 1.0 / TOKENS_PER_S, 0.0, 10**9, 1, 10**9, 0.0)
"""One request at a time, whose prompt is its service time and whose answer is one token."""


def waits_s(model: EngineModel, servers: int, rate_per_s: float, seed: int, one_queue: bool, cv: float = 0.0) -> FloatArray:
    """Return the time from arrival to the start of service, float64[requests]; service is Gamma with mean 1 s and this cv."""
    random = np.random.default_rng(seed)
    arrival_s = np.cumsum(random.exponential(1.0 / rate_per_s, REQUESTS))
    service_s = whole_tokens(random.gamma(cv**-2, cv**2, REQUESTS)) if cv else np.ones(REQUESTS)
    pool = FleetPool("", "", model, 1, 1.0, 0.0, 1, 0.0, np.full(168, servers), servers, 1)
    fleet = Fleet((pool,), (FleetClass("", one_queue),), ("",), np.ones((1, 1, 168)), np.ones((1, 1), dtype=bool), FIXED)
    prompts, ones = np.rint(service_s * TOKENS_PER_S).astype(np.int64), np.ones(REQUESTS, dtype=np.int64)
    traffic = Traffic(arrival_s, ones - 1, prompts, ones)
    outcome = replay_fleet(fleet, traffic, duration_s=float(arrival_s[-1]), block_offset_s=0.0, seed=0)
    return outcome.latency_s - service_s


def whole_tokens(seconds: FloatArray) -> FloatArray:
    """Return service times as the engine will have them: at least one token, no fractions of one."""
    return np.maximum(np.rint(seconds * TOKENS_PER_S), 1.0) / TOKENS_PER_S


def check(
    model: EngineModel, servers: int, load: float, theory: tuple[float, float], *, one_queue: bool, cv: float = 0.0
) -> None:
    """Assert that the mean wait and the share of requests that wait agree with the theory."""
    waits, waiting = [], []
    for seed in range(REPLAYS):
        waited_s = waits_s(model, servers, load * servers, seed, one_queue, cv)
        batches = waited_s[: REQUESTS // BATCHES * BATCHES].reshape(BATCHES, -1)
        waits.append(batches.mean(axis=1))
        waiting.append((batches > 1e-6).mean(axis=1))
    for measured, value in zip((waits, waiting), theory, strict=True):
        means = np.concatenate(measured)
        half = STUDENT * float(means.std(ddof=1)) / math.sqrt(len(means))
        assert abs(means.mean() - value) <= half < 0.04 * value
        assert means.mean() == pytest.approx(value, rel=0.01 if servers < 20 else 0.03)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_constant_service_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    check(ONE_SECOND, 1, load, (load / (2.0 * (1.0 - load)), load), one_queue=False)


@pytest.mark.parametrize("cv", [0.5, 1.0, 1.5])
def test_general_service_waits_as_pollaczek_and_khinchine_say(cv: float) -> None:
    """Gamma service times on a token engine, whose time is its prompt's length: the wait depends on two moments only."""
    check(BY_SIZE, 1, 0.6, (0.6 * (1.0 + cv**2) / (2.0 * 0.4), 0.6), one_queue=False, cv=cv)


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability to wait in M/M/c (Erlang, 1917), by the stable recursion of Erlang's loss formula."""
    lost = 1.0
    for n in range(1, servers + 1):
        lost = offered * lost / (n + offered * lost)
    return servers * lost / (servers - offered * (1.0 - lost))


def test_the_theory_of_exponential_service_on_published_figures() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1.0 / 3.0)
    assert erlang_c(10, 8.0) == pytest.approx(0.4092, abs=1e-4)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.6), (5, 0.7), (20, 0.8)])
def test_exponential_service_waits_as_erlang_says(servers: int, load: float) -> None:
    likely = erlang_c(servers, load * servers)
    check(BY_SIZE, servers, load, (likely / (servers * (1.0 - load)), likely), one_queue=True, cv=1.0)


def constant_service(servers: int, load: float) -> tuple[float, float]:
    """Return mean wait and probability to wait in M/D/c with a service of 1 s.

    Crommelin (Post Office Electrical Engineers' Journal 25, 1932): who is in the system one service time later are those now beyond
    the servers, and the arrivals since. The stationary chain is solved by iteration, cut off where nobody ever is.
    """
    size = servers + int(60.0 / (1.0 - load))
    arrivals = np.exp(np.cumsum([-load * servers, *(math.log(load * servers / k) for k in range(1, size))]))
    now = np.zeros(size)
    now[0] = 1.0
    for _ in range(20_000):
        beyond = np.concatenate([[now[: servers + 1].sum()], now[servers + 1 :]])
        later = np.convolve(beyond, arrivals)[:size]
        later /= later.sum()
        if np.abs(later - now).sum() < 1e-13:
            break
        now = later
    queue = float(np.maximum(np.arange(size) - servers, 0) @ now)
    return queue / (load * servers), float(now[servers:].sum())


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_the_theory_of_constant_service_at_its_known_end(load: float) -> None:
    wait_s, likely = constant_service(1, load)
    assert wait_s == pytest.approx(load / (2.0 * (1.0 - load)), rel=1e-6)
    assert likely == pytest.approx(load, rel=1e-6)


def test_constant_service_waits_about_half_as_long_as_exponential() -> None:
    """Cosmetatos (Management Science 22(3), 1975): M/D/c is M/M/c × ½ (1 + (1 − ρ)(c − 1)(√(4 + 5c) − 2) / (16ρc)), to about 1 %."""
    for servers, load in ((2, 0.7), (5, 0.8), (20, 0.9)):
        exponential_s = erlang_c(servers, load * servers) / (servers * (1.0 - load))
        factor = 1.0 + (1.0 - load) * (servers - 1) * (math.sqrt(4.0 + 5.0 * servers) - 2.0) / (16.0 * load * servers)
        assert constant_service(servers, load)[0] == pytest.approx(0.5 * factor * exponential_s, rel=0.02)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.6), (5, 0.7), (20, 0.8)])
def test_constant_service_on_several_servers_waits_as_crommelin_says(servers: int, load: float) -> None:
    check(ONE_SECOND, servers, load, constant_service(servers, load), one_queue=True)


@pytest.mark.parametrize("servers", [2, 8])
def test_queues_of_their_own_are_no_better_than_one_queue_and_better_than_chance(servers: int) -> None:
    """Joining the shortest of several queues lies between M/D/c and as many M/D/1."""
    load: float = 0.8
    waited_s = waits_s(ONE_SECOND, servers, load * servers, 7, one_queue=False)
    assert constant_service(servers, load)[0] * 0.99 < waited_s.mean() < load / (2.0 * (1.0 - load))
