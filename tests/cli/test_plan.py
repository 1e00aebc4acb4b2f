"""The verb ``plan`` as a user runs it, on the examples that ship and on a trace of the user's own."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tightrope.base.plan import Plan
from tightrope.render.plan_json.load import load_plan

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MAIN = "from tightrope.cli import main; main()"


def tightrope(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=600)  # noqa: S603 - our own program


def heldout_days(plan: Plan) -> set[int]:
    """Return every day that the evidence was gathered on."""
    found: set[int] = set()
    for item in plan.evidence:
        match = re.match(r"days? (\d+)(?:–(\d+))?", item.window)
        assert match, item.window
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def check_report(path: Path) -> None:
    """Assert that a report is one file that asks the network for nothing."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)\s*=\s*[\"']?(?:https?:)?//", text, re.IGNORECASE)
    assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", text)
    assert "<svg" in text


def test_the_chatbot_comes_out_at_less_than_half_and_every_promise_is_proven(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = tightrope("plan", EXAMPLES / "chatgenius" / "workload.yaml", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    plan = load_plan(out / "plan.json")
    assert plan.status == "proven"
    assert 14_000 <= plan.today_monthly_cost_usd <= 17_000
    assert max(plan.monthly_cost_usd, plan.replay_monthly_cost_usd) <= 6_000
    assert plan.saving_fraction >= 0.6
    assert {item.verdict for item in plan.evidence} == {"proven"}
    assert {item.traffic_class for item in plan.evidence} == {"chat", "summary"}
    assert {item.slo for item in plan.evidence} == {"ttft p95 ≤ 4 s", "tpot p95 ≤ 120 ms", "done by 06:00"}
    assert heldout_days(plan) <= set(range(10, 15))
    assert all(item.requests > 1000 for item in plan.evidence)
    assert 0.0 < plan.lower_bound_monthly_usd <= plan.monthly_cost_usd
    saved = sum(lever.saving_usd for lever in plan.levers)
    assert plan.today_monthly_cost_usd - saved == pytest.approx(plan.monthly_cost_usd, rel=1e-6)
    assert sum(line.usd for line in plan.cost_lines) == pytest.approx(plan.monthly_cost_usd, rel=1e-6)
    small = {pool.name for pool in plan.pools if pool.variant == "faq/int8"}
    assert 0.0 < sum(rule.share for rule in plan.routing if rule.pool in small) <= 0.38 + 1e-9
    assert json.loads(done.stdout) == json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in out.iterdir()) == ["plan.json", "report.html"]
    check_report(out / "report.html")


def test_the_image_classifier_needs_no_tokens(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = tightrope("plan", EXAMPLES / "vision" / "workload.yaml", "--out", out)
    assert done.returncode == 0, done.stderr
    plan = load_plan(out / "plan.json")
    assert plan.status == "proven"
    assert plan.monthly_cost_usd < plan.today_monthly_cost_usd
    assert {item.slo for item in plan.evidence} == {"latency p99 ≤ 100 ms"}
    assert heldout_days(plan) <= set(range(11, 15))
    assert all(pool.batching.keys() == {"max_batch"} for pool in plan.pools)
    check_report(out / "report.html")
    for words in ("today", "this plan", "lower bound", "bill by driver", "savings", "promises", "rests on", "watch out"):
        assert words in done.stdout
    assert "report.html" in done.stdout


def test_the_guides_machine_that_does_not_exist_is_answered_with_one_that_does(tmp_path: Path) -> None:
    folder = tmp_path / "chatgenius"
    shutil.copytree(EXAMPLES / "chatgenius", folder)
    workload = folder / "workload.yaml"
    text = workload.read_text(encoding="utf-8").replace("machine: g4dn.xlarge", "machine: g4dn.large", 1)
    workload.write_text(text, encoding="utf-8")
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "g4dn.large" in row)
    done = tightrope("plan", workload, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {workload}:{line}: unknown machine 'g4dn.large'")
    assert "Resolve: use g4dn.xlarge" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_init_writes_plans_as_it_stands(tmp_path: Path) -> None:
    rows = (EXAMPLES / "chatgenius" / "traffic" / "chat_rates.csv").read_text(encoding="utf-8").splitlines()
    three_days = [row.split(",") for row in rows[1 : 1 + 3 * 144]]
    own = "\n".join(f"{time_s},{max(float(rate), 1.0) * 0.0005:.4f}" for time_s, rate in three_days)
    (tmp_path / "mine.csv").write_text(f"t_s,rate_per_s\n{own}\n", encoding="utf-8")
    sizes = ("--input-tokens", "400", "--output-tokens", "60")
    assert tightrope("init", "--trace", tmp_path / "mine.csv", *sizes, cwd=tmp_path).returncode == 0
    done = tightrope("plan", "workload.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = load_plan(tmp_path / "out" / "mine" / "plan.json")
    assert plan.status == "proven"
    assert plan.monthly_cost_usd > 0.0
    assert plan.levers == ()
