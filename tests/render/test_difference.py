"""What changes in dollars between two plans: every dollar of both belongs to one resource."""

import io
from dataclasses import replace

import pytest
from plan_fixture import BASE, PEAK, check_golden, make_plan
from rich.console import Console

from tightrope.base.plan import BillLine
from tightrope.render.difference.resources import find_difference
from tightrope.render.difference.tables import difference_page, print_difference

OLD = make_plan()
LARGER = replace(BASE, machine="g6.2xlarge", max_replicas=5, schedule=(4,) * 168)
LINES = (
    BillLine("compute", "chat-base", "on-demand", 2000.0),
    BillLine("compute", "extra", "on-demand", 50.25),
    BillLine("egress", "", "chat", 97.0),
    BillLine("egress", "", "summary", 3.0),
)
NEW = replace(
    OLD, pools=(LARGER, replace(PEAK, name="extra")), cost_lines=LINES, monthly_cost_usd=sum(line.usd for line in LINES)
)


def test_the_differences_add_up_to_that_of_the_totals() -> None:
    found = find_difference(OLD, NEW)
    assert sum(item.more_usd_per_month for item in found.resources) == pytest.approx(
        NEW.monthly_cost_usd - OLD.monthly_cost_usd, abs=1e-9
    )
    assert sum(item.old_usd_per_month for item in found.resources) == pytest.approx(OLD.monthly_cost_usd, abs=1e-9)
    assert len({item.name for item in found.resources}) == len(found.resources)


def test_each_resource_is_what_became_of_it() -> None:
    found = {item.name: item for item in find_difference(OLD, NEW).resources}
    assert found["chat-base"].change == "changed"
    assert found["chat-base"].what == ("g6.xlarge → g6.2xlarge", "replicas 3 → 3–5", "machines on average 3 → 4")
    assert found["extra"].change == "new"
    assert found["chat-peak"].change == "gone"
    assert found["chat-peak"].what[0].endswith("g4dn.xlarge spot, aws us-west-2")
    assert found["chat (egress)"].more_usd_per_month == 97.0


def test_a_plan_does_not_differ_from_itself() -> None:
    found = find_difference(OLD, make_plan())
    assert {item.change for item in found.resources} == {"same"}
    assert found.more_usd_per_month == 0.0


def test_a_change_of_less_than_a_cent_is_none() -> None:
    lines = tuple(replace(line, usd=line.usd + 1e-4) for line in OLD.cost_lines)
    assert {item.change for item in find_difference(OLD, replace(OLD, cost_lines=lines)).resources} == {"same"}


@pytest.mark.parametrize("width", [60, 120])
def test_it_is_shown_on_a_console_of_any_width(width: int) -> None:
    out = io.StringIO()
    print_difference(find_difference(OLD, replace(NEW, status="not proven")), Console(file=out, width=width))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "the new plan is not proven" in text
    assert "+$2,090" not in text
    assert "chat-peak" in text


def test_golden_page() -> None:
    check_golden("difference.md", difference_page(find_difference(OLD, NEW)))
