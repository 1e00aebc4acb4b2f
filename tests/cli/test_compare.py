"""The verb ``compare`` as a user runs it, on the workload that plans in a second."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

TINY = runpy.run_path(str(Path(__file__).with_name("tiny.py")))
MAIN = "from tightrope.cli import main; main()"


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    (tmp_path / "rates.csv").write_text(TINY["RATES"], encoding="utf-8")
    path = tmp_path / "workload.yaml"
    path.write_text(TINY["WORKLOAD"], encoding="utf-8")
    return path


def tightrope(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603 - our own program


def test_a_table_of_all_plans_and_the_verdict(workload: Path) -> None:
    done = tightrope("compare", workload)
    assert done.returncode == 0, done.stderr
    for name in ("peak", "hpa", "single-type", "buckets", "buckets-at-peak", "spot-fallback", "look-back", "tightrope"):
        assert name in done.stdout
    assert "tightrope costs" in done.stdout
    assert "of the cheapest other plan that meets all" in " ".join(done.stdout.split())


def test_json_of_two_plans_at_another_target(workload: Path) -> None:
    found = {}
    for target in ("0.35", "1.0"):
        done = tightrope("compare", workload, "--only", "hpa", "--only", "peak", "--hpa-target", target, "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["rows"]
        assert list(dict.fromkeys(row["plan"] for row in rows)) == ["peak", "hpa"]
        found[target] = next(row for row in rows if row["plan"] == "hpa")
    assert found["0.35"]["planned_usd_per_month"] > found["1.0"]["planned_usd_per_month"]


def test_what_nothing_can_serve_is_infeasible(workload: Path) -> None:
    text = workload.read_text(encoding="utf-8")
    slo = next(line for line in text.splitlines() if line.strip().startswith("slo:"))
    workload.write_text(text.replace(slo, slo.partition("slo:")[0] + "slo: [latency p95 <= 1 us]"), encoding="utf-8")
    done = tightrope("compare", workload)
    assert done.returncode == 3, done.stderr
    assert "no machine keeps the promises" in done.stderr
    assert "Resolve: loosen traffic." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--only", "hpaa"], "hpa"), (["--hpa-target", "7"], "--hpa-target")],
    ids=["unknown plan", "target above one"],
)
def test_what_is_wrong_is_said(workload: Path, arguments: list[str], said: str) -> None:
    done = tightrope("compare", workload, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
