"""What a replica sustains: bounds that always hold, and a queue simulated the textbook way."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import Deferral, Demand, RequestEngine, Slo, TokenEngine, TrafficClass
from tightrope.plan.problem.capacity import MAX_UTILISATION, Capacity, CapacityTable, measure_capacity
from tightrope.plan.problem.engine_settings import bound_throughput

ONE_AT_A_TIME = RequestEngine((0.1,), 5.0)
BATCHES = RequestEngine((0.1, 0.12, 0.14, 0.16), 5.0)
TOKENS = TokenEngine(0.002, 0.01, 1e-4, 1e-7, 20_000, 32, 512, 30.0)


def traffic(*slos: Slo, rate_per_s: float = 40.0, tokens: int = 1, deferral: Deferral | None = None) -> TrafficClass:
    sizes = np.full(100, tokens, dtype=np.int64)
    demand = Demand(60.0, np.full(10, rate_per_s), sizes, sizes, 1.0, np.zeros(0), "by hand")
    return TrafficClass("c", slos, deferral, 0.0, 0.0, 0.0, 0.0, demand)


def within(limit_s: float, percentile: float = 0.95) -> Slo:
    return Slo("latency", percentile, limit_s)


@pytest.mark.parametrize(("engine", "tokens"), [(ONE_AT_A_TIME, 1), (BATCHES, 1), (TOKENS, 200)])
def test_promises_cost_throughput_and_company_helps(engine: RequestEngine | TokenEngine, tokens: int) -> None:
    found = measure_capacity(engine, traffic(within(6.0), tokens=tokens))
    assert 0.0 < found.single_per_s <= found.limit_per_s <= MAX_UTILISATION * found.raw_per_s
    tight = measure_capacity(engine, traffic(within(1.2 * found.best_s[str(within(6.0))]), tokens=tokens))
    assert tight.single_per_s < found.single_per_s
    assert tight.raw_per_s == found.raw_per_s


def test_raw_throughput_is_the_best_batch() -> None:
    assert measure_capacity(BATCHES, traffic(within(1.0))).raw_per_s == pytest.approx(4 / 0.16)


def of_lengths(*lengths: int) -> TrafficClass:
    sizes = np.array(lengths, dtype=np.int64)
    promised = traffic(within(1.0))
    return replace(promised, demand=replace(promised.demand, input_tokens=sizes))


BY_LENGTH = RequestEngine((0.4, 0.78, 1.16), 5.0, (10, 40), ((0.1, 0.4), (0.12, 0.78), (0.14, 1.16)))


def test_what_an_engine_sustains_follows_the_lengths_that_come() -> None:
    short, mixed, long = (measure_capacity(BY_LENGTH, of_lengths(*lengths)) for lengths in ((10,), (10, 40), (40,)))
    assert short.raw_per_s == pytest.approx(3 / 0.14, rel=0.01)
    assert long.raw_per_s == pytest.approx(3 / 1.16, rel=0.04)
    assert long.single_per_s < mixed.single_per_s < short.single_per_s
    assert short.raw_per_s <= bound_throughput(BY_LENGTH, of_lengths(10).demand) * 1.001
    bound = bound_throughput(BY_LENGTH, of_lengths(10, 40).demand)
    assert bound == pytest.approx(2 / (0.14 / 3 + 1.16 / 3))
    assert 0.9 * bound < mixed.raw_per_s < 1.02 * bound


def test_nothing_beats_the_bound_beyond_the_lengths_that_were_measured() -> None:
    assert bound_throughput(BY_LENGTH, of_lengths(80).demand) == pytest.approx(3 / 2.32)


def test_a_promise_below_the_service_time_is_kept_at_no_rate() -> None:
    found = measure_capacity(ONE_AT_A_TIME, traffic(within(0.09)))
    assert (found.single_per_s, found.limit_per_s) == (0.0, 0.0)
    assert found.best_s[str(within(0.09))] >= 0.1
    assert found.per_engine(np.array([1.0, 100.0])).tolist() == [0.0, 0.0]


def test_work_that_waits_runs_flat_out() -> None:
    found = measure_capacity(ONE_AT_A_TIME, traffic(deferral=Deferral(22.0, 6.0)))
    assert found.raw_per_s == pytest.approx(10.0)
    assert found.limit_per_s == 0.0


@pytest.mark.parametrize(("share", "kept"), [(0.9, True), (1.2, False)])
def test_one_replica_is_lindleys_queue(share: float, kept: bool) -> None:
    # an M/D/1 queue: the next waits for what is left of the one before (Lindley 1952)
    promise = within(0.4)
    rate_per_s = share * measure_capacity(ONE_AT_A_TIME, traffic(promise)).single_per_s
    gaps = np.random.default_rng(3).exponential(1.0 / rate_per_s, 200_000)
    wait_s, latencies = 0.0, np.empty(len(gaps))
    for i, gap in enumerate(gaps):
        wait_s = max(0.0, wait_s + 0.1 - gap) if i else 0.0
        latencies[i] = wait_s + 0.1
    assert (np.quantile(latencies, promise.percentile) <= promise.limit_s) == kept


@given(
    limit=st.floats(0.1, 100.0),
    alone=st.floats(0.0, 1.0),
    engines=st.lists(st.floats(1.0, 1e4), min_size=2, max_size=5).map(sorted),
)
def test_larger_fleets_sustain_as_much_or_more_per_engine(limit: float, alone: float, engines: list[float]) -> None:
    per_engine = Capacity(alone * limit, limit, 2.0 * limit, 1, {}).per_engine(np.array([0.0, 1.0, *engines]))
    assert per_engine[0] == pytest.approx(alone * limit)
    assert (np.diff(per_engine) >= -1e-9).all()
    assert (per_engine <= limit).all()


@given(
    limit=st.floats(0.1, 100.0),
    alone=st.floats(0.01, 1.0),
    engines=st.floats(1.0, 1e4),
)
def test_the_fleet_of_a_rate_is_the_smallest_that_sustains_it(limit: float, alone: float, engines: float) -> None:
    found = Capacity(alone * limit, limit, 2.0 * limit, 1, {})
    rate = engines * float(found.per_engine(np.array(engines)))
    assert rate / float(found.at(np.array(rate))) == pytest.approx(engines)
    assert float(found.at(np.array(0.0))) == pytest.approx(alone * limit)


@pytest.mark.parametrize("engines", [2, 5])
@pytest.mark.parametrize(("engine", "slo"), [(ONE_AT_A_TIME, within(0.3)), (BATCHES, within(0.4, 0.99))], ids=["one", "batches"])
def test_a_replay_of_that_fleet_keeps_the_promise(engine: RequestEngine, slo: Slo, engines: int) -> None:
    found = measure_capacity(engine, traffic(slo, rate_per_s=100.0))
    rate = engines * float(found.per_engine(np.array(float(engines))))
    assert rate / float(found.at(np.array(rate))) == pytest.approx(engines)
    assert CapacityTable().keeps(engine, engines, traffic(slo), rate)
    assert not CapacityTable().keeps(engine, engines, traffic(slo), 2.0 * engines * found.raw_per_s)


def test_the_table_measures_an_engine_once_whatever_its_load_time() -> None:
    table, asked = CapacityTable(), traffic(within(1.0))
    assert table.find(ONE_AT_A_TIME, asked) is table.find(replace(ONE_AT_A_TIME, load_s=99.0), asked)
    assert table.find(BATCHES, asked) is not table.find(ONE_AT_A_TIME, asked)
