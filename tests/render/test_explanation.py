"""Why a plan is as it is, on the terminal and in the report."""

import io
import re

import pytest
from plan_fixture import COST, TODAY, VARIATIONS, make_plan
from rich.cells import cell_len
from rich.console import Console

from tightrope.base.explanation import BreakEven, CostRange, WhatIf
from tightrope.base.plan import Plan
from tightrope.render import explanation_formats
from tightrope.render.explanation import print_explanation
from tightrope.render.report import RENDERER, charts
from tightrope.render.summary import print_summary


def printed(plan: Plan, width: int) -> str:
    file = io.StringIO()
    print_explanation(plan, Console(file=file, width=width, legacy_windows=False))
    return file.getvalue()


def page(plan: Plan) -> str:
    (text,) = RENDERER.render(plan).values()
    return text


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("name", VARIATIONS)
def test_no_line_of_the_explanation_is_wider_than_the_console(name: str, width: int) -> None:
    lines = printed(VARIATIONS[name](), width).splitlines()
    assert max(map(cell_len, lines), default=0) <= width


def test_every_part_is_said() -> None:
    text = " ".join(printed(make_plan(), 140).split())
    assert "spot-share: one point more saves $4.10 a month" in text
    assert "in us-west-2: +$12" in text
    assert "self-hosting beats the API above …: no API serves chat" in text
    assert "traffic +25 %: these pools do not keep the promises" in text
    assert "half goes away (40 %): $1,650 a month, $1,420 without commitments; used 61 %, 80 %" in text
    assert re.search(r"autoscale \$5,611 \$7,420", text)


def test_a_plan_without_anything_to_explain_prints_nothing() -> None:
    assert (
        printed(make_plan(levers=(), binding=(), alternatives=(), break_evens=(), sensitivities=(), futures=(), warnings=()), 80)
        == ""
    )


def test_the_range_stands_beside_the_cost() -> None:
    file = io.StringIO()
    print_summary(make_plan(cost_range=CostRange(690.0, 1010.0)), Console(file=file, width=100, legacy_windows=False))
    line = next(line for line in file.getvalue().splitlines() if "error bands" in line)
    assert "$690–$1,010 / month" in line
    assert "$690–no plan" in page(make_plan(cost_range=CostRange(690.0)))
    assert "error bands" not in page(make_plan(cost_range=None))


def test_the_waterfall_has_a_bar_for_what_a_lever_saves_by_itself() -> None:
    assert charts.alone(make_plan())["autoscale"] == 7420.0
    drawn = charts.waterfall(make_plan()).wide["data"]["values"]
    by_itself = {bar["name"]: (bar["start_usd"], bar["end_usd"]) for bar in drawn if bar["colour"] == charts.ALONE}
    assert by_itself["autoscale"] == (TODAY, TODAY - 7420.0)
    assert "batch" not in by_itself
    steps = [bar for bar in drawn if bar["colour"] in {charts.SAVES, charts.COSTS}]
    assert steps[-1]["end_usd"] == pytest.approx(COST, abs=1.0)
    assert charts.alone(VARIATIONS["more expensive"]()) == {}


def test_the_page_says_what_is_left_out_and_only_then() -> None:
    assert "add --explain" in page(make_plan(explained=False))
    assert "add --explain" not in page(make_plan(explained=True))


def test_the_page_shows_rivals_break_evens_and_futures() -> None:
    text = page(make_plan(explained=True))
    for words in ("The next-best plans", "Break-evens", "Sized on these futures", "What binds", "Other worlds", "pays from"):
        assert words in text


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (
            BreakEven("spot stops paying above", "US dollars an hour", 0.2411, 0.1578),
            "spot stops paying above $0.2411 an hour (now $0.1578 an hour, +53 %)",
        ),
        (
            BreakEven("it pays from", "hours a day", 15.3, 24.0, "here"),
            "it pays from 15.3 hours a day (now 24 hours a day, −36 %, here)",
        ),
        (
            BreakEven("self-hosting wins above", "tokens a day", 3.14e6, 1e5),
            "self-hosting wins above 3.14 M tokens a day (now 100,000 tokens a day, 31.4 times)",
        ),
        (BreakEven("it stays up to", "US dollars an hour"), "it stays up to …: unknown"),
    ],
    ids=["price", "hours", "tokens", "unknown"],
)
def test_a_break_even_is_a_sentence(item: BreakEven, said: str) -> None:
    assert explanation_formats.break_even(item) == said


def test_another_world_is_a_sentence() -> None:
    assert explanation_formats.sensitivity(WhatIf("traffic +25 %", 906.0, 102.0)) == "traffic +25 %: +$102 (+13 %) a month"
    assert explanation_formats.sensitivity(WhatIf("traffic +25 %")) == "traffic +25 %: these pools do not keep the promises"
