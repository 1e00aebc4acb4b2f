"""The benchmark against what people use: its traffic, its workloads, and what it makes of comparisons."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.plan import Evidence
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.compare.comparison import OURS, Comparison, Row
from tightrope.demand.workload import load_workload

ROOT = Path(__file__).parents[2]
KEPT = Evidence("chat", "ttft p95 ≤ 4 s", "day 14", 100, 0.99, 0.98, 1.0, 0.95, seeds=(1,), verdict="proven")


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield __import__("benchmarks.plan_compare", fromlist=["run"])


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_price_book()


def row(plan: str, usd: float, *, breaks: str = "") -> Row:
    """Return a row that keeps its promise."""
    return Row(plan, "", 1.0, (), usd / 1.25, usd, (KEPT,), breaks)


def test_an_hour_is_laid_over_every_day_at_its_own_rate_in_the_afternoon(module: ModuleType) -> None:
    rates = np.array([rate for _, rate in module.laid_rates("conversation")])
    assert len(rates) == 14 * 1440
    counts = np.loadtxt(module.DATA / "azure_minutes.csv", delimiter=",", skiprows=1)[:, 1]
    noon = 15 * 60
    assert rates[noon] == pytest.approx(counts[noon % len(counts)] / 60.0, rel=1e-6)
    by_day = rates.reshape(14, 1440).mean(axis=1)
    assert by_day == pytest.approx(np.full(14, by_day[0]), rel=0.02)
    assert rates.reshape(14, 24, 60).mean(axis=(0, 2)).argmax() in {14, 15}


def test_every_workload_states_all_offers_of_a_year_and_two_weeks_of_traffic(
    module: ModuleType, book: PriceBook, tmp_path: Path
) -> None:
    for name in module.NAMES:
        folder = tmp_path / name
        folder.mkdir()
        workload = load_workload(module.laid_out(name, folder), book)
        assert workload.name == name
        assert set(workload.purchase.offers) == {
            "on-demand",
            "spot",
            "reserved-1y-no-upfront",
            "instance-savings-plan-1y-no-upfront",
            "compute-savings-plan-1y-no-upfront",
        }
        assert workload.classes[0].demand.duration_s == 14 * 86_400.0


def test_the_ratio_is_of_the_sums_and_a_missed_target_has_a_note(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(name: str) -> Comparison:
        ours = 500.0 if name == "vision" else 900.0
        rows = (row("hpa", 1000.0), row("spot-fallback", 800.0, breaks="all rests on spot"), row(OURS, ours))
        return Comparison(name, "day 14", (1,), rows)

    monkeypatch.setattr(module, "compared", compared)
    result = module.run()
    assert result["ratio"] == result["value"] / result["peer_value"] == 3200.0 / 4000.0
    assert result["detail"]["ratios"] == {name: 0.5 if name == "vision" else 0.9 for name in module.NAMES}
    assert set(result["detail"]["notes"]) == set(module.NAMES) - {"vision"}
    assert "hpa" in result["detail"]["notes"]["azure-code"]
    assert result["detail"]["workloads"]["vision"]["ratio_to_any_that_keeps_the_promises"] == 500.0 / 800.0
    assert json.loads(json.dumps(result)) == result


def test_ours_unproven_is_no_ratio(module: ModuleType) -> None:
    missed = Row(OURS, "", 1.0, (), 1.0, 1.0, ())
    assert module.note_of(Comparison("w", "day 14", (1,), (row("hpa", 2.0), missed))) == "our own plan is not proven"
    assert module.ratio_to(missed, row("hpa", 2.0)) is None
