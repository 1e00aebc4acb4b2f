"""The examples' workloads load, and their traffic is what their READMEs say."""

from pathlib import Path

import numpy as np
import pytest

from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.demand.blocks import split_demand
from tightrope.demand.trace import load_rates, load_sizes
from tightrope.demand.workload import load_workload

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def real_book() -> PriceBook:
    return load_price_book()


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/workload.yaml")))
def test_an_example_loads_with_whole_days_to_size_on_and_to_prove_on(name: str, real_book: PriceBook) -> None:
    workload = load_workload(EXAMPLES / name / "workload.yaml", real_book)
    starts = {split_demand(traffic.demand, workload.heldout_share).heldout_start_s for traffic in workload.classes}
    assert len(starts) == 1
    assert starts.pop() % 86_400 == 0
    assert workload.today or name == "helpdesk", "all but the new service have a fleet of today to compare with"


def test_the_chatbots_trace_has_twelve_windows_of_zero() -> None:
    rate = load_rates(EXAMPLES / "chatgenius" / "traffic" / "chat_rates.csv").rate_per_s
    silent = np.flatnonzero(rate == 0)
    windows = np.split(silent, np.flatnonzero(np.diff(silent) > 1) + 1)
    assert len(windows) == 12
    assert (len(silent) * 10, min(map(len, windows)) * 10, max(map(len, windows)) * 10) == (370, 10, 70)
    assert {int(window[0]) // 144 for window in windows} == {7, 9, 10, 11, 12, 13}
    busy = np.where(rate == 0, np.nan, rate)
    assert np.nanmean(busy[9 * 144 :]) / np.nanmean(busy[: 9 * 144]) == pytest.approx(1.27, abs=0.005)
    assert rate.max() / rate[: 9 * 144].max() == pytest.approx(1.71, abs=0.005)
    assert int(np.argmax(rate)) // 144 == 11


def test_the_chatbots_sizes_are_those_of_the_full_trace() -> None:
    """The full file's mean, p50, p90, p95 and p99 were measured when the extract was made."""
    first, second = load_sizes(EXAMPLES / "chatgenius" / "traffic" / "chat_tokens.csv")
    assert len(first) == 2152
    for sizes, full in ((first, [1154.70, 1020, 2734.5, 4083, 4142]), (second, [211.13, 129, 424, 451, 601])):
        found = [sizes.mean(), *np.percentile(sizes, [50, 90, 95, 99])]
        assert found == pytest.approx(full, rel=0.008)
