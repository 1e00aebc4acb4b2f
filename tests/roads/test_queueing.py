"""Two roads to a queue: the replay and the theory where there is theory.

One replica serves its own queue (M/D/1, M/G/1, by priorities, by turns token by token). A single queue for several servers is what
deferrable work has, so M/D/c and M/M/c are replayed as that. Each case is five million requests (three times as many where
twenty servers make waits rare), in replays of 1.25 million cut into 15 batches.

**How sure.** A mean is estimated from its batches with control variates: what came in (times between arrivals, service times, their
squares) has means that are known exactly, so its luck is taken out by regression; where several servers or an order of service make
it another queue, the wait in one server as fast as all together is a control too, since Pollaczek and Khinchine give its mean. Three
things are asserted of every estimate: its 99 % interval (Student's) is narrower than 1 % of the theory either way; it is within 1 %
of the theory; and the theory lies in the interval that all estimates of this file together miss once in a hundred times.
"""

import heapq
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tightrope.base.records import EngineModel, FloatArray, IntArray, RequestEngine, ScalingPolicy, TokenEngine
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Traffic
from tightrope.replay.run import replay_fleet

REQUESTS, REPLAYS, BATCHES = 1_250_000, 4, 15
"""Requests of one replay, replays of one case, batches of one replay."""
STUDENT, STUDENT_TOGETHER = 2.68, 3.95
"""Quantiles of Student's distribution with 50 degrees of freedom (there are never fewer): two-sided 1 %, and 1 % shared by 40."""
CLOSE = 0.01
TOKENS_PER_S = 10_000
FIXED = ScalingPolicy(False, 1.0, 1.0, 0.1, 3600.0, 0.0, 0.0, 0.0)
ONE_SECOND = RequestEngine((1.0,), 0.0)
BY_PROMPT = TokenEngine(0.0, 0.0, 1.0 / TOKENS_PER_S, 0.0, 10**9, 1, 10**9, 0.0)
"""One request at a time, whose prompt is its service time and whose answer is one token."""
STEPS_PER_S = 1000
BY_TURNS = TokenEngine(0.0, 0.0, 1.0 / STEPS_PER_S, 0.0, 10**9, 10_000, 10**9, 0.0)
"""All requests at once, token by token: a step takes as long as many write in it, so each has its share of the time."""

LOG = logging.getLogger(__name__)
"""Every estimate and its interval: ``pytest --log-cli-level=info tests/roads/test_queueing.py`` prints them."""


# --------------------------------------------------------------------------------------------------------------- estimates


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    mean: float
    error: float

    def check(self, name: str, theory: float, beyond: float = 0.0) -> None:
        """Assert that it is narrow, close to the theory, and not surprised by it (or by up to ``beyond`` more)."""
        half, off = STUDENT * self.error, self.mean - theory
        LOG.info(
            "%s: %.6g ± %.2f %% (99 %%), theory %.6g, off by %+.2f %%",
            name,
            self.mean,
            100.0 * half / theory,
            theory,
            100.0 * off / theory,
        )
        assert half < CLOSE * theory, (self, theory)
        assert abs(off) < CLOSE * theory, (self, theory)
        assert -STUDENT_TOGETHER * self.error <= off <= STUDENT_TOGETHER * self.error + beyond, (self, theory)


def estimate(measured: FloatArray, controls: FloatArray) -> Estimate:
    """Return the mean of batches (float64[n]) where the controls (float64[n, k], of mean zero) are zero: the regression's intercept."""
    controls = controls[:, controls.std(axis=0) > 1e-12]
    table = np.column_stack([np.ones(len(measured)), controls])
    weights = np.linalg.lstsq(table, measured, rcond=None)[0]
    left = measured - table @ weights
    variance = float(left @ left) / (len(measured) - table.shape[1])
    return Estimate(float(weights[0]), math.sqrt(variance * float(np.linalg.inv(table.T @ table)[0, 0])))


def test_an_estimate_uses_its_controls_and_is_as_sure_as_it_says() -> None:
    """1,000 times 60 batches with mean 3, nine tenths of whose variance one control explains: 99 % of the intervals hold 3."""
    random, inside, errors = np.random.default_rng(11), 0, []
    for _ in range(1000):
        controls = random.normal(size=(60, 2))
        result = estimate(3.0 + 3.0 * controls[:, 0] + random.normal(size=60), controls)
        inside += abs(result.mean - 3.0) <= STUDENT * result.error
        errors.append(result.error)
    assert 980 <= inside <= 998
    assert np.mean(errors) == pytest.approx(60**-0.5, rel=0.05)


# ------------------------------------------------------------------------------------------------------------------- queues


