"""The terminal summary fits its console, says every figure, and lets no name steer the terminal."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from plan_fixture import VARIATIONS, check_golden, make_plan
from rich.cells import cell_len
from rich.console import Console

from tightrope.base.explanation import WhatIf
from tightrope.base.plan import Plan
from tightrope.render.explanation import print_explanation
from tightrope.render.formats import fleet_parts
from tightrope.render.summary import print_summary

REPORT = Path("out/report.html")


def summary_of(plan: Plan, width: int = 100, *, colour: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=colour, color_system="truecolor" if colour else None, legacy_windows=False
    )
    print_summary(plan, console, 12.3, REPORT)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def test_golden() -> None:
    check_golden("summary.txt", "\n".join(summary_of(make_plan(), width) for width in (80, 100, 140)))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("name", VARIATIONS)
def test_no_line_is_wider_than_the_console(name: str, width: int) -> None:
    lines = summary_of(VARIATIONS[name](), width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any("this plan" in line for line in lines)


def test_colour_adds_nothing_but_colour() -> None:
    assert "\x1b[" in summary_of(make_plan(), colour=True)
    assert "\x1b" not in summary_of(make_plan())


def test_names_are_never_markup_nor_control_codes() -> None:
    text = summary_of(VARIATIONS["hostile names"](), 140)
    assert "\x1b" not in text
    assert "[bold]" in text


def test_a_plan_that_is_not_proven_says_which_promise_misses() -> None:
    text = " ".join(summary_of(VARIATIONS["not proven"](), 140).split())
    assert "NOT PROVEN chat ttft p95 ≤ 1 s: 93.1 % attained, 95 % promised" in text
    assert "✗ chat ttft" in text
    assert "NOT PROVEN" not in summary_of(make_plan())


@pytest.mark.parametrize(("name", "change"), [("full", "−86 %"), ("more expensive", "+37 %"), ("no saving", "±0 %")])
def test_the_change_has_its_sign(name: str, change: str) -> None:
    line = next(line for line in summary_of(VARIATIONS[name]()).splitlines() if "this plan " in line)
    assert line.endswith(f"/ month  {change}")


def test_without_a_fleet_of_today_nothing_is_compared() -> None:
    text = summary_of(VARIATIONS["no fleet of today"]())
    assert "today" not in text
    assert "%" not in next(line for line in text.splitlines() if "this plan " in line)


LONG = "int8-container-instances-1vcpu-2gb-container"


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("name", ["full", "many pools", "long names"])
def test_no_name_is_broken(name: str, width: int) -> None:
    plan = _with_long_names() if name == "long names" else VARIATIONS[name]()
    text = summary_of(plan, width)
    names = {part for pool in plan.pools for part in (pool.name, pool.machine, pool.region, pool.variant, pool.offer)}
    names |= {part for item in plan.evidence for part in (item.traffic_class, item.slo)}
    names |= set(fleet_parts(plan.today_cost_lines))
    assert [part for part in sorted(names) if part not in text] == []


def _with_long_names() -> Plan:
    plan = make_plan()
    pool = replace(plan.pools[0], name=LONG, machine="container-instances-1vcpu-2gb")
    rules = tuple(replace(rule, pool=LONG) if rule.pool == plan.pools[0].name else rule for rule in plan.routing)
    evidence = tuple(replace(item, traffic_class=f"{item.traffic_class}.attachment.us-central1") for item in plan.evidence)
    return replace(plan, pools=(pool, *plan.pools[1:]), routing=rules, evidence=evidence)


UNPLANNED = tuple(f"reserved-{term}y of gcp is not planned with: the catalogue has no such price" for term in (1, 3))
MANY = (
    "no commitment is considered: sizing sees less than a week of traffic",
    "faq/int8 on c7g.large is modelled, ±60%: measure it before you commit",
    "chat/int8 on g6.xlarge is modelled, ±45%: measure it before you commit",
    "spot prices are up to 525 days old (seen 2025-06-28)",
    "on-demand prices are up to 138 days old (seen 2026-07-20)",
    "old prices are renewed by `tightrope prices refresh aws`",
    "on the held-out days the autoscaler's fleet cost $9,083 at month scale, the plan's week $926",
    *(f"remark {number} on the traffic" for number in range(9)),
    "not in either bill: logs and tax",
    *UNPLANNED,
)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_at_most_seven_lines_of_warnings_the_most_costly_first(width: int) -> None:
    lines = [line[15:] for line in _warning_lines(make_plan(warnings=MANY), width)]
    assert len(lines) <= 7
    assert lines[0].startswith("on the held-out days")
    assert lines[-1] == "2 options not planned with: see --explain"
    assert "more warnings: see --explain" in lines[-2]


def test_profiles_and_prices_have_a_line_each() -> None:
    text = "\n".join(_warning_lines(make_plan(warnings=MANY), 140))
    assert "2 modelled profiles, ±45–60 %" in text
    assert "prices up to 525 days old: `tightrope prices refresh aws`" in text


def _warning_lines(plan: Plan, width: int) -> list[str]:
    lines = summary_of(plan, width).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  watch out"))
    last = next(number for number in range(first + 1, len(lines)) if lines[number][2:3] != " ")
    return lines[first:last]


def test_the_explanation_has_every_warning() -> None:
    file = io.StringIO()
    print_explanation(make_plan(warnings=MANY), Console(file=file, width=140, legacy_windows=False))
    text = " ".join(file.getvalue().split())
    assert [warning for warning in MANY if warning not in text] == []


def test_what_is_not_said_is_counted() -> None:
    text = summary_of(make_plan(sensitivities=tuple(WhatIf(f"change {number}", 2061.0, 0.0) for number in range(9))))
    assert "change 3" in text
    assert "change 4" not in text
    assert "and 5 more, in the report" in text


def test_a_commitment_says_what_it_covers_and_whether_it_was_made_already() -> None:
    said = " ".join(summary_of(make_plan()).split())
    assert "compute-savings-plan-1y-no-upfront: $1.950 an hour, 99.2 % used" in said
    assert "instance-savings-plan-1y-no-upfront of us-east-1/g6: $0.400 an hour, made already, 100 % used" in said


def test_levers_that_do_nothing_are_named() -> None:
    assert "nothing here: batch, defer" in summary_of(make_plan())


def test_a_plan_without_evidence_says_so() -> None:
    assert "no promise was replayed" in summary_of(VARIATIONS["bare"]())
