"""How many whole requests a second the replay gets through: in batches, autoscaled, and in M/M/20; each beside SimPy."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import simpy

from benchmarks.loads import CLOCK, HOURS, Timed, autoscaled, timed
from tightrope.base.records import FloatArray, RequestEngine, ScalingPolicy, TokenEngine
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Outcome, Traffic
from tightrope.replay.run import replay_fleet

NAME = "replay-request"
DOC = "requests replayed a second in batches with autoscaling, and in M/M/20; targets 5,000,000 and 50 times SimPy"
REQUESTS, PEER_REQUESTS = 5_000_000, 200_000
SERVERS, LOAD = 20, 0.9
PARTS_PER_S = 1_000_000
"""A server works through a request in so many equal parts a second, so that any service time can be asked for."""
TARGET_PER_S, TARGET_RATIO = 5_000_000, 50
BATCHES = RequestEngine(tuple(0.004 + 0.001 * size for size in range(1, 33)), load_s=20.0)
MACHINES, MACHINE_PER_S, MAX_WAIT_S, MOST = 20, 600.0, 0.005, 32
SWING, SWING_S = 0.35, 600.0
"""The rate of the batches' traffic rises and falls by this share in this time, so that the autoscaler has to follow."""


def run() -> dict:
    """Return requests a second of the autoscaled batches, beside SimPy's batches on the first of them; M/M/20 in detail.

    SimPy has a process for each request, as its documentation writes a system and as its figure in the target was measured; in detail
    it is also spared those, which makes it a faster peer, of no other use.
    """
    traffic = waves(REQUESTS)
    whole = measure(batch_fleet(), traffic)
    few = first(traffic, PEER_REQUESTS)
    peer = timed(lambda: simpy_batches_s(few.time_s, clients=True))
    spared = timed(lambda: simpy_batches_s(few.time_s, clients=False))
    value, peer_per_s = REQUESTS / whole.cpu_s, PEER_REQUESTS / peer.cpu_s
    return {
        "name": NAME,
        "value": value,
        "unit": "requests/s",
        "peer": f"SimPy {simpy.__version__}, the same batches, a process a request, no autoscaling, {PEER_REQUESTS:,} requests",
        "peer_value": peer_per_s,
        "ratio": value / peer_per_s,
        "detail": {
            "clock": CLOCK,
            "target_per_s": TARGET_PER_S,
            "target_ratio": TARGET_RATIO,
            "requests": REQUESTS,
            **batch_facts(whole),
            "ratio_to_simpy_without_a_process_a_request": value * spared.cpu_s / PEER_REQUESTS,
            "without_autoscaling": beside_the_peer(measure(fixed_fleet(), few), peer),
            "mm20": mm20(),
        },
    }


def measure(fleet: Fleet, traffic: Traffic) -> Timed[Outcome]:
    """Time a replay, after one of a single request that compiles what is not yet compiled."""
    one = np.ones(1, dtype=np.int64)
    replay_fleet(fleet, Traffic(np.ones(1), one - 1, one, one), duration_s=60.0, block_offset_s=0.0, seed=1)
    return timed(lambda: replay_fleet(fleet, traffic, duration_s=float(traffic.time_s[-1]), block_offset_s=0.0, seed=1))


# --------------------------------------------------------------------------------------------------------------- M/M/20


def mm20() -> dict[str, float]:
    """Return requests a second of M/M/20, and how that compares with SimPy's on the first of the same requests."""
    arrival_s, service_s = draws(REQUESTS)
    whole = measure(queue(), parts(arrival_s, service_s))
    few_s = (arrival_s[:PEER_REQUESTS], service_s[:PEER_REQUESTS])
    peer = timed(lambda: simpy_waits_s(*few_s))
    few = measure(queue(), parts(*few_s))
    per_s, peer_per_s = REQUESTS / whole.cpu_s, PEER_REQUESTS / peer.cpu_s
    return {
        "requests_per_s": per_s,
        "requests_per_wall_s": REQUESTS / whole.wall_s,
        "simpy_mm20_requests_per_s": peer_per_s,
        "ratio_to_simpy_mm20": per_s / peer_per_s,
        "target_per_s": TARGET_PER_S,
        "target_ratio": TARGET_RATIO,
        "mean_wait_s": float((whole.result.latency_s - service_s).mean()),
        "mean_wait_of_the_peers_requests_s": float((few.result.latency_s - few_s[1]).mean()),
        "peers_mean_wait_s": float(peer.result.mean()),
    }


