"""The report is one self-contained, accessible page that says what the plan says, whatever the names in it."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_fixture import SHARES, VARIATIONS, check_golden, make_plan

from tightrope.base.plan import BillLine, Lever, Plan
from tightrope.render.html import join, raw, table, tag
from tightrope.render.report import RENDERER, charts
from tightrope.render.svg import draw_chart

VOID = {"meta"}


class Page(HTMLParser):
    """Checks that elements nest, and collects what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect what a reader sees."""
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        """Return what a reader sees, in order."""
        return " ".join(" ".join(self.text).split())


def report_of(plan: Plan) -> str:
    return RENDERER.render(plan)[Path("report.html")]


def test_golden() -> None:
    check_golden("report.html", report_of(make_plan()))


@pytest.mark.parametrize("name", VARIATIONS)
def test_the_page_is_whole_and_loads_nothing(name: str) -> None:
    text = report_of(VARIATIONS[name]())
    page = Page(text)
    assert page.tags["h1"] == 1
    assert page.tags["caption"] == page.tags["table"] > 0
    assert not page.tags.keys() & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "use",
        "image",
        "foreignobject",
    }
    links = [(tag, name) for tag, name, value in page.attributes if "//" in value and not name.startswith("xmlns")]
    assert links == []
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in {"src", "href", "xlink:href"}]
    assert "url(" not in text
    assert "@import" not in text


def test_names_are_text() -> None:
    text = report_of(VARIATIONS["hostile names"]())
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;�[2J&quot;[bold]" in text


@settings(max_examples=8, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_name_leaves_the_page_whole(name: str) -> None:
    line = BillLine(name, name, name, 5.0)
    pool = replace(make_plan().pools[1], name=name, machine=name)
    plan = make_plan(workload=name, cost_lines=(line,), pools=(pool,), levers=(Lever(name, 3.0, name),), warnings=(name,))
    assert Page(report_of(plan)).tags["h1"] == 1


def test_every_section_answers_its_question() -> None:
    page = Page(report_of(make_plan()))
    questions = (
        "The promises",
        "The bill",
        "Watch out",
        "What saves",
        "What runs",
        "The week",
        "Who answers what",
        "Commitments",
    )
    places = [page.words.index(question) for question in (*questions, "What it rests on", "How firm it is", "What was refused")]
    assert places == sorted(places)
    for figure in ("$15,076", "$2,061", "−86 %", "$156,182 a year less", "$1,990", "3.4 %", "±25 %", "99.2 %", "1,481,207"):
        assert figure in page.words.replace("\xa0", " ")


def test_answer_replay_promises_and_bill_precede_the_warnings() -> None:
    words = Page(report_of(make_plan())).words.replace("\xa0", " ")
    order = (
        "this plan",
        "Fleet 3 × g6.xlarge on-demand · 0–6 × g4dn.xlarge spot",
        "as it ran in the replay",
        "The promises",
        "The bill by cost driver",
        "Watch out",
        "What saves",
    )
    places = [words.lower().index(text.lower()) for text in order]
    assert places == sorted(places)


@pytest.mark.parametrize("number", [1, 7, 8, 12])
def test_at_most_seven_warnings_stand_open(number: int) -> None:
    plan = make_plan(warnings=tuple(f"item {index} costs ${index}0 more" for index in range(1, number + 1)))
    text = report_of(plan)
    block = text[text.index("Watch out") : text.index("What saves")]
    shown, _, folded = block.partition("<details>")
    assert re.findall(r"<li>item (\d+) ", shown) == [str(index) for index in range(number, max(0, number - 7), -1)]
    assert len(re.findall("<li>", folded)) == max(0, number - 7)
    assert (f"<summary>{number - 7} more warning" in folded) == (number > 7)


def test_grouped_and_unplanned_warnings_are_folded_in_full() -> None:
    profiles = tuple(f"m{index} on g6.xlarge is modelled, ±{index} %: measure it" for index in (20, 30))
    unplanned = "azure/spot is not planned with: no price"
    text = report_of(make_plan(warnings=(*profiles, unplanned, "plain")))
    shown, _, folded = text[text.index("Watch out") : text.index("What saves")].partition("<details>")
    assert "2 modelled profiles" in shown
    assert "<summary>3 more warnings, in full</summary>" in folded
    assert all(name in folded and name not in shown for name in ("m20 on", "m30 on", "azure/spot is not planned with"))


def test_each_pool_has_a_list_of_its_settings() -> None:
    plan = make_plan()
    text = report_of(plan)
    for pool in plan.pools:
        settings = text.partition(f"Settings of {pool.name}</h3>")[2].partition("</dl>")[0]
        assert settings.startswith('<dl class="settings">')
        assert f"<dt>largest batch</dt><dd>{pool.batching['max_batch']:g}</dd>" in settings


def test_sections_without_content_are_left_out() -> None:
    words = Page(report_of(VARIATIONS["bare"]())).words
    for title in ("Commitments", "Watch out", "Who answers what", "What it rests on", "How firm it is", "What was refused"):
        assert title not in words
    assert "No promise was replayed: nothing here is proven." in words


def test_what_is_not_proven_is_said_first() -> None:
    words = Page(report_of(VARIATIONS["not proven"]())).words.replace("\xa0", " ")
    assert "✗ not proven" in words
    assert words.index("chat ttft p95 ≤ 1 s: 93.1 % attained, 95 % promised") < words.index("The bill")
    assert "✗ not proven" not in Page(report_of(make_plan())).words


def test_a_dearer_plan_is_called_dearer() -> None:
    words = Page(report_of(VARIATIONS["more expensive"]())).words.replace("\xa0", " ")
    assert "+37 %" in words
    assert "$6,734 a year more" in words
    assert "+$561" in words


def test_without_a_fleet_of_today_nothing_is_compared() -> None:
    page = Page(report_of(VARIATIONS["no fleet of today"]()))
    assert "instead of" not in page.words
    assert "What saves" not in page.words
    assert "this plan" in page.words
    assert not [value for _, name, value in page.attributes if name == "data-label" and value == "today"]


def test_the_steps_end_at_the_plan() -> None:
    plan = make_plan(levers=(Lever("spot", 1000.0), Lever("defer", -30.0)))
    steps = charts.steps(plan)
    assert [name for name, _, _ in steps] == ["spot", "defer", "everything else"]
    assert plan.today_monthly_cost_usd - sum(saving for _, saving, _ in steps) == pytest.approx(plan.monthly_cost_usd, abs=1e-9)


def test_the_waterfall_is_continuous() -> None:
    values = charts.waterfall(make_plan()).wide["data"]["values"][
        ::2
    ]  # the second bar of each row is what a lever saves by itself
    steps = values[1:-1]
    assert values[0]["end_usd"] == steps[0]["start_usd"]
    assert [step["end_usd"] for step in steps[:-1]] == [step["start_usd"] for step in steps[1:]]
    assert steps[-1]["end_usd"] == pytest.approx(values[-1]["end_usd"], abs=0.5)


def test_capacity_is_stacked_in_the_order_of_the_pools() -> None:
    plan = make_plan()
    chart = charts.capacity(plan)
    assert chart is not None
    assert [name for _, name in chart.legend] == [*SHARES, "demand"]
    values = [value for value in chart.wide["data"]["values"] if value["block"] == 34]
    assert [value["foot"] for value in values[1:-1]] == [value["top"] for value in values[:-2]]
    assert values[-2]["top"] == pytest.approx(sum(plan.charts[f"capacity:{name}"][34] for name in SHARES))
    assert values[-1]["top"] == pytest.approx(plan.charts["demand:chat"][34] + plan.charts["demand:summary"][34])


def test_two_labels_cut_to_the_same_text_stay_two_rows() -> None:
    lines = tuple(BillLine(f"a driver with a very long name {end}", "", "", usd) for end, usd in (("one", 3.0), ("two", 2.0)))
    chart = charts.bill(make_plan(cost_lines=lines, today_cost_lines=(), today_monthly_cost_usd=0.0))
    assert {value["row"] for value in chart.wide["data"]["values"]} == {0, 1}
    assert draw_chart(chart.wide).count("a driver with a ver…") == 2


def test_a_drawing_scales_and_is_the_same_twice() -> None:
    chart = charts.machines(make_plan())
    assert chart is not None
    drawing = draw_chart(chart.narrow)
    assert drawing.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 ')
    assert draw_chart(chart.narrow) == drawing


def test_the_drawing_escapes() -> None:
    assert "<b>" not in draw_chart(charts.bill(make_plan(cost_lines=(BillLine("<b>'\"]; x", "", "", 1.0),))).wide)


def test_markup_is_only_what_was_built() -> None:
    assert tag("p", "<", raw("<"), class_='"') == '<p class="&quot;">&lt;<</p>'
    assert join(["&", tag("b")]) == "&amp;<b></b>"


def test_a_table_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        table("t", ("a", "b"), [("1",)])


def test_ink_is_legible_on_paper_in_both_modes() -> None:
    text = report_of(make_plan())
    for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for ink in ("ink", "quiet", "accent", "good", "bad"):
            assert contrast(colours[ink], colours["card"]) >= 4.5, ink
        for ink, soft in (
            ("good", "good-soft"),
            ("bad", "bad-soft"),
            ("warn", "warn-soft"),
            ("ink", "warn-soft"),
            ("ink", "bad-soft"),
        ):
            assert contrast(colours[ink], colours[soft]) >= 4.5, ink


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
