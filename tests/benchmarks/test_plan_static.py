"""The benchmark of the static plan: its peer solves the same problem, and a small run has the shape that the runner counts on."""

import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan_static(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return __import__("benchmarks.plan_static", fromlist=["run"])


def test_the_peer_finds_what_the_release_finds(plan_static: ModuleType) -> None:
    assert plan_static.cbc_usd(plan_static.TOY, 1) == pytest.approx(6.70)
    assert plan_static.cbc_usd(plan_static.four_gpus(16, 40), 1) == pytest.approx(7.516)


def test_a_small_run_has_what_is_promised(plan_static: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, small in {"RATES_PER_S": (128,), "SLICE_FACTORS": (1,), "RUNS": 1}.items():
        monkeypatch.setattr(plan_static, name, small)
    result = plan_static.run()
    assert result["ratio"] == result["value"] / result["peer_value"] > 0.0
    assert json.loads(json.dumps(result)) == result
    detail = result["detail"]
    assert detail["proven"] is True
    assert detail["toy_usd_per_hour"] == pytest.approx(6.70)
    assert detail["toy_machines"] == {"A10G": 3, "A100-80GB": 1}
    assert detail["usd_per_hour"] == pytest.approx({"128/s at 120 ms": 49.333, "128/s at 40 ms": 54.196})
    assert all(usd >= detail["usd_per_hour"][case.partition(",")[0]] - 1e-6 for case, usd in detail["peer_usd_per_hour"].items())