def draws(requests: int) -> tuple[FloatArray, FloatArray]:
    """Return Poisson arrivals and exponential service times of mean 1 s, in whole parts, in seconds."""
    random = np.random.default_rng(1)
    arrival_s = np.cumsum(random.exponential(1.0 / (LOAD * SERVERS), requests))
    return arrival_s, np.maximum(np.rint(random.exponential(1.0, requests) * PARTS_PER_S), 1.0) / PARTS_PER_S


def queue() -> Fleet:
    """Return twenty servers that take from one queue, each one request at a time."""
    engine = TokenEngine(0.0, 0.0, 1.0 / PARTS_PER_S, 0.0, 1 << 60, 1, 1 << 60, 0.0)
    pool = FleetPool("pool", "group", engine, 1, 1.0, 0.0, 1, 0.0, np.full(HOURS, SERVERS), SERVERS, 1)
    fixed = ScalingPolicy(False, 1.0, 1.0, 0.1, 3600.0, 0.0, 0.0, 0.0)
    kinds = (FleetClass("all", deferrable=True),)
    return Fleet((pool,), kinds, ("group",), np.ones((1, 1, HOURS)), np.ones((1, 1), dtype=bool), fixed)


def parts(arrival_s: FloatArray, service_s: FloatArray) -> Traffic:
    """Return requests whose prompts take as long as the service."""
    ones = np.ones(len(arrival_s), dtype=np.int64)
    return Traffic(arrival_s, ones - 1, np.rint(service_s * PARTS_PER_S).astype(np.int64), ones)


def simpy_per_s(requests: int) -> float:
    """Return how many requests a second SimPy gets through here."""
    few_s = draws(requests)
    return requests / timed(lambda: simpy_waits_s(*few_s)).cpu_s


def simpy_waits_s(arrival_s: FloatArray, service_s: FloatArray) -> FloatArray:
    """Return every wait, float64[requests], by SimPy: one process a request, as its documentation writes a queue."""
    waits_s = np.zeros(len(arrival_s))
    environment = simpy.Environment()
    servers = simpy.Resource(environment, capacity=SERVERS)

    def served(number: int, length_s: float) -> Iterator[Any]:
        came_s = environment.now
        with servers.request() as turn:
            yield turn
            waits_s[number] = environment.now - came_s
            yield environment.timeout(length_s)

    def come() -> Iterator[Any]:
        before_s = 0.0
        for number, (at_s, length_s) in enumerate(zip(arrival_s.tolist(), service_s.tolist(), strict=True)):
            yield environment.timeout(at_s - before_s)
            before_s = at_s
            environment.process(served(number, length_s))

    environment.process(come())
    environment.run()
    return waits_s


# -------------------------------------------------------------------------------------------------------------- batches


def batch_fleet() -> Fleet:
    """Return twenty machines, autoscaled, that answer up to 32 requests at once and wait up to 5 ms for more."""
    return autoscaled(BATCHES, MACHINES, MACHINE_PER_S, max_wait_s=MAX_WAIT_S)


def fixed_fleet() -> Fleet:
    """Return the same machines, twenty from the beginning to the end."""
    fleet = batch_fleet()
    pool = replace(fleet.pools[0], schedule=np.full(HOURS, MACHINES), ceiling=MACHINES)
    return replace(fleet, pools=(pool,), scaling=replace(fleet.scaling, enabled=False))


def waves(requests: int) -> Traffic:
    """Return arrivals whose rate rises and falls, on average at three quarters of what the scheduled machines sustain."""
    mean_per_s = 0.75 * MACHINES * MACHINE_PER_S
    random = np.random.default_rng(2)
    edges_s = np.arange(0.0, 1.1 * requests / mean_per_s + 2.0 * SWING_S, 1.0)
    swing = SWING * SWING_S / (2.0 * np.pi) * (1.0 - np.cos(2.0 * np.pi * edges_s / SWING_S))
    time_s = np.interp(np.cumsum(random.exponential(1.0, requests)), mean_per_s * (edges_s + swing), edges_s)
    ones = np.ones(requests, dtype=np.int64)
    return Traffic(time_s, ones - 1, ones, ones)


def first(traffic: Traffic, requests: int) -> Traffic:
    """Return the first of the requests."""
    columns = (traffic.time_s, traffic.traffic_class, traffic.input_tokens, traffic.output_tokens)
    return Traffic(*(column[:requests] for column in columns))


