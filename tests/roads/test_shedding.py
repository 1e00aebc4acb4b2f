"""The gateway turns away whom the replay turns away: the same arrivals, the same engines, the same planned wait."""

import heapq
from types import SimpleNamespace

import numpy as np
import pytest

from tightrope.base.plan import ServedClass
from tightrope.base.records import RequestEngine, ScalingPolicy
from tightrope.replay.records import SHED, Fleet, FleetClass, FleetPool, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.serve.access.admission import AdmissionControl
from tightrope.serve.config.settings import Limits, ServedPool
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.records import Call, Caller
from tightrope.serve.refusals import TooMany

SERVICE_S = 0.05
SHED_WAIT_S = 0.22
REQUESTS = 3000


def arrivals(machines: int, load: float) -> np.ndarray:
    """Return times of random arrivals, ``load`` times what the machines can answer."""
    return np.cumsum(np.random.default_rng(machines).exponential(SERVICE_S / (load * machines), REQUESTS))


def replayed(time_s: np.ndarray, machines: int) -> np.ndarray:
    """Return which requests the replay turns away, bool[requests]."""
    schedule = np.full(168, machines, dtype=np.int64)
    rate = 1.0 / SERVICE_S
    pool = FleetPool("pool", "m", RequestEngine((SERVICE_S,), 0.0), 1, rate, 0.0, 1, 0.0, schedule, machines, 1)
    scaling = ScalingPolicy(False, 1.0, 1.0, 0.1, 15.0, 0.0, 0.0, 0.0)
    kind = FleetClass("chat", False, shed_wait_s=SHED_WAIT_S)
    fleet = Fleet((pool,), (kind,), ("m",), np.ones((1, 1, 168)), np.ones((1, 1), dtype=bool), scaling)
    ones = np.ones(REQUESTS, dtype=np.int64)
    requests = Traffic(time_s, np.zeros(REQUESTS, dtype=np.int64), ones, ones)
    return replay_fleet(fleet, requests, duration_s=float(time_s[-1]) + 1.0, block_offset_s=0.0, seed=0).ended == SHED


def served(time_s: np.ndarray, machines: int) -> np.ndarray:
    """Return which requests the gateway turns away, bool[requests], before engines that take them in the order they come."""
    metrics = SimpleNamespace(shed=lambda *_: None, budget_left=lambda *_: None)
    kind = ServedClass("chat", (), 0.0, shed_wait_s=SHED_WAIT_S)
    doors = AdmissionControl(Limits(), {}, lambda _: 0, metrics, lambda: 0.0, classes=(kind,))
    pool = ServedPool("pool", "m", "v")
    free_s = [0.0] * machines
    ends: list[tuple[float, int]] = []
    calls, shed = {}, np.zeros(len(time_s), dtype=bool)
    for number, now_s in enumerate(time_s.tolist()):
        while ends and ends[0][0] <= now_s:
            call = calls.pop(heapq.heappop(ends)[1])
            doors.part(call, pool)
            doors.leave(call, 0)
        call = Call(str(number), Caller("t"), "embed", "m", ("x",), now_s, "chat")
        doors.enter(call)
        try:
            doors.join(call, pool, PoolLoad(machines, in_flight=len(ends), requests_per_s=1.0 / SERVICE_S))
        except TooMany:
            doors.leave(call, 0)
            shed[number] = True
            continue
        first = free_s.index(min(free_s))
        free_s[first] = max(free_s[first], now_s) + SERVICE_S
        calls[number] = call
        heapq.heappush(ends, (free_s[first], number))
    return shed


@pytest.mark.parametrize("load", [0.9, 2.0, 10.0])
@pytest.mark.parametrize("machines", [1, 3])
def test_the_same_requests_are_turned_away(machines: int, load: float) -> None:
    """One by one of a single engine; of three, whose lengths the gateway takes to be even, within a hundredth of all."""
    time_s = arrivals(machines, load)
    found, expected = served(time_s, machines), replayed(time_s, machines)
    assert 0.0 < expected.mean() < 0.95
    if machines == 1:
        assert found.tolist() == expected.tolist()
    else:
        assert found.mean() == pytest.approx(expected.mean(), abs=0.01)
