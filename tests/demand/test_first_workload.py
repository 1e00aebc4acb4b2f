"""A first workload: it loads, it is commented, and a failure leaves nothing behind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.errors import InputError
from tightrope.base.records import Demand
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.demand import first_workload
from tightrope.demand.first_workload import InitAnswers, begin, describe, draw_chart
from tightrope.demand.workload import load_workload

ASKED = InitAnswers(None, "mine", 20.0, 30.0, 20.0, 1000, 200, "", (), "", ("us-east-1",), (), "", "error")


@pytest.fixture(scope="module")
def prices() -> PriceBook:
    return load_price_book()


@pytest.mark.parametrize("model", sorted(first_workload.models()))
def test_every_model_gives_a_workload_that_loads(tmp_path: Path, prices: PriceBook, model: str) -> None:
    target, demand = begin(replace(ASKED, model=model), tmp_path, prices, force=False)
    workload = load_workload(target, prices)
    assert {variant.model for variant in workload.variants} == {model}
    assert demand.rate_per_s.mean() == pytest.approx(20)
    assert "assumed" in target.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["workload.yaml"]


def test_requests_are_referred_to_from_the_workloads_folder(tmp_path: Path, prices: PriceBook) -> None:
    trace = tmp_path / 'my "trace".csv'
    trace.write_text("when,in,out\n" + "\n".join(f"{i},{i + 1},5" for i in range(300)), encoding="utf-8")
    columns = ("time=when", "input_tokens=in", "output_tokens=out")
    asked = replace(ASKED, trace=trace, rate_per_s=None, columns=columns, time_unit="s", input_tokens=None, output_tokens=None)
    target, demand = begin(asked, tmp_path / "a" / "b", prices, force=False)
    assert '"../../my \\"trace\\".csv"' in target.read_text(encoding="utf-8")
    assert len(demand.arrival_s) == 300
    assert load_workload(target, prices).variants[0].model == "llama-3.1-8b"


def test_rates_with_gaps_are_told_so(tmp_path: Path, prices: PriceBook) -> None:
    trace = tmp_path / "rates.csv"
    trace.write_text("t_s,count\n0,60\n60,60\n120,60\n240,60\n", encoding="utf-8")
    asked = replace(ASKED, trace=trace, rate_per_s=None, input_tokens=None, output_tokens=None)
    with pytest.raises(InputError, match="1 bins have no rate"):
        begin(asked, tmp_path / "out", prices, force=False)
    assert not (tmp_path / "out").exists()
    target, demand = begin(replace(asked, gaps="interpolate"), tmp_path / "out", prices, force=False)
    assert demand.rate_per_s.tolist() == [1] * 5
    assert "profile: resnet50" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("today", "variant"),
    [("4 x g4dn.xlarge", "llama-3.1-8b/int8"), ("4×g6e.xlarge", "llama-3.1-8b/fp16")],
)
def test_today_runs_the_best_variant_that_fits(tmp_path: Path, prices: PriceBook, today: str, variant: str) -> None:
    target, _ = begin(replace(ASKED, today=today), tmp_path, prices, force=False)
    pool = load_workload(target, prices).today[0]
    assert (pool.machines, pool.variant, pool.offer) == (4, variant, "on-demand")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "gpt-17"}, "unknown model to begin with"),
        ({"slo": ("fast",)}, "such as 'ttft p95"),
        ({"regions": ("mars-1",)}, "unknown aws region"),
        ({"today": "many"}, "expected a number and a machine"),
        ({"today": "4 x g4dn.large"}, "unknown machine 'g4dn.large'"),
        ({"rate_per_s": 20.0, "peak_per_s": 50.0}, "expected a peak of 1 to 2 times the mean"),
        ({"rate_per_s": float("nan")}, "expected a peak"),
        ({"rate_per_s": 0.0}, "expected a peak"),
        ({"input_tokens": None}, "one of --input-tokens and --output-tokens"),
        ({"input_tokens": None, "output_tokens": None, "model": "mistral-7b"}, "how many tokens"),
        ({"trace": Path("none.csv")}, "does not exist"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(
    tmp_path: Path, prices: PriceBook, changes: dict[str, object], said: str
) -> None:
    asked = InitAnswers(**{name: getattr(ASKED, name) for name in InitAnswers.__dataclass_fields__} | changes)
    with pytest.raises(InputError, match=said):
        begin(asked, tmp_path / "out", prices, force=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("stated", "said"), [(("x=y",), "unknown column role 'x'"), (("time",), "expected each as role=column")])
def test_columns_are_stated_as_pairs(tmp_path: Path, prices: PriceBook, stated: tuple[str, ...], said: str) -> None:
    trace = tmp_path / "a.csv"
    trace.write_text("time_s\n0\n70\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        begin(replace(ASKED, trace=trace, columns=stated), tmp_path / "out", prices, force=False)


def test_what_exists_is_kept_without_force(tmp_path: Path, prices: PriceBook) -> None:
    (tmp_path / "workload.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="--force"):
        begin(ASKED, tmp_path, prices, force=False)
    assert (tmp_path / "workload.yaml").read_text(encoding="utf-8") == "mine"
    begin(ASKED, tmp_path, prices, force=True)
    assert (tmp_path / "workload.yaml").read_text(encoding="utf-8") != "mine"


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path, prices: PriceBook) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(InputError, match="cannot write to"):
        begin(ASKED, tmp_path / "out", prices, force=False)


def test_figures_and_chart(rates_of: Callable[..., Demand]) -> None:
    rate = np.tile(np.concatenate([np.ones(20), np.full(4, 5.0)]), 3)
    figures = describe(rates_of(rate, 3600.0))
    assert (figures["days"], figures["peak_per_s"], figures["busiest_hour"]) == (3, 5, 20)
    assert figures["output_tokens_p50"] == 20
    assert draw_chart(rate[:24], 6) == "▂▂▂▂▂█"
    assert draw_chart(np.zeros(3), 6) == "▁▁▁"
