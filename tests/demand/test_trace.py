"""Traces as demands: columns found by name, clocks, gaps, and every refusal with its line."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tightrope.base.errors import TraceError
from tightrope.demand import trace_tables
from tightrope.demand.trace import load_arrivals, load_rates, load_sizes

Write = Callable[[str, str | bytes], Path]


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


# ---------------------------------------------------------------------------------------------------------- single requests


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:15:{:02d}.0005900,374,44"),
        ("timestamp_ms,input_length,output_length", "{}000,374,44"),
        ("arrival_s,prompt_tokens,completion_tokens", "{},374,44"),
        ("Arrival Time (s),Prompt Tokens,decode-tokens", "17000000{:02d},374,44"),
        ("ts,output_tokens,input_tokens", "17000000{:02d}000,44,374"),
    ],
)
def test_published_column_names_are_found(write: Write, header: str, row: str) -> None:
    late = row.replace(":15:", ":16:").format(1) if ":15:" in row else row.format(61)
    demand = load_arrivals(write("a.csv", lines(header, row.format(0), row.format(30), row.format(59), late)))
    assert demand.arrival_s.tolist() == pytest.approx([0, 30, 59, 61])
    assert demand.rate_per_s.tolist() == pytest.approx([3 / 60, 1 / 60])
    assert set(demand.input_tokens) == {374}
    assert set(demand.output_tokens) == {44}


def test_the_users_own_columns_and_unit_win(write: Write) -> None:
    path = write("a.csv", lines("time_s,when,input_tokens,output_tokens,x", "9,0,1,2,5", "9,61000,1,2,6"))
    columns = {"time": "when", "input_tokens": "x"}
    demand = load_arrivals(path, columns=columns, time_unit="ms")
    assert demand.arrival_s.tolist() == [0.0, 61.0]
    assert demand.input_tokens.tolist() == [5, 6]


def test_a_trace_without_tokens_has_sizes_of_one(write: Write) -> None:
    demand = load_arrivals(write("a.csv", lines("time_s", "0", "61")))
    assert demand.input_tokens.tolist() == demand.output_tokens.tolist() == [1, 1]


def test_parquet_and_json_lines_give_the_same_demand(write: Write, tmp_path: Path) -> None:
    rows = "SELECT i * 7.5 AS time_s, i + 1 AS input_tokens, i + 2 AS output_tokens FROM range(20) t(i)"
    duckdb.sql(rows).write_parquet(str(tmp_path / "a.parquet"))
    records = [f'{{"time_s": {7.5 * i}, "input_tokens": {i + 1}, "output_tokens": {i + 2}}}' for i in range(20)]
    first, second = load_arrivals(tmp_path / "a.parquet"), load_arrivals(write("a.jsonl", lines(*records)))
    np.testing.assert_array_equal(first.arrival_s, second.arrival_s)
    np.testing.assert_array_equal(first.input_tokens, second.input_tokens)
    assert first.requests == second.requests == pytest.approx(20)


def test_a_long_calendar_trace_begins_at_its_first_midnight(write: Write) -> None:
    rows = [f"2024-03-0{1 + (18 + hour) // 24} {(18 + hour) % 24:02d}:00:00.5" for hour in range(40)]
    demand = load_arrivals(write("a.csv", lines("timestamp", *rows)))
    assert demand.arrival_s[0] == pytest.approx(0.5)
    assert len(demand.arrival_s) == 34
    assert "6 rows of the 6.0 h before the first midnight are left out" in demand.source


def test_a_short_calendar_trace_counts_from_its_start(write: Write) -> None:
    demand = load_arrivals(write("a.csv", lines("timestamp", "2024-03-01 18:00:00.5", "2024-03-01 19:00:00")))
    assert demand.arrival_s.tolist() == [0.0, 3599.5]
    assert "counted from its start" in demand.source


def test_quiet_before_the_first_request_of_a_relative_trace_is_quiet(write: Write) -> None:
    demand = load_arrivals(write("a.csv", lines("time_s", "7200.5", "7300")))
    assert demand.arrival_s[0] == pytest.approx(7200.5)
    assert demand.rate_per_s[0] == 0


@pytest.mark.parametrize(("cv", "tolerance"), [(1.0, 0.02), (0.5, 0.02), (2.0, 0.1)])
def test_the_variation_between_arrivals_is_measured(write: Write, cv: float, tolerance: float) -> None:
    gaps = np.random.default_rng(7).gamma(1 / cv**2, cv**2, 20_000) / 20
    text = lines("time_s", *(f"{time:.6f}" for time in np.cumsum(gaps)))
    assert load_arrivals(write("a.csv", text)).interarrival_cv == pytest.approx(cv, abs=tolerance)


def test_whole_seconds_do_not_pose_as_bursts(write: Write) -> None:
    times = np.sort(np.random.default_rng(7).integers(0, 200, 4000))
    demand = load_arrivals(write("a.csv", lines("time_s", *map(str, times))))
    assert demand.interarrival_cv == 1.0
    assert "whole seconds" in demand.source


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (lines("time_s", "0", "70", "60"), 4, "goes backwards in row 3: 60 comes after 70"),
        (lines("timestamp", "0", "70"), None, "seconds and milliseconds look alike"),
        (lines("time_s", "-5", "70"), 2, "before its own zero"),
        (lines("time_s", "5", "6"), None, "less than a minute"),
        (lines("time_s", "5"), None, "span 0 s"),
        (lines("time_s", "5", "1700000000"), None, "days, more than"),
        (lines("time_s,timestamp", "5,6", "70,80"), None, "2 columns could be the time: time_s, timestamp"),
        (lines("begun", "5", "70"), None, "no time column, got the columns 'begun'"),
        (lines("time_s,input_tokens", "5,6", "70,6"), None, "no output_tokens column"),
        (lines("time_s,input_tokens,output_tokens", "5,6,7", "70,-6,7"), 3, "got -6, expected a whole number of tokens"),
        (lines("time_s,input_tokens,output_tokens", "5,6,7", "70,6,0"), 3, "got 0, expected"),
        (lines("time_s,input_tokens,output_tokens", "5,6,7.5", "70,6,3"), 2, "got 7.5, expected"),
        (lines("time_s,input_tokens,output_tokens", "5,6,7", "70,1e12,3"), 3, "got 1e\\+12, expected"),
    ],
)
def test_requests_that_can_not_be_trusted_are_refused(write: Write, text: str, line: int | None, said: str) -> None:
    with pytest.raises(TraceError, match=said) as caught:
        load_arrivals(write("a.csv", text))
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_a_column_that_is_not_there_has_near_names(write: Write) -> None:
    path = write("a.csv", lines("began_at,other", "0,1", "70,1"))
    with pytest.raises(TraceError, match="use 'began_at'"):
        load_arrivals(path, columns={"time": "begun_at"}, time_unit="s")


def test_too_many_rows_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_tables, "MAX_ROWS", 2)
    with pytest.raises(TraceError, match="more than 2 rows"):
        load_arrivals(write("a.csv", lines("time_s", "0", "70", "80")))


def test_sizes_are_a_joint_sample(write: Write) -> None:
    first, second = load_sizes(write("a.csv", lines("input_tokens,output_tokens", "5,50", "6,60")))
    assert first.tolist() == [5, 6]
    assert second.tolist() == [50, 60]


# ------------------------------------------------------------------------------------------------------------ rates per bin


def test_rates_and_counts_mean_the_same(write: Write) -> None:
    rates = load_rates(write("a.csv", lines("t_s,rate_per_s", "0,2", "600,3")))
    counts = load_rates(write("b.csv", lines("time_ms,count", "0,1200", "600000,1800")))
    assert rates.rate_per_s.tolist() == counts.rate_per_s.tolist() == [2, 3]
    assert rates.bin_s == counts.bin_s == 600


def test_the_width_of_a_single_bin_must_be_said(write: Write) -> None:
    path = write("a.csv", lines("t_s,rps", "0,2"))
    with pytest.raises(TraceError, match="how long its bin is"):
        load_rates(path)
    assert load_rates(path, bin_s=60).duration_s == 60


def test_rates_from_within_a_day_begin_at_a_midnight_or_say_so(write: Write) -> None:
    rows = [f"{3600 * hour},{hour}" for hour in range(18, 90)]
    demand = load_rates(write("a.csv", lines("t_s,rps", *rows)))
    assert demand.rate_per_s[0] == 24
    assert "left out" in demand.source
    short = load_rates(write("b.csv", lines("t_s,rps", *rows[:3])))
    assert short.rate_per_s.tolist() == [18, 19, 20]


@pytest.mark.parametrize(
    ("gaps", "zeros", "expected"),
    [
        ("zero", "keep", [4, 0, 0, 0, 8]),
        ("interpolate", "keep", [4, 4 / 2, 0, 8 / 2, 8]),
        ("interpolate", "gap", [4, 5, 6, 7, 8]),
    ],
)
def test_gaps_are_filled_as_told(write: Write, gaps: str, zeros: str, expected: list[float]) -> None:
    path = write("a.csv", lines("t_s,rps", "0,4", "120,0", "240,8"))
    demand = load_rates(path, bin_s=60, gaps=gaps, zeros=zeros)
    assert demand.rate_per_s.tolist() == pytest.approx(expected)
    assert "missing bins filled" in demand.source


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (lines("t_s,rps", "0,1", "60,1", "120,1", "300,1"), 4, "2 bins have no rate, the first at 0.05 h"),
        (lines("t_s,rps", "0,1", "60,1", "90,1", "120,1", "180,1", "240,1"), 4, "not on the grid of 60 s"),
        (lines("t_s,rps", "0,1", "60,1", "60,1", "120,1"), 4, "not on the grid"),
        (lines("t_s,rps", "0,1", "0,1", "0,1"), 3, "most rows have the time of the row before"),
        (lines("t_s,rps", "0,1", "60,1", "30,1"), 4, "goes backwards"),
        (lines("t_s,rps", "0,1", "60,-1"), 3, "got -1, expected a rate of 0 or more"),
        (lines("t_s,rps", "0,1", "60,1e99"), 3, "got 1e\\+99, expected a rate"),
        (lines("t_s,rps", "0,1", "60,1", "1e12,1"), 2, "days in bins of 60 s"),
        (lines("t_s,rps", "0,1", "0.000001,1", "1000000,1"), 2, "in bins of 1e-06 s"),
        (lines("t_s,value", "0,1", "60,1"), None, "no rate or count column"),
    ],
)
def test_rates_that_can_not_be_trusted_are_refused(write: Write, text: str, line: int | None, said: str) -> None:
    with pytest.raises(TraceError, match=said) as caught:
        load_rates(write("a.csv", text))
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_a_trace_of_nothing_but_gaps_is_refused(write: Write) -> None:
    with pytest.raises(TraceError, match="2 bins have no rate"):
        load_rates(write("a.csv", lines("t_s,rps", "0,0", "60,0")), zeros="gap", gaps="interpolate")