@dataclass(frozen=True)
class Queue:
    """A queue with Poisson arrivals and Gamma service of mean 1 s, and how it is replayed."""

    model: EngineModel
    load: float
    servers: int = 1
    cv: float = 0.0
    """Coefficient of variation of the service time."""
    one_queue: bool = False
    """Deferrable work has one queue for all; otherwise each server has its own."""
    priorities: tuple[float, ...] = (1.0,)
    """Share of the requests of each class, the most urgent first."""

    @property
    def rate_per_s(self) -> float:
        """Arrivals of all classes together."""
        return self.load * self.servers

    @property
    def pooled_s(self) -> float:
        """Mean wait in one server as fast as all together: Pollaczek (1930) and Khinchine (1932)."""
        return self.load * (1.0 + self.cv**2) / (2.0 * (1.0 - self.load)) / self.servers


@dataclass(frozen=True)
class Sample:
    """One replay: what came in and how long it waited (or stayed), float64[requests]; ``kind`` is the class."""

    arrival_s: FloatArray
    service_s: FloatArray
    kind: IntArray
    wait_s: FloatArray


def draw(queue: Queue, seed: int, requests: int) -> tuple[FloatArray, IntArray, IntArray]:
    """Return arrival times, service in tokens (at least one) and classes."""
    random = np.random.default_rng(seed)
    arrival_s = np.cumsum(random.exponential(1.0 / queue.rate_per_s, requests))
    per_s = STEPS_PER_S if queue.model is BY_TURNS else TOKENS_PER_S
    service = random.gamma(queue.cv**-2, queue.cv**2, requests) if queue.cv else np.ones(requests)
    tokens = np.maximum(np.rint(service * per_s), 1.0).astype(np.int64)
    return arrival_s, tokens, random.choice(len(queue.priorities), requests, p=queue.priorities)


def sample(queue: Queue, seed: int, requests: int = REQUESTS) -> Sample:
    """Replay a queue: ``wait_s`` is the time from arrival to the start of service."""
    arrival_s, tokens, kind = draw(queue, seed, requests)
    ones = np.ones(requests, dtype=np.int64)
    by_turns = queue.model is BY_TURNS
    service_s = tokens / (STEPS_PER_S if by_turns else TOKENS_PER_S)
    pool = FleetPool("", "", queue.model, 1, 1.0, 0.0, 1, 0.0, np.full(168, queue.servers), queue.servers, 1)
    classes = tuple(FleetClass(str(c), queue.one_queue, -c) for c in range(len(queue.priorities)))
    fleet = Fleet((pool,), classes, ("",), np.ones((len(classes), 1, 168)), np.ones((len(classes), 1), dtype=bool), FIXED)
    traffic = Traffic(arrival_s, kind, ones if by_turns else tokens, tokens if by_turns else ones)
    outcome = replay_fleet(fleet, traffic, duration_s=float(arrival_s[-1]), block_offset_s=0.0, seed=0)
    return Sample(arrival_s, service_s, kind, outcome.latency_s - service_s)


def pooled_wait_s(seen: Sample, servers: int) -> FloatArray:
    """Return the waits in one server that does the work of all, first come first served (Lindley, 1952), float64[requests]."""
    before_s = np.concatenate([[0.0], np.cumsum(seen.service_s[:-1] / servers)]) - seen.arrival_s
    return before_s - np.minimum.accumulate(before_s)


