"""The comparison on the terminal and as JSON, from rows made by hand."""

import io
import json

import pytest
from rich.cells import cell_len
from rich.console import Console

from tightrope.base.plan import Evidence
from tightrope.compare.comparison import OURS, Comparison, PoolUse, Row
from tightrope.render.comparison import comparison_as_dict, print_comparison

KEPT = Evidence("chat", "ttft p95 ≤ 4 s", "days 13–14", 100, 0.991, 0.98, 1.0, 0.95, seeds=(1, 2), verdict="proven")
MISSED = Evidence("chat", "ttft p95 ≤ 4 s", "days 13–14", 100, 0.942, 0.93, 0.95, 0.95, seeds=(1, 2), verdict="not proven")
POOL = PoolUse(2, 5, "g6.xlarge", "us-east-1", "assistant/int8", "on-demand")
ROWS = (
    Row("hpa", "an autoscaler", 1.0, (POOL,), 2000.0, 2100.0, (MISSED,)),
    Row("hpa", "an autoscaler", 1.12, (POOL,), 2400.0, 2500.0, (KEPT,)),
    Row("spot-fallback", "spot and one more", 1.0, (POOL,) * 6, 900.0, 950.0, (KEPT,), breaks="all rests on spot"),
    Row("look-back", "with a commitment", 1.0, note="no commitment is allowed"),
    Row(OURS, "every lever together", 1.0, (POOL,), 1000.0, 1000.0, (KEPT,)),
)


def printed(comparison: Comparison, width: int = 140) -> str:
    """Return what a console of that width shows."""
    file = io.StringIO()
    print_comparison(comparison, Console(file=file, width=width, legacy_windows=False))
    return file.getvalue()


def of(*rows: Row, workload: str = "small") -> Comparison:
    """Return a comparison."""
    return Comparison(workload, "days 13–14", (1, 2), rows)


def line_of(text: str, start: str) -> str:
    """Return the first line of the table that begins so."""
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def test_a_row_shows_its_bill_its_promises_and_whether_it_meets_all() -> None:
    text = printed(of(*ROWS))
    assert [part in line_of(text, "hpa ×1.12") for part in ("$2,400", "$2,500", "99.1 %", "✓", "2–5 × g6.xlarge")] == [True] * 5
    assert "94.2 %" in line_of(text, "hpa ")
    assert "✗" in line_of(text, "hpa ")
    assert "✗" in line_of(text, "spot-fallback")
    assert "and 2 more" in text
    assert "–" in line_of(text, "look-back")
    assert "no commitment is allowed" in text
    assert "all rests on spot" in text


def test_the_verdict_is_about_the_cheapest_that_meets_all() -> None:
    assert "tightrope costs 40.0 % of the cheapest other plan that meets all, hpa ×1.12" in printed(of(*ROWS))
    assert "no other plan keeps every promise" in printed(of(ROWS[0], ROWS[4]))
    assert "the cheapest that meets all: hpa ×1.12" in printed(of(*ROWS[:4]))
    assert "costs" not in printed(of(ROWS[4]))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_of_the_table_is_wider_than_the_console(width: int) -> None:
    assert max(map(cell_len, printed(of(*ROWS), width).splitlines())) <= width


def test_names_can_not_steer_the_terminal() -> None:
    assert "\x1b" not in printed(of(*ROWS, workload="a\x1b[2Jb"))


def test_json_has_every_row_with_its_verdict_and_the_ratio() -> None:
    found = json.loads(json.dumps(comparison_as_dict(of(*ROWS))))
    assert found["schema_version"] == 1
    assert found["ratio"] == 0.4
    assert found["cheapest_peer"] == "hpa ×1.12"
    assert [row["meets_all"] for row in found["rows"]] == [False, True, False, False, True]
    assert [row["proven"] for row in found["rows"]] == [False, True, True, False, True]
    assert "planned_usd_per_month" not in found["rows"][3], "unknown is left out, never zero"
    assert found["rows"][0]["evidence"][0]["slo"] == "ttft p95 ≤ 4 s"


def test_json_without_a_peer_that_meets_all_has_no_ratio() -> None:
    found = comparison_as_dict(of(ROWS[0], ROWS[4]))
    assert "ratio" not in found
    assert "cheapest_peer" not in found
