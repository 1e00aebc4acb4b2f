"""Files as columns: what is read, and what is refused with its place."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tightrope.base.errors import InputError, TraceError
from tightrope.demand.trace_tables import is_number, open_table, read_columns

Write = Callable[[str, str | bytes], Path]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_is_read_whatever_its_delimiter(write: Write, delimiter: str) -> None:
    path = write("a.csv", delimiter.join("ab") + "\n" + delimiter.join("12") + "\n")
    first, second = read_columns(open_table(path), ["a", "b"])
    assert (first[0], second[0]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "a,b\r\n1,2\r\n3,4\r\n"),
        ("a.csv", "\ufeffa,b\n1,2\n3,4\n"),
        ("a.csv", 'a,b\n"1",2\n\n3,4'),
        ("a.tsv", "a\tb\n1\t2\n3\t4\n"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0)),
        ("a.jsonl", '{"a": 1, "b": 2, "other": [1]}\n{"a": 3, "b": 4}\n'),
        ("a.ndjson.gz", gzip.compress(b'{"b": 2, "a": 1}\n\n{"b": 4, "a": 3}\n', mtime=0)),
    ],
)
def test_text_formats_give_the_same_columns(write: Write, name: str, content: str | bytes) -> None:
    first, second = read_columns(open_table(write(name, content)), ["a", "b"])
    np.testing.assert_array_equal(first, [1, 3])
    np.testing.assert_array_equal(second, [2, 4])


def test_parquet_is_read_and_its_times_are_seconds_since_1970(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = "SELECT TIMESTAMP '1970-01-02 00:00:00.5' + INTERVAL (i) SECOND AS at, i::SMALLINT AS n FROM range(3) t(i)"
    duckdb.sql(rows).write_parquet(str(path))
    table = open_table(path)
    at, count = read_columns(table, ["at", "n"])
    assert table.is_time("at")
    assert not table.is_time("n")
    np.testing.assert_allclose(at, [86400.5, 86401.5, 86402.5])
    np.testing.assert_array_equal(count, [0, 1, 2])


def test_calendar_times_of_any_spelling_become_seconds(write: Write) -> None:
    path = write("a.csv", "at\n1970-01-01 00:00:01.2500000\n1970-01-01T00:00:02Z\n1970-01-01T02:00:03+02:00\n")
    np.testing.assert_allclose(read_columns(open_table(path), ["at"])[0], [1.25, 2, 3])


def test_times_do_not_depend_on_the_zone_of_the_machine(write: Write) -> None:
    path = write("a.csv", "at\n1970-01-01 00:00:01\n")
    code = "import sys, pathlib; from tightrope.demand.trace_tables import *"
    code += "; print(read_columns(open_table(pathlib.Path(sys.argv[1])), ['at']))"
    env = os.environ | {"TZ": "America/New_York"}
    done = subprocess.run([sys.executable, "-c", code, path], env=env, capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    assert done.stdout == "[array([1.])]\n"


def test_names_with_quotes_and_patterns_are_only_names(write: Write) -> None:
    path = write("od'd [1] *.csv", "a \"x,b;'c\n1,2\n")
    with pytest.raises(TraceError, match=r"quote|not a CSV"):
        read_columns(open_table(write("q.csv", 'a,"b\n1,2\n')), ["a"])
    assert read_columns(open_table(path), ["b;'c"])[0][0] == 2.0


@pytest.mark.parametrize(
    ("name", "content", "line", "said"),
    [
        ("a.csv", "", None, "is empty"),
        ("a.csv", "\n\n", 1, "is blank"),
        ("a.csv", "a,b\n", 2, "has no rows"),
        ("a.csv", "1,2\n3,4\n", 1, "values, not column names"),
        ("a.csv", "a,a\n1,2\n", 1, "twice"),
        ("a.csv", "a,,b\n1,2,3\n", 1, "no name"),
        ("a.csv", "a,b\n1,2\n\n3,x\n", 4, '"x"'),
        ("a.csv", "a,b\n1,2\n\n3\n", 4, "Expected Number of Columns: 2"),
        ("a.csv", "a,b\n1,2\n3,\n", 3, "empty cell"),
        ("a.csv", "a,b\n1,2\n3,nan\n", 3, "got nan"),
        ("a.csv", "a,b\n1,2\n\n3,-inf\n", 4, "got -inf"),
        ("a.csv", "a,b\n1,2\n" + "3,4\n" * 20_000 + "5,\xff\n", 20_003, "cannot be read"),
        ("a.csv", b"a,b\n1,\xff\n", 2, "not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), 1, "not UTF-8"),
        ("a.csv", b"a,b\n1,\x00\n", 2, "binary"),
        ("a.csv", "x" * 4_300_000, 1, "first line is longer"),
        ("a.jsonl", '{"a": 1, "b": "' + "x" * 4_300_000 + '"}', 1, "first line is longer"),
        ("a.csv", "x" * 70_000, 2, "no rows"),
        ("a.csv", b"PAR1" + bytes(100), None, "Parquet, the name is not"),
        ("a.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), None, "gzip, the name is not"),
        ("a.csv.gz", "a,b\n1,2\n", None, "name says gzip"),
        ("a.csv.gz", b"\x1f\x8b" + b"z" * 50, None, "cannot be read"),
        ("a.parquet", "a,b\n1,2\n", None, "name says Parquet"),
        ("a.parquet", b"PAR1" + b"x" * 99 + b"PAR1", None, "cannot be read"),
        ("a.xlsx", "a,b\n1,2\n", None, "expected one of .csv"),
        ("a.parquet.gz", "", None, "expected one of .csv"),
        ("a", "a,b\n1,2\n", None, "without extension"),
        ("a.jsonl", "[1, 2]\n", 1, "expected a JSON object"),
        ("a.jsonl", "{}\n", 1, "with keys"),
        ("a.jsonl", "\nnot json\n", 2, "expected a JSON object"),
        ("a.jsonl", '{"a": 1, "b": 2}\n{"a": 3}\n', 2, "empty cell"),
        ("a.jsonl", '{"a": 1, "b": 2}\n\n{"a": 3, "b": "x"}\n', 3, "x"),
        ("a.jsonl", "[" * 60_000 + "\n", 1, "expected a JSON object"),
    ],
)
def test_what_is_no_table_is_refused_by_its_line(
    write: Write, name: str, content: str | bytes, line: int | None, said: str
) -> None:
    path = write(name, content.encode("latin-1") if isinstance(content, str) and "\xff" in content else content)
    with pytest.raises(InputError, match=said) as caught:
        read_columns(open_table(path), ["a", "b"])
    assert caught.value.where is not None
    assert caught.value.where.path == path
    if line is not None:
        assert caught.value.where.line == line
    assert "Resolve: " in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        open_table(tmp_path)


def test_a_gigabyte_of_garbage_is_judged_by_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(2**30)
    monkeypatch.setattr("tightrope.demand.trace_tables._query", pytest.fail)
    with pytest.raises(TraceError, match="binary"):
        open_table(path)


@pytest.mark.parametrize(
    ("text", "number"), [("1", True), ("-1.5e3", True), (" 7 ", True), ("nan", True), ("1,5", False), ("", False)]
)
def test_is_number(text: str, number: bool) -> None:
    assert is_number(text) is number
