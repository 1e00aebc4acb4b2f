"""Traces as single requests: classes, keys and blocks beside times and tokens, empty traces, and every refusal with its line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tightrope.base.errors import InputError, TraceError, UnknownNameError
from tightrope.demand.requests import TraceRequests, in_order_of_appearance, load_requests
from tightrope.demand.trace import load_arrivals

Write = Callable[[str, str | bytes], Path]
SHARED = Path(__file__).parents[2].parent / "shared/data/traffic"


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def lists_of(found: TraceRequests) -> list[list[int]]:
    assert found.block_start is not None
    assert found.blocks is not None
    bounds = zip(found.block_start[:-1], found.block_start[1:], strict=True)
    return [found.blocks[first:last].tolist() for first, last in bounds]


# ------------------------------------------------------------------------------------------------------ what the file holds


def test_a_bare_trace_has_no_class_key_or_blocks(write: Write) -> None:
    found = load_requests(write("a.csv", lines("time_s", "3", "3", "7.5")), classes=("chat",))
    assert found.time_s.tolist() == [3, 3, 7.5]
    assert found.input_tokens.tolist() == found.output_tokens.tolist() == [1, 1, 1]
    assert (found.class_index, found.key, found.block_start, found.blocks) == (None, None, None, None)
    assert found.source == "a.csv: 3 requests"


@pytest.mark.parametrize("header", ["class", "traffic_class", "Class Name", "model"])
def test_classes_become_their_indices(write: Write, header: str) -> None:
    path = write("a.csv", lines(f"time_s,{header}", "0,search", '1," chat"', '2,"it\'s {odd}"', "3,chat"))
    found = load_requests(path, classes=("chat", "search", "it's {odd}"))
    assert found.class_index is not None
    assert found.class_index.tolist() == [1, 0, 2, 0]
    assert found.class_index.dtype == np.int64


def test_a_class_column_wins_over_a_model_column(write: Write) -> None:
    found = load_requests(write("a.csv", lines("time_s,model,class", "0,gpt,b", "1,gpt,a")), classes=("a", "b"))
    assert found.class_index is not None
    assert found.class_index.tolist() == [1, 0]


def test_without_classes_or_on_request_the_class_column_is_left_alone(write: Write) -> None:
    path = write("a.csv", lines("time_s,model", "0,gpt", "1,llama"))
    assert load_requests(path).class_index is None
    assert load_requests(path).source == "a.csv: 2 requests"
    assert load_requests(path, classes=("chat",)).class_index is None  # nothing to tell apart, and a model is no class
    named = load_requests(write("b.csv", lines("time_s,class", "0,gpt", "1,llama")))
    assert named.source == "b.csv: 2 requests; column 'class' is not read"
    assert load_requests(path, classes=("chat",), columns={"class": ""}).class_index is None


@pytest.mark.parametrize("header", ["key", "cache_key", "prompt_hash"])
def test_keys_are_numbered_as_they_appear_and_empty_ones_are_none(write: Write, header: str) -> None:
    found = load_requests(write("a.csv", lines(f"time_s,{header}", "0,beef", "1,17", "2,", "3,beef", '4,"a ""b"', "5,17")))
    assert found.key is not None
    assert found.key.tolist() == [0, 1, -1, 0, 2, 1]


def test_keys_of_any_type_are_told_apart(write: Write) -> None:
    keys: list[object] = [7, "seven", {"a": 1}, [1, 2], None, 7.5, 7, {"a": 1}]
    found = load_requests(write("a.jsonl", lines(*(json.dumps({"time_s": at, "key": key}) for at, key in enumerate(keys)))))
    assert found.key is not None
    assert found.key.tolist() == [0, 1, 2, 3, -1, 4, 0, 2]


def test_one_column_may_play_two_roles(write: Write) -> None:
    path = write("a.csv", lines("time_s,input_tokens,output_tokens,class", "0,5,6,a", "1,5,7,b", "2,9,8,a"))
    found = load_requests(path, columns={"key": "input_tokens"}, classes=("a", "b"))
    assert found.input_tokens.tolist() == [5, 5, 9]
    assert found.key is not None
    assert found.key.tolist() == [0, 0, 1]
    again = load_requests(path, columns={"key": "class"}, classes=("a", "b"))
    assert again.key is not None
    assert again.key.tolist() == [0, 1, 0]


def test_blocks_stay_the_numbers_they_are(write: Write) -> None:
    rows = [
        {"time_s": 0, "hash_ids": [4, 5, 2**62]},
        {"time_s": 1, "hash_ids": []},
        {"time_s": 2},
        {"time_s": 3, "hash_ids": [4]},
    ]
    found = load_requests(write("a.jsonl", lines(*map(json.dumps, rows))))
    assert lists_of(found) == [[4, 5, 2**62], [], [], [4]]


def test_blocks_that_are_no_numbers_are_equal_where_the_text_is(write: Write) -> None:
    rows = [{"time_s": 0, "block_hashes": ["0xfe", "0xab"]}, {"time_s": 1, "block_hashes": ["0xab", "7", "0xfe"]}]
    found = load_requests(write("a.jsonl", lines(*map(json.dumps, rows))))
    assert lists_of(found) == [[0, 1], [1, 2, 0]]


@pytest.mark.parametrize("count", [10_000, 100_000])
def test_the_first_prompt_may_be_long(write: Write, count: int) -> None:
    """The first line alone is longer than the head by which a file is judged."""
    rows = [{"time_s": at, "hash_ids": list(range(at, at + count))} for at in (0, 1)]
    found = load_requests(write("a.jsonl", lines(*map(json.dumps, rows))))
    assert lists_of(found) == [row["hash_ids"] for row in rows]
    if count == 10_000:
        plain = lines("time_s,hash_ids", *(f'{row["time_s"]},"{row["hash_ids"]}"' for row in rows))
        assert lists_of(load_requests(write("a.csv", plain))) == [row["hash_ids"] for row in rows]


def test_parquet_json_lines_and_csv_give_the_same_requests(write: Write, tmp_path: Path) -> None:
    rows = """SELECT i * 0.5 AS time_s, i + 1 AS input_tokens, i + 2 AS output_tokens, 'c' || (i % 3) AS class, i % 5 AS key,
        range(i % 4) AS hash_ids FROM range(50) t(i)"""
    duckdb.sql(rows).write_parquet(str(tmp_path / "a.parquet"))
    names = ("time_s", "input_tokens", "output_tokens", "class", "key", "hash_ids")
    records = [dict(zip(names, row, strict=True)) for row in duckdb.sql(rows).fetchall()]
    records = [record | {"time_s": float(record["time_s"])} for record in records]
    write("a.jsonl", lines(*map(json.dumps, records)))
    cells = [",".join(f'"{value}"' if isinstance(value, list) else str(value) for value in r.values()) for r in records]
    write("a.csv", lines(",".join(names), *cells))
    parquet, jsonl, plain = (
        load_requests(tmp_path / f"a.{end}", classes=("c0", "c1", "c2")) for end in ("parquet", "jsonl", "csv")
    )
    for name in TraceRequests.__slots__[:7]:
        assert getattr(parquet, name).tobytes() == getattr(jsonl, name).tobytes() == getattr(plain, name).tobytes(), name
    assert lists_of(parquet)[:5] == [[], [0], [0, 1], [0, 1, 2], []]


def test_a_gzip_of_json_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"timestamp": 27, "input_length": 600, "output_length": 3, "hash_ids": [8, 9]}\n'))
    found = load_requests(path, time_unit="ms")
    assert found.time_s.tolist() == [0.027]
    assert lists_of(found) == [[8, 9]]


def test_the_first_appearance_gives_the_number() -> None:
    values = np.ma.masked_array([5, 9, 5, 1, 9], mask=[False, False, False, True, False])
    assert in_order_of_appearance(values).tolist() == [0, 1, 0, -1, 1]
    assert in_order_of_appearance(np.empty(0, dtype=np.uint64)).tolist() == []


# ---------------------------------------------------------------------------------------------------- the clock and lengths


@pytest.mark.parametrize(("name", "content"), [("a.csv", "time_s,class,key\n"), ("a.jsonl", ""), ("b.jsonl", "\n\n")])
def test_an_empty_trace_has_no_requests(write: Write, name: str, content: str) -> None:
    found = load_requests(write(name, content), classes=("chat",))
    assert len(found.time_s) == len(found.input_tokens) == len(found.output_tokens) == 0
    assert (found.class_index is not None) == (found.key is not None) == (name == "a.csv")
    assert found.source == f"{name}: 0 requests"


def test_an_empty_parquet_has_no_requests(tmp_path: Path) -> None:
    duckdb.sql("SELECT 1.5 AS time_s, [1] AS hash_ids WHERE false").write_parquet(str(tmp_path / "a.parquet"))
    found = load_requests(tmp_path / "a.parquet")
    assert found.time_s.dtype == np.float64
    assert lists_of(found) == []


def test_an_empty_file_still_needs_its_columns(write: Write) -> None:
    with pytest.raises(TraceError, match="no time column, got the columns 'begun'"):
        load_requests(write("a.csv", "begun\n"))
    with pytest.raises(TraceError, match="is empty"):
        load_requests(write("b.csv", ""))


def test_one_request_is_a_trace(write: Write) -> None:
    found = load_requests(write("a.csv", lines("timestamp,input_tokens,output_tokens", "2024-03-01 18:00:00.5,7,8")))
    assert (found.time_s.tolist(), found.input_tokens.tolist(), found.output_tokens.tolist()) == ([64_800.5], [7], [8])
    assert found.source == "a.csv: 1 request"


def test_the_day_of_a_change_to_summer_time_has_no_gap(write: Write) -> None:
    """Berlin, 2024-03-31: 02:00 does not exist. Requests every ten minutes of real time for 24 hours stay ten minutes apart."""
    rows = []
    for step in range(144):
        minute = 10 * step
        local, offset = (minute, "+01:00") if minute < 120 else (minute + 60, "+02:00")
        day, minute_of_day = 31 + local // 1440, local % 1440
        date = "2024-03-31" if day == 31 else "2024-04-01"
        rows.append(f"{date}T{minute_of_day // 60:02d}:{minute_of_day % 60:02d}:00{offset}")
    assert rows[11:13] == ["2024-03-31T01:50:00+01:00", "2024-03-31T03:00:00+02:00"]
    found = load_requests(write("a.csv", lines("timestamp", *rows)))
    np.testing.assert_array_equal(np.diff(found.time_s), 600.0)
    assert len(found.time_s) == 144
    assert found.time_s[0] == 23 * 3600.0  # midnight in Berlin is 23:00 UTC


def test_the_day_of_a_change_from_summer_time_has_no_hour_twice(write: Write) -> None:
    rows = ["2024-10-27T02:30:00+02:00", "2024-10-27T02:30:00+01:00", "2024-10-27T03:30:00+01:00"]
    assert np.diff(load_requests(write("a.csv", lines("timestamp", *rows))).time_s).tolist() == [3600, 3600]


def test_the_clock_is_that_of_load_arrivals_and_everything_is_cut_alike(write: Write) -> None:
    rows = [f"2024-03-0{1 + (18 + hour) // 24} {(18 + hour) % 24:02d}:00:00.5,{hour + 1},2,k{hour}" for hour in range(40)]
    path = write("a.csv", lines("timestamp,input_tokens,output_tokens,key", *rows))
    found, demand = load_requests(path), load_arrivals(path)
    np.testing.assert_array_equal(found.time_s, demand.arrival_s)
    np.testing.assert_array_equal(found.input_tokens, demand.input_tokens)
    assert found.key is not None
    assert found.key.tolist() == list(range(6, 40))
    assert "6 rows of the 6.0 h before the first midnight are left out" in found.source


def test_calendar_times_without_a_whole_day_keep_their_hour(write: Write) -> None:
    calendar = load_requests(write("a.csv", lines("time", "2024-05-06T20:00:00", "2024-05-06T20:10:00")))
    epoch = load_requests(write("b.csv", lines("time_s", "1715025600", "1715026200")))
    number = load_requests(write("c.csv", lines("time_s", "72000", "72600")))
    assert calendar.time_s.tolist() == epoch.time_s.tolist() == number.time_s.tolist() == [72_000.0, 72_600.0]
    assert [found.calendar for found in (calendar, epoch, number)] == [True, True, False]
    assert calendar.zero_s == epoch.zero_s == 1_714_953_600.0
    assert number.zero_s == 0.0


def test_whether_a_file_has_sizes_is_not_read_off_them(write: Write) -> None:
    assert load_requests(write("a.csv", lines("time_s,input_tokens,output_tokens", "0,1,1"))).sized
    assert not load_requests(write("b.csv", lines("time_s", "0"))).sized


def test_blocks_before_the_first_midnight_are_left_out_too(write: Write) -> None:
    rows = [{"timestamp": f"2024-03-0{day} 12:00:00", "hash_ids": [day, 10 * day]} for day in (1, 2, 3)]
    found = load_requests(write("a.jsonl", lines(*map(json.dumps, rows))))
    assert lists_of(found) == [[2, 20], [3, 30]]


# ----------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (lines("time_s", "0", "70", "60"), 4, "goes backwards in row 3: 60 comes after 70"),
        (lines("timestamp", "0", "70"), None, "seconds and milliseconds look alike"),
        (lines("time_s", "-5", "70"), 2, "before its own zero"),
        (lines("time_s", "nan", "70"), 2, "row 1: got nan"),
        (lines("time_s", "5", "inf"), 3, "row 2: got inf"),
        (lines("time_s,key", "5,a", ",b"), 3, "row 2: got an empty cell"),
        (lines("time_s", "5", "noon"), 3, "a row cannot be read"),
        (lines("timestamp", "2024-01-01 00:00:00", "2024-01-32 00:00:00"), 3, "a row cannot be read"),
        (lines("time_s", "5", "1700000000"), None, "days, more than"),
        (lines("time_s,timestamp", "5,6", "70,80"), None, "2 columns could be the time: time_s, timestamp"),
        (lines("time_s,class,traffic_class", "5,a,a"), None, "2 columns could be the class"),
        (lines("begun", "5", "70"), None, "no time column, got the columns 'begun'"),
        (lines("time_s,input_tokens", "5,6", "70,6"), None, "no output_tokens column"),
        (lines("time_s,input_tokens,output_tokens", "5,6,7", "70,-6,7"), 3, "got -6, expected a whole number of tokens"),
        (lines("time_s,input_tokens,output_tokens", "5,6,7.5", "70,6,3"), 2, "got 7.5, expected"),
        (lines("time_s,class", "5,a", "6,"), 3, "column 'class', row 2: got an empty cell, expected a traffic class"),
        (lines("time_s,hash_ids", '5,"[1, 2]"', '6,"[1, 2"'), 3, "a row cannot be read"),
    ],
)
def test_requests_that_can_not_be_trusted_are_refused(write: Write, text: str, line: int | None, said: str) -> None:
    with pytest.raises(TraceError, match=said) as caught:
        load_requests(write("a.csv", text), classes=("a", "b"))
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_an_unknown_class_names_its_row_and_near_names(write: Write) -> None:
    path = write("a.csv", lines("time_s,class", "0,chat", "", "1,summarise", "2,sumarize"))
    with pytest.raises(UnknownNameError, match="row 3: unknown traffic class 'sumarize'\nResolve: use summarise,") as caught:
        load_requests(path, classes=("chat", "summarise"))
    assert caught.value.where is not None
    assert caught.value.where.line == 5


def test_an_empty_item_of_a_list_is_refused_by_its_row(write: Write) -> None:
    rows = [{"time_s": 0, "hash_ids": [1, 2]}, {"time_s": 1, "hash_ids": []}, {"time_s": 2, "hash_ids": [3, None]}]
    with pytest.raises(TraceError, match="row 3: the list has an empty item") as caught:
        load_requests(write("a.jsonl", lines(*map(json.dumps, rows))))
    assert caught.value.where is not None
    assert caught.value.where.line == 3


def test_a_list_that_is_none_is_refused(write: Write) -> None:
    rows = ['{"time_s": 0, "hash_ids": [1, 2]}', '{"time_s": 1, "hash_ids": 7}']
    with pytest.raises(TraceError, match="a row cannot be read"):
        load_requests(write("a.jsonl", lines(*rows)))


def test_a_role_or_column_that_is_not_there_has_near_names(write: Write) -> None:
    path = write("a.csv", lines("time_s,kind", "0,a"))
    with pytest.raises(InputError, match="unknown column role 'clas'\nResolve: use class"):
        load_requests(path, columns={"clas": "kind"})
    with pytest.raises(TraceError, match="the class column 'kinds' is not in the file\nResolve: use 'kind'"):
        load_requests(path, columns={"class": "kinds"}, classes=("a",))


# --------------------------------------------------------------------------------------------------------- published traces


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published traces are not in this checkout")
def test_the_trace_of_mooncake_is_read_whole() -> None:
    found = load_requests(SHARED / "mooncake_synthetic_trace.jsonl.gz", time_unit="ms")
    assert len(found.time_s) == 3993
    assert found.block_start is not None
    np.testing.assert_array_equal(np.diff(found.block_start), np.ceil(found.input_tokens / 512))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published traces are not in this checkout")
def test_the_trace_of_azure_is_read_whole() -> None:
    found = load_requests(SHARED / "azure_llm_2023_conv.csv.gz", classes=("chat",))
    assert len(found.time_s) == 19_366
    assert found.time_s[0] == pytest.approx(18.25 * 3600, abs=120)
    assert found.time_s[-1] - found.time_s[0] == pytest.approx(57 * 60, abs=120)