def simpy_batches_s(arrival_s: FloatArray, *, clients: bool) -> FloatArray:
    """Return every latency, float64[requests], by SimPy: a process for each machine, and with ``clients`` one for each request.

    Without, one process sends all requests to the shortest queue, and machines write the answers down themselves.
    """
    peer = SimpyBatches(arrival_s, clients)
    for place in range(MACHINES):
        peer.environment.process(peer.machine(place))
    peer.environment.process(peer.come())
    peer.environment.run()
    return peer.finish_s - arrival_s


class SimpyBatches:
    """The processes of ``simpy_batches_s``, and what they share."""

    def __init__(self, arrival_s: FloatArray, clients: bool) -> None:
        self.arrivals_s, self.clients = arrival_s.tolist(), clients
        self.finish_s = np.zeros(len(arrival_s))
        self.environment = simpy.Environment()
        self.queues: list[list[int]] = [[] for _ in range(MACHINES)]
        self.on_it = [0] * MACHINES
        self.some, self.full = ([self.environment.event() for _ in range(MACHINES)] for _ in range(2))
        self.answered: dict[int, Any] = {}

    def machine(self, place: int) -> Iterator[Any]:
        """Wait for a request, then for a full batch or the time that its first may wait; run it."""
        queue, environment = self.queues[place], self.environment
        while True:
            if not queue:
                self.some[place] = environment.event()
                yield self.some[place]
            left_s = self.arrivals_s[queue[0]] + MAX_WAIT_S - environment.now
            if len(queue) < MOST and left_s > 0.0:
                self.full[place] = environment.event()
                yield self.full[place] | environment.timeout(left_s)
            batch = queue[:MOST]
            del queue[:MOST]
            yield environment.timeout(BATCHES.service_s[len(batch) - 1])
            self.answer(place, batch)

    def answer(self, place: int, batch: list[int]) -> None:
        """Answer a batch."""
        self.on_it[place] -= len(batch)
        if not self.clients:
            self.finish_s[batch] = self.environment.now
            return
        for number in batch:
            self.answered.pop(number).succeed()

    def join(self, number: int) -> None:
        """Queue a request on the machine with the fewest, and wake it where it waits for that."""
        place = self.on_it.index(min(self.on_it))
        self.queues[place].append(number)
        self.on_it[place] += 1
        if self.on_it[place] == 1:
            self.some[place].succeed()
        elif len(self.queues[place]) == MOST and not self.full[place].triggered:
            self.full[place].succeed()

    def client(self, number: int) -> Iterator[Any]:
        """One request from its arrival to its answer."""
        self.answered[number] = self.environment.event()
        self.join(number)
        yield self.answered[number]
        self.finish_s[number] = self.environment.now

    def come(self) -> Iterator[Any]:
        """Let every request arrive."""
        for number, at_s in enumerate(self.arrivals_s):
            yield self.environment.timeout(at_s - self.environment.now)
            if self.clients:
                self.environment.process(self.client(number))
            else:
                self.join(number)


def batch_facts(found: Timed[Outcome]) -> dict[str, float]:
    """Return that there was something to do: machines that came and went, engines, batches."""
    outcome = found.result
    requests, hours = len(outcome.finish_s), float(outcome.traffic.time_s[-1]) / SECONDS_PER_HOUR
    return {
        "requests_per_wall_s": requests / found.wall_s,
        "hours_replayed": hours,
        "machines_on_average": float(outcome.machine_hours.sum()) / hours,
        "busy": float(outcome.busy_hours.sum() / outcome.machine_hours.sum()),
        "requests_a_batch": requests / len(np.unique(outcome.finish_s)),
        "latency_p99_s": float(np.quantile(outcome.latency_s, 0.99)),
    }


def beside_the_peer(found: Timed[Outcome], peer: Timed[FloatArray]) -> dict[str, float]:
    """Return how the replay does with the peer's requests and machines, and that both answer them alike."""
    return {
        "requests_per_s": len(peer.result) / found.cpu_s,
        "ratio_to_simpy_batches": peer.cpu_s / found.cpu_s,
        "mean_latency_s": float(found.result.latency_s.mean()),
        "peers_mean_latency_s": float(peer.result.mean()),
        "largest_difference_s": float(np.abs(found.result.latency_s - peer.result).max()),
    }