def batch_means(values: FloatArray) -> FloatArray:
    """Return the means of the batches of one replay, float64[BATCHES]."""
    return values[: len(values) // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)


def controls(queue: Queue, seen: Sample) -> FloatArray:
    """Return what a replay's batches had by luck, float64[BATCHES, k]: each less the mean that it has by theory."""
    gap_s, squares = np.diff(seen.arrival_s, prepend=0.0), seen.service_s**2
    columns = [(gap_s, 1.0 / queue.rate_per_s), (seen.service_s, 1.0), (squares, 1.0 + queue.cv**2)]
    if queue.servers > 1 or len(queue.priorities) > 1 or queue.model is BY_TURNS:
        columns.append((pooled_wait_s(seen, queue.servers), queue.pooled_s))
    columns += [((seen.kind == c).astype(float), share) for c, share in enumerate(queue.priorities[1:], 1)]
    return np.column_stack([batch_means(values) - mean for values, mean in columns])


def estimates(queue: Queue, measures: Sequence[Callable[[Sample], FloatArray]], replays: int = REPLAYS) -> list[Estimate]:
    """Return the estimate of the mean of each measure (float64[requests], or float64[BATCHES] means) over some replays."""
    measured: list[list[FloatArray]] = [[] for _ in measures]
    luck = []
    for seed in range(replays):
        seen = sample(queue, seed)
        luck.append(controls(queue, seen))
        for rows, measure in zip(measured, measures, strict=True):
            values = measure(seen)
            rows.append(values if len(values) == BATCHES else batch_means(values))
    return [estimate(np.concatenate(rows), np.concatenate(luck)) for rows in measured]


def check_waits(queue: Queue, wait_s: float, likely: float, replays: int = REPLAYS) -> None:
    """Assert that the mean wait and the share of requests that wait agree with the theory."""
    found = estimates(queue, [lambda seen: seen.wait_s, lambda seen: (seen.wait_s > 1e-6).astype(float)], replays)
    found[0].check("mean wait", wait_s)
    found[1].check("share that waits", likely)


# --------------------------------------------------------------------------------------------------------------- one server


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_constant_service_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    queue = Queue(ONE_SECOND, load)
    check_waits(queue, queue.pooled_s, load)


@pytest.mark.parametrize(("load", "cv"), [(0.6, 0.5), (0.6, 1.0), (0.6, 1.5), (0.75, 1.0)])
def test_general_service_waits_as_pollaczek_and_khinchine_say(load: float, cv: float) -> None:
    """Gamma service times on a token engine, whose time is its prompt's length: the wait depends on two moments only."""
    queue = Queue(BY_PROMPT, load, cv=cv)
    check_waits(queue, queue.pooled_s, load)


@pytest.mark.parametrize("cv", [0.0, 1.0])
def test_every_single_wait_is_lindleys(cv: float) -> None:
    """Not a mean but each of 100,000: W' = max(0, W + S - A)."""
    seen = sample(Queue(BY_PROMPT if cv else ONE_SECOND, 0.9, cv=cv), 5, 100_000)
    np.testing.assert_allclose(seen.wait_s, pooled_wait_s(seen, 1), rtol=0.0, atol=1e-6)


def class_mean(kind: int) -> Callable[[Sample], FloatArray]:
    """Return the measure: mean wait of one class, by batches."""

    def measure(seen: Sample) -> FloatArray:
        mine = (seen.kind == kind).astype(float)
        return batch_means(seen.wait_s * mine) / batch_means(mine)

    return measure


def cobham(queue: Queue) -> list[float]:
    """Return the mean wait of each class, the most urgent first, without preemption.

    Cobham (Operations Research 2(1), 1954): the residual service time over (1 - load of those before) (1 - load of those up to it).
    """
    edges = np.concatenate([[0.0], queue.load * np.cumsum(queue.priorities)])
    residual_s = queue.load * (1.0 + queue.cv**2) / 2.0
    return (residual_s / ((1.0 - edges[:-1]) * (1.0 - edges[1:]))).tolist()


def test_priorities_keep_the_mean_of_all_when_service_is_alike() -> None:
    """Kleinrock's conservation law: the mean over all, by load, is what first come first served would give."""
    queue = Queue(BY_PROMPT, 0.7, cv=1.0, priorities=(0.2, 0.3, 0.5))
    assert np.dot(queue.priorities, cobham(queue)) == pytest.approx(queue.pooled_s)


@pytest.mark.parametrize(
    ("load", "cv", "priorities"), [(0.6, 0.0, (0.5, 0.5)), (0.7, 1.0, (0.3, 0.7)), (0.7, 1.5, (0.2, 0.3, 0.5))]
)
def test_priorities_wait_as_cobham_says(load: float, cv: float, priorities: tuple[float, ...]) -> None:
    queue = Queue(BY_PROMPT if cv else ONE_SECOND, load, cv=cv, priorities=priorities)
    measures = [class_mean(kind) for kind in range(len(priorities))]
    for kind, (found, theory) in enumerate(zip(estimates(queue, measures), cobham(queue), strict=True)):
        found.check(f"mean wait of class {kind}", theory)


def waits_by_priority_s(seen: Sample) -> list[float]:
    """Return the waits at one server that takes the most urgent first, of equals the first that came."""
    queue: list[tuple[int, int]] = []
    wait_s, coming, free_s = [0.0] * len(seen.kind), 0, 0.0
    for _ in wait_s:
        free_s = max(free_s, float(seen.arrival_s[coming])) if not queue else free_s
        while coming < len(wait_s) and seen.arrival_s[coming] <= free_s:
            heapq.heappush(queue, (int(seen.kind[coming]), coming))
            coming += 1
        _, request = heapq.heappop(queue)
        wait_s[request] = free_s - float(seen.arrival_s[request])
        free_s += float(seen.service_s[request])
    return wait_s


def test_every_single_wait_by_priority_is_a_heaps() -> None:
    seen = sample(Queue(BY_PROMPT, 0.9, cv=1.5, priorities=(0.2, 0.3, 0.5)), 5, 50_000)
    np.testing.assert_allclose(seen.wait_s, waits_by_priority_s(seen), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(("load", "cv"), [(0.5, 0.5), (0.7, 1.0), (0.7, 1.5)])
def test_tokens_by_turns_take_as_long_as_processor_sharing(load: float, cv: float) -> None:
    """Continuous batching whose steps grow with their sequences is processor sharing, whose mean stay is S / (1 - load).

    Whatever the distribution (Sakata, Noguchi and Oizumi, Operations Research 19(7), 1971). Beyond it come the prompt's step and the
    wait for a step to end: a few steps.
    """
    (found,) = estimates(Queue(BY_TURNS, load, cv=cv), [lambda seen: seen.wait_s + seen.service_s])
    found.check("mean stay", 1.0 / (1.0 - load), beyond=5.0 / STEPS_PER_S)


# ---------------------------------------------------------------------------------------------------------- several servers


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


@pytest.mark.parametrize(("servers", "load", "replays"), [(2, 0.6, 4), (5, 0.7, 4), (20, 0.8, 12)])
def test_exponential_service_waits_as_erlang_says(servers: int, load: float, replays: int) -> None:
    likely = erlang_c(servers, load * servers)
    queue = Queue(BY_PROMPT, load, servers, cv=1.0, one_queue=True)
    check_waits(queue, likely / (servers * (1.0 - load)), likely, replays)


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


def constant_service_again(servers: int, load: float) -> tuple[float, float]:
    """Return the same from another formula: every ``servers``-th request is a queue of its own, with Erlang times between arrivals.

    Spitzer (Transactions of the American Mathematical Society 82, 1956): with S_k = k - (time of k × servers arrivals), the mean
    wait is Σ E[max(S_k, 0)] / k and nobody waits with probability exp(-Σ P(S_k > 0) / k).
    """
    waiting = wait_s = 0.0
    for k in range(1, 5000):
        count, mean = k * servers, k * servers * load
        first = term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1.0))
        tail, n = 0.0, count
        while term > 1e-18 * tail:
            tail, n = tail + term, n + 1
            term *= mean / n
        waiting += tail / k
        wait_s += tail - (tail - first) / load
        if tail < 1e-15:
            break
    return wait_s, -math.expm1(-waiting)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_the_theory_of_constant_service_at_its_known_end(load: float) -> None:
    assert constant_service(1, load) == pytest.approx((load / (2.0 * (1.0 - load)), load), rel=1e-6)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.6), (2, 0.5), (2, 0.6), (5, 0.7), (5, 0.8), (20, 0.8), (20, 0.9), (50, 0.9)])
