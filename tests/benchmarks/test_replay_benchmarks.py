"""The benchmarks of the replay do what they say, at sizes that take no time; nothing here asserts how fast anything is."""

import dataclasses
import gzip
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FIELDS = ("name", "value", "unit", "peer", "peer_value", "ratio", "detail")
TINY = {
    "replay_token": {"REQUESTS": {2: 300, 4: 300, 256: 300}, "PEER_REQUESTS": 50, "SIMPY_REQUESTS": 100},
    "replay_request": {"REQUESTS": 3000, "PEER_REQUESTS": 500},
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return how to import a module of the benchmarks, its sizes made tiny and each timing taken once."""
    monkeypatch.syspath_prepend(str(ROOT))

    def imported(name: str) -> ModuleType:
        module = importlib.import_module(f"benchmarks.{name}")
        for constant, value in TINY.get(name, {}).items():
            monkeypatch.setattr(module, constant, value)
        monkeypatch.setattr(importlib.import_module("benchmarks.loads"), "RUNS", 1)
        return module

    return imported


@pytest.fixture
def no_trace(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return ``loads`` as it is in a lone clone."""
    loads = load("loads")
    monkeypatch.setattr(loads, "AZURE", tmp_path / "absent.csv.gz")
    return loads


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_runs_and_has_every_field(load: Callable[[str], ModuleType], name: str) -> None:
    result = load(name).run()
    assert tuple(result) == FIELDS
    assert result["name"] == name.replace("_", "-")
    assert result["ratio"] == result["value"] / result["peer_value"] > 0.0
    assert json.loads(json.dumps(result)) == result


# ---------------------------------------------------------------------------------------------------------------- loads


def test_without_the_trace_the_sizes_of_the_example_stand_in(no_trace: ModuleType) -> None:
    traffic, source = no_trace.conversations(20_000, 3.0)
    assert source == "Poisson arrivals, sizes of chat_tokens.csv: no absent.csv.gz here"
    assert 20_000 / traffic.time_s[-1] == pytest.approx(3.0, rel=0.03)
    sizes = {tuple(row) for row in np.loadtxt(no_trace.SIZES, delimiter=",", skiprows=1, dtype=int).tolist()}
    assert set(zip(traffic.input_tokens.tolist(), traffic.output_tokens.tolist(), strict=True)) <= sizes


def test_the_trace_is_repeated_end_to_end_at_the_rate_asked_for(
    no_trace: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four requests at 0, 1, 2 and 6 s, a period of 7.5 s; at 4 in 15 s everything takes twice as long."""
    path = tmp_path / "few.csv.gz"
    rows = ["15:46.1000000,10,1", "15:47.1000000,20,2", "15:52.1000000,40,4", "15:48.1000000,30,3"]
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"2023-11-16 18:{row}\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(no_trace, "AZURE", path)
    traffic, source = no_trace.conversations(6, 4.0 / 15.0)
    assert traffic.time_s == pytest.approx([0.0, 2.0, 4.0, 12.0, 15.0, 17.0])
    assert traffic.input_tokens.tolist() == [10, 20, 30, 40, 10, 20]
    assert traffic.output_tokens.tolist() == [1, 2, 3, 4, 1, 2]
    assert source == "Azure LLM conversations of 2023, 1.5 times over"


def test_the_trace_that_is_named_is_the_one_of_the_figures(load: Callable[[str], ModuleType]) -> None:
    loads = load("loads")
    if not loads.AZURE.exists():
        pytest.skip("the trace is beside the repository, not in it")
    traffic, _ = loads.conversations(19_366, 5.0)
    assert (traffic.input_tokens.sum(), traffic.output_tokens.sum()) == (22_361_870, 4_088_665)
    assert np.diff(traffic.time_s).min() >= 0.0
    assert (traffic.input_tokens + traffic.output_tokens).max() < importlib.import_module("benchmarks.replay_token").KV_TOKENS


def test_a_timing_is_the_shortest_of_its_runs(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    loads = load("loads")
    monkeypatch.setattr(loads, "RUNS", 3)
    clock = iter([0.0, 10.0, 20.0, 22.0, 30.0, 39.0])
    monkeypatch.setattr(loads.time, "process_time", lambda: next(clock))
    calls: list[int] = []
    timed = loads.timed(lambda: calls.append(1) or len(calls))
    assert (timed.cpu_s, timed.result) == (2.0, 3)


# --------------------------------------------------------------------------------------------------------------- token


def test_everything_that_is_promised_happens_in_the_token_benchmark(load: Callable[[str], ModuleType]) -> None:
    """On the slow replay, which has the rules: the cache is full at times, machines are asked for, everybody is answered."""
    token = load("replay_token")
    slow = importlib.import_module("benchmarks.loads").replay_slowly()
    found = token.measure(slow, 4, 3000)
    outcome, latencies_s = found.result
    assert outcome.preemptions > 0
    assert token.facts(4, found)["machines_on_average"] > token.fleet(4).pools[0].schedule[0]
    assert np.isfinite(outcome.finish_s).all()
    assert set(latencies_s) == {"ttft", "tpot", "latency"}
    assert all(values == sorted(values) for values in latencies_s.values())


def test_others_are_compared_at_the_nearest_fleet(load: Callable[[str], ModuleType]) -> None:
    token = load("replay_token")
    loads = importlib.import_module("benchmarks.loads")
    ours = {replicas: loads.Timed(cpu_s, cpu_s, None) for replicas, cpu_s in {2: 0.1, 4: 0.2, 256: 1.0}.items()}
    beside = token.beside(ours, 1, 500.0, 2.0)
    assert beside == {"requests_per_s": 500.0, "our_replicas": 2, "ratio": 300 / 0.1 / 500.0, "ratio_at_equal_speed": 3.0}


# ------------------------------------------------------------------------------------------------------------- request


def test_simpy_and_the_replay_serve_the_same_queue(load: Callable[[str], ModuleType]) -> None:
    """Request for request: the peer does the same work."""
    request = load("replay_request")
    arrival_s, service_s = request.draws(3000)
    peer_s = request.simpy_waits_s(arrival_s, service_s)
    ours = request.measure(request.queue(), request.parts(arrival_s, service_s)).result
    assert peer_s.max() > 0.5
    assert ours.latency_s - service_s == pytest.approx(peer_s, abs=1e-6)


@pytest.mark.parametrize("clients", [True, False])
@pytest.mark.parametrize(("pressed", "largest_batch"), [(0.1, 2), (1.0, 7), (30.0, 32)])
def test_simpy_and_the_replay_run_the_same_batches(
    load: Callable[[str], ModuleType], pressed: float, largest_batch: int, clients: bool
) -> None:
    """Request for request, where nobody autoscales: batches that are due, that find a queue, that are full in time."""
    request = load("replay_request")
    traffic = request.waves(6000)
    traffic = dataclasses.replace(traffic, time_s=traffic.time_s / pressed)
    peer_s = request.simpy_batches_s(traffic.time_s, clients=clients)
    ours = request.measure(request.fixed_fleet(), traffic).result
    assert ours.latency_s == pytest.approx(peer_s, rel=0.0, abs=1e-9)
    assert ours.machine_hours.sum() == pytest.approx(request.MACHINES * traffic.time_s[-1] / 3600.0)
    sizes = np.rint((ours.finish_s - ours.begin_s - 0.004) / 0.001)
    assert sizes.max() == largest_batch


def test_the_batches_traffic_swings_about_its_mean(load: Callable[[str], ModuleType]) -> None:
    request = load("replay_request")
    mean_per_s = 0.75 * request.MACHINES * request.MACHINE_PER_S
    traffic = request.waves(int(mean_per_s * request.SWING_S))
    assert traffic.time_s[-1] == pytest.approx(request.SWING_S, rel=0.01)
    first, second = np.histogram(traffic.time_s, [0.0, request.SWING_S / 2, request.SWING_S])[0]
    assert first / second == pytest.approx((1 + 2 / np.pi * request.SWING) / (1 - 2 / np.pi * request.SWING), rel=0.01)


# ----------------------------------------------------------------------------------------------------------------- day


def test_the_day_is_one_the_project_can_read(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    day = load("replay_day")
    day.write_trace(tmp_path / "trace.csv", 5000)
    day.write_workload(tmp_path / "workload.yaml", 5000)
    arrivals = importlib.import_module("tightrope.demand.trace").load_arrivals(tmp_path / "trace.csv")
    assert len(arrivals.arrival_s) == 5000
    assert 0.0 <= arrivals.arrival_s[0] < arrivals.arrival_s[-1] <= 86_400.0
    book = importlib.import_module("tightrope.clouds.book").load_price_book()
    workload = importlib.import_module("tightrope.demand.workload").load_workload(tmp_path / "workload.yaml", book)
    demand = workload.classes[0].demand
    first_day = demand.rate_per_s[: int(86_400 / demand.bin_s)]
    assert first_day.sum() * demand.bin_s == pytest.approx(5000, rel=1e-6)
