"""The terminal summary fits its console, says every figure, and lets no name steer the terminal."""

import io
from pathlib import Path

import pytest
from plan_fixture import VARIATIONS, check_golden, make_plan
from rich.cells import cell_len
from rich.console import Console

from tightrope.base.explained import World
from tightrope.base.plan import Plan
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


@pytest.mark.parametrize(("name", "change"), [("full", "−86 %"), ("dearer", "+37 %"), ("no saving", "±0 %")])
def test_the_change_has_its_sign(name: str, change: str) -> None:
    line = next(line for line in summary_of(VARIATIONS[name]()).splitlines() if "this plan " in line)
    assert line.endswith(f"/ month  {change}")


def test_without_a_fleet_of_today_nothing_is_compared() -> None:
    text = summary_of(VARIATIONS["no fleet of today"]())
    assert "today" not in text
    assert "%" not in next(line for line in text.splitlines() if "this plan " in line)


def test_what_is_not_said_is_counted() -> None:
    text = summary_of(make_plan(sensitivities=tuple(World(f"change {number}", 2061.0, 0.0) for number in range(9))))
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