def test_two_theories_of_constant_service_agree_to_nine_digits(servers: int, load: float) -> None:
    assert constant_service(servers, load) == pytest.approx(constant_service_again(servers, load), rel=1e-9)


def test_constant_service_waits_about_half_as_long_as_exponential() -> None:
    """Cosmetatos (Management Science 22(3), 1975): M/D/c is M/M/c × ½ (1 + (1 − ρ)(c − 1)(√(4 + 5c) − 2) / (16ρc)), to about 1 %."""
    for servers, load in ((2, 0.7), (5, 0.8), (20, 0.9)):
        exponential_s = erlang_c(servers, load * servers) / (servers * (1.0 - load))
        factor = 1.0 + (1.0 - load) * (servers - 1) * (math.sqrt(4.0 + 5.0 * servers) - 2.0) / (16.0 * load * servers)
        assert constant_service(servers, load)[0] == pytest.approx(0.5 * factor * exponential_s, rel=0.02)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.6), (5, 0.7), (20, 0.8)])
def test_constant_service_on_several_servers_waits_as_crommelin_says(servers: int, load: float) -> None:
    check_waits(Queue(ONE_SECOND, load, servers, one_queue=True), *constant_service(servers, load))


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.5])
def test_every_single_wait_at_several_servers_is_kiefers_and_wolfowitz(cv: float) -> None:
    """Each of 50,000 requests begins when the first of seven servers is free (Kiefer and Wolfowitz, 1955)."""
    seen = sample(Queue(BY_PROMPT if cv else ONE_SECOND, 0.85, 7, cv=cv, one_queue=True), 5, 50_000)
    free_s = [0.0] * 7
    for arrival_s, service_s, wait_s in zip(seen.arrival_s.tolist(), seen.service_s.tolist(), seen.wait_s.tolist(), strict=True):
        begin_s = max(arrival_s, free_s[0])
        heapq.heapreplace(free_s, begin_s + service_s)
        assert wait_s == pytest.approx(begin_s - arrival_s, abs=1e-6)


@pytest.mark.parametrize("servers", [2, 8])
def test_queues_of_their_own_are_no_better_than_one_queue_and_better_than_chance(servers: int) -> None:
    """Joining the shortest of several queues lies between M/D/c and as many M/D/1."""
    queue = Queue(ONE_SECOND, 0.8, servers)
    waited_s = sample(queue, 7).wait_s.mean()
    assert constant_service(servers, queue.load)[0] * (1.0 - CLOSE) < waited_s < queue.load / (2.0 * (1.0 - queue.load))
