"""YAML with lines: what values mean, and what is refused."""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.demand.yaml_document import MAX_BYTES, read_document

Write = Callable[[str, str | bytes], Path]

BOMB = "a: &a [1,2,3,4,5,6,7,8,9,10]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_values_follow_the_core_schema_and_keep_their_lines(write: Write) -> None:
    document = read_document(write("a.yaml", 'a: 7.0e9\nb:\n  - 22:00\n  - "5"\n  - on\nc: {d: true, e: ~, f: 010}\n'))
    assert document.value == {"a": 7e9, "b": ["22:00", "5", "on"], "c": {"d": True, "e": None, "f": 10}}
    assert [document.where(*loc).line for loc in [("a",), ("b", 1), ("c", "e"), ("b", 7, "x"), ()]] == [1, 4, 6, 2, 1]


def test_not_a_number_is_a_number_so_that_it_can_be_refused_later(write: Write) -> None:
    value = read_document(write("a.yaml", "[.nan, -.inf, .INF]")).value
    assert isinstance(value, list)
    assert isinstance(value[0], float)
    assert math.isnan(value[0])
    assert value[1:] == [-math.inf, math.inf]


def test_an_alias_stands_for_its_anchor(write: Write) -> None:
    assert read_document(write("a.yaml", "a: &x [1]\nb: *x\n")).value == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' appears twice, first in line 1"),
        ("a: [1\n", 2, "not valid YAML"),
        ("a:\n\t- b\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 1\n", 2, "second document"),
        ("a: *b\n", 1, "stands for nothing"),
        ("a: &a [*a]\n", 1, "stands for nothing"),
        ("? [a]\n: b\n", 1, "key is not plain"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("[" * 50_000, 1, "too many or too deeply"),
        ("- " * 50_000 + "x", 1, "too many or too deeply"),
        (BOMB, 6, "too many or too deeply"),
        (b"a: \xff\n", None, "not UTF-8"),
        (b"a: \x00\n", None, "not valid YAML"),
    ],
)
def test_what_is_no_plain_document_is_refused_by_its_line(
    write: Write, content: str | bytes, line: int | None, said: str
) -> None:
    path = write("a.yaml", content)
    with pytest.raises(InputError, match=said) as caught:
        read_document(path)
    assert caught.value.where is not None
    assert (caught.value.where.path, caught.value.where.line) == (path, line)


def test_a_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr(Path, "read_text", pytest.fail)
    with pytest.raises(InputError, match="expected at most 5 MB"):
        read_document(path)


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tightrope init"):
        read_document(tmp_path / "none.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml")


WORDS = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=10)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=PLAIN)
def test_json_is_read_as_json_is_read(folder: Path, value: object) -> None:
    path = folder / "plain.yaml"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert read_document(path).value == value


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab:-[]{},&*!|>'\"#%@`?~ \n\t0.e"), max_size=60) | st.text(max_size=40))
def test_any_text_is_read_or_refused(folder: Path, text: str) -> None:
    path = folder / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(InputError):
        read_document(path)
