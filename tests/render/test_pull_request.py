"""The plan as the text of a pull request."""

import re

from hypothesis import given
from hypothesis import strategies as st
from plan_fixture import VARIATIONS, check_golden

from tightrope.render.markdown import escape_text
from tightrope.render.pull_request import RENDERER


def text_of(variation: str) -> str:
    """Return the page of one of the fixture's plans."""
    (text,) = RENDERER.render(VARIATIONS[variation]()).values()
    return text


def test_golden() -> None:
    check_golden("pull-request.md", text_of("full"))


def test_a_plan_that_is_not_proven_says_so_first() -> None:
    assert "NOT PROVEN" in text_of("not proven").splitlines()[2]


def test_no_name_becomes_markup() -> None:
    text = text_of("hostile names")
    assert not re.search(r"(?<!\\)<script", text)
    rows = [line for line in text.partition("## What changes")[2].partition("## ")[0].splitlines() if line.startswith("| ")]
    assert {line.count(" | ") for line in rows} == {5}


@given(st.text())
def test_what_is_said_stays_on_one_line_and_is_no_markup(text: str) -> None:
    shown = escape_text(text)
    assert "\n" not in shown
    assert "\r" not in shown
    assert not re.search(r"[@#](?!<!-- -->)", shown), "GitHub calls nobody"
    shown = shown.replace("<!-- -->", "")
    for sign in "`*[]<>|@#":
        assert shown.count(sign) == shown.count(f"\\{sign}")
