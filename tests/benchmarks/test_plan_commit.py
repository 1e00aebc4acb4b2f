"""The benchmark of commitments: its case is what it says, and sizing on futures keeps its promise on it."""

import json
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return __import__("benchmarks.plan_commit", fromlist=["run"])


def test_the_fleet_moves_and_grows_as_it_says(benchmark: ModuleType) -> None:
    machines = benchmark.happen(benchmark.Course(), 1)
    past, year = machines[:, : benchmark.PAST_HOURS], machines[:, benchmark.PAST_HOURS :]
    assert year.shape == (4, 8736)
    assert past.mean(axis=1) == pytest.approx(np.array(benchmark.QUARTERS) * (1 - 0.15 * 2 / 7), rel=0.02)
    assert year[0, -1] <= 1.0
    assert year[1, -168:].mean() == pytest.approx(past[:2].mean(axis=1).sum(), rel=0.03)
    assert year[2, -168:].mean() == pytest.approx(1.2 * past[2].mean(), rel=0.03)


def test_what_happens_is_none_of_the_declared_futures(benchmark: ModuleType) -> None:
    paths = benchmark.declared_paths()
    assert sum(path.weight for path in paths) == pytest.approx(1.0)
    assert all(shift.by_month != benchmark.Course().gone_by_month for path in paths for shift in path.shifts)
    assert benchmark.Course().growth_per_year not in benchmark.GROWTH_PER_YEAR


def test_a_fleet_that_migrates(benchmark: ModuleType) -> None:
    """Within 1 point of who knows the year, and 5 above the look-back: savings are deterministic, so this may be asserted."""
    on_demand = np.array([1.006, 0.8048, 0.68, 0.58])
    covers = benchmark.covers_of(on_demand, on_demand * (1 - benchmark.FAMILY_OFF), on_demand * (1 - benchmark.EVERYTHING_OFF))
    found = benchmark.saved_points(benchmark.happen(benchmark.Course(), 7), on_demand, covers, benchmark.declared_paths())
    assert found["clairvoyant"] - 1.0 <= found["ours"] <= found["clairvoyant"] + 0.01
    assert found["ours"] >= found["look_back"] + 5.0
    assert found["gap_fraction"] < 0.005


def test_the_result_has_the_shape_that_readers_count_on(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SEEDS", (1,))
    monkeypatch.setattr(benchmark, "YEAR_HOURS", 7 * 24)
    monkeypatch.setattr(benchmark, "PAST_HOURS", 7 * 24)
    monkeypatch.setattr(benchmark, "GROWTH_PER_YEAR", (0.0,))
    monkeypatch.setattr(benchmark, "GONE_BY_MONTH", (None, 9))
    result = benchmark.run()
    assert result["ratio"] == result["value"] / result["peer_value"]
    assert json.loads(json.dumps(result)) == result
    assert set(result["detail"]["cases"]["stationary"]) >= {"ours", "clairvoyant", "look_back", "look_back_family"}
