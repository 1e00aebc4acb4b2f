"""Names that targets accept, whatever people wrote: in form, stable, and never two alike."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tightrope.render.infra.names import MOST, label_value, pascal, slug

DNS = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
plain = st.from_regex(r"[a-z]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True)
texts = st.one_of(st.text(), plain, st.sampled_from(["", "-", "1", "x" * 300, "Ⅷ ½", "İ", "a--b", "a\n", "🧨", "\ud800"]))


@given(texts, st.integers(8, 63))
def test_a_slug_is_a_dns_label(text: str, most: int) -> None:
    name = slug(text, most)
    assert DNS.fullmatch(name)
    assert len(name) <= most
    assert "--" not in name


@given(texts)
def test_a_slug_is_its_own_slug(text: str) -> None:
    assert slug(slug(text)) == slug(text)


@given(texts, texts)
def test_two_texts_have_two_slugs(one: str, other: str) -> None:
    assume(one != other)
    assume(one not in {slug(other), other} and other != slug(one))
    assert slug(one) != slug(other)


@given(st.integers(1, 200), st.integers(1, 200))
def test_long_names_with_one_beginning_stay_apart(one: int, other: int) -> None:
    assume(one != other)
    assert slug("pool-" * 20 + str(one)) != slug("pool-" * 20 + str(other))


@given(plain)
def test_what_is_safe_is_kept(text: str) -> None:
    assume("--" not in text)
    assert slug(text) == text
    assert label_value(text) == text


@given(texts)
def test_a_label_is_one_that_kubernetes_takes(text: str) -> None:
    value = label_value(text)
    assert LABEL.fullmatch(value)
    assert len(value) <= 63
    assert label_value(value) == value


@given(texts, texts)
def test_two_slugs_have_two_logical_names(one: str, other: str) -> None:
    first, second = slug(one), slug(other)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", pascal(first))
    assert (pascal(first) == pascal(second)) == (first == second)


@pytest.mark.parametrize(("one", "other"), [("a-b", "ab"), ("a-1", "a1"), ("a-1b", "a1-b"), ("x-1-2", "x-12")], ids=str)
def test_logical_names_keep_where_words_begin(one: str, other: str) -> None:
    assert pascal(one) != pascal(other)
    assert len(pascal(one)) <= MOST + 6
