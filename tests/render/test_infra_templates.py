"""Values in templates: always one whole literal, which reads back as what it was, or refused."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.render.infra.templates import LITERALS, check_text, hcl_literal, json_file, yaml_literal

texts = st.one_of(
    st.text(),
    st.sampled_from(
        ['"', "\\", "${x}", "$${x}", "%{if x}", "%%{", "a\nb", "{{ x }}", "<< x >>", "'", "#", "null", "1e3", "🧨", "", "- a"]
    ),
)
values = st.recursive(
    st.one_of(texts, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


def literal_or_refused(language: str, value: object) -> str | None:
    try:
        return LITERALS[language](value)
    except InputError:
        return None


@given(values)
def test_yaml_and_json_read_what_was_written(value: object) -> None:
    text = literal_or_refused("yaml", value)
    if text is not None:
        assert json.loads(text) == value
        assert yaml.safe_load(f"at: {text}") == {"at": value}
        assert "\n" not in text
        assert json.loads(json_file(value)) == value


@given(texts)
def test_what_is_refused_is_what_no_file_holds(text: str) -> None:
    """What people can see is never refused, and what is accepted is text that every target takes."""
    written = literal_or_refused("yaml", text)
    if text.isprintable():
        assert written is not None
    if written is not None:
        assert written.encode("utf-8").decode("utf-8") == written


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "\uffff", "\ud800"], ids=ascii)
@pytest.mark.parametrize("language", LITERALS)
def test_what_targets_write_differently_is_refused(language: str, bad: str) -> None:
    for value in (f"a{bad}b", [f"{bad}"], {bad: 1}, {"a": {"b": (bad,)}}):
        with pytest.raises(InputError, match="cannot be written") as caught:
            LITERALS[language](value)
        assert "rename it" in str(caught.value.resolve)


@given(texts)
def test_hcl_holds_no_template(text: str) -> None:
    """Read as HCL's scanner does: ``$${`` and ``%%{`` stand for themselves, ``${`` and ``%{`` would begin a template."""
    written = literal_or_refused("hcl", text)
    if written is None:
        return
    read, begins = unescaped(written)
    assert not begins
    assert json.loads(read) == text


def unescaped(literal: str) -> tuple[str, bool]:
    """Return an HCL literal without its escapes, and whether a template begins in it."""
    read, at = "", 0
    while at < len(literal):
        if literal[at : at + 3] in {"$${", "%%{"}:
            read, at = read + literal[at + 1 : at + 3], at + 3
        elif literal[at : at + 2] in {"${", "%{"}:
            return read, True
        else:
            read, at = read + literal[at], at + 1
    return read, False


def test_figures_that_are_none_are_not_written() -> None:
    for figure in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            yaml_literal(figure)


def test_plain_text_passes() -> None:
    check_text("tab\tand\nline end, 🧨 and é")
    assert hcl_literal("100 %") == '"100 %"'
