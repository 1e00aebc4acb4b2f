"""Recorded traffic: files of one or several classes become one traffic, with nothing lost, swapped or mixed up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.errors import InputError, TraceError, UnknownNameError
from tightrope.base.plan import Plan
from tightrope.plan.fleet.recorded_traffic import TraceFile, load_traffic, parse_columns, parse_trace
from tightrope.replay.records import Traffic
from tightrope.replay.traffic import take_requests

HEAD = "t_s,class,input_tokens,output_tokens,key\n"


def write(path: Path, *rows: str, head: str = HEAD) -> Path:
    path.write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def jsonl(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_trace_begins_and_ends_at_whole_minutes(plan: Plan, tmp_path: Path) -> None:
    found = load_traffic(plan, [TraceFile(write(tmp_path / "a.csv", "75,web,1,1,", "190,web,1,1,"))])
    assert (found.clock_s, found.start_s, found.duration_s) == (60.0, 60.0, 180.0)
    assert found.traffic.time_s.tolist() == [15.0, 130.0]
    assert found.window == "day 1, 00:01–00:04"


def test_the_week_hour_places_the_trace_in_the_plans_week(plan: Plan, tmp_path: Path) -> None:
    trace = [TraceFile(write(tmp_path / "a.csv", "3600,web,1,1,", "7000,web,1,1,"))]
    assert load_traffic(plan, trace, week_hour=30.0).start_s == 31 * 3600.0
    assert load_traffic(plan, trace, week_hour=167.5).start_s == 1800.0
    assert load_traffic(plan, trace, week_hour=30.0).clock_s == 3600.0


def test_a_day_is_called_a_day(plan: Plan, tmp_path: Path) -> None:
    assert load_traffic(plan, [TraceFile(write(tmp_path / "a.csv", "0,web,1,1,", "86399,web,1,1,"))]).window == "day 1"
    assert load_traffic(plan, [TraceFile(write(tmp_path / "b.csv", "0,web,1,1,", "90000,web,1,1,"))]).window == "days 1–2"
    assert (
        load_traffic(plan, [TraceFile(write(tmp_path / "c.csv", "80000,web,1,1,", "86395,web,1,1,"))]).window
        == "day 1, 22:13–24:00"
    )


def test_what_can_wait_is_due_at_its_classes_next_deadline(plan: Plan, tmp_path: Path) -> None:
    found = load_traffic(plan, [TraceFile(write(tmp_path / "a.csv", "3600,night,1,1,", "3700,web,1,1,", "18000,night,1,1,"))])
    assert found.traffic.deadline_s is not None
    # due at 04:00: three hours after the first request's 01:00, the day after for the last one's 05:00
    assert found.traffic.deadline_s.tolist() == [3 * 3600.0, np.inf, 27 * 3600.0]


def test_files_are_merged_in_order_of_time_and_keep_their_own(plan: Plan, tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "10,5,6,x", "30,7,8,y", head="t_s,input_tokens,output_tokens,key\n")
    second = write(tmp_path / "b.csv", "20,1,2,x", "40,3,4,", head="t_s,input_tokens,output_tokens,key\n")
    found = load_traffic(plan, [TraceFile(first, "web"), TraceFile(second, "night")]).traffic
    assert found.time_s.tolist() == [10.0, 20.0, 30.0, 40.0]
    assert found.traffic_class.tolist() == [0, 1, 0, 1]
    assert found.input_tokens.tolist() == [5, 1, 7, 3]
    assert found.key is not None
    assert len(set(found.key[:3].tolist())) == 3
    assert found.key[3] == -1


def at_times(path: Path, *stamps: str) -> TraceFile:
    return TraceFile(write(path, *stamps, head="time\n"), "web")


def test_two_days_follow_each_other_and_are_not_laid_on_top(plan: Plan, tmp_path: Path) -> None:
    second = at_times(tmp_path / "b.csv", "2024-05-07T00:10:00", "2024-05-07T20:00:00")
    first = at_times(tmp_path / "a.csv", "2024-05-06T01:00:00", "2024-05-06T23:00:00")
    found = load_traffic(plan, [second, first])
    assert (found.traffic.time_s + found.clock_s).tolist() == [hour * 3600.0 for hour in (1, 23, 24 + 1 / 6, 44)]
    assert found.window == "days 1–2"
    assert found.warnings == ()


def test_files_of_one_day_keep_the_hours_between_them(plan: Plan, tmp_path: Path) -> None:
    first = at_times(tmp_path / "a.csv", "2024-05-06T08:00:00", "2024-05-06T10:00:00")
    second = at_times(tmp_path / "b.csv", "2024-05-06T11:00:00", "2024-05-06T11:30:00")
    found = load_traffic(plan, [first, second])
    assert found.traffic.time_s.tolist() == [0.0, 7200.0, 10_800.0, 12_600.0]
    assert found.start_s == 8 * 3600.0


def test_days_that_do_not_meet_are_refused(plan: Plan, tmp_path: Path) -> None:
    first = at_times(tmp_path / "a.csv", "2024-05-06T00:00:00", "2024-05-06T00:10:00")
    second = at_times(tmp_path / "b.csv", "2024-05-07T00:00:00", "2024-05-07T00:10:00")
    for order in ([first, second], [second, first]):
        with pytest.raises(
            TraceError, match=r"b\.csv: it begins 23\.8 h after the end of a\.csv.*\nResolve: replay one at a time"
        ):
            load_traffic(plan, order)


def test_a_long_file_may_lie_around_a_short_one(plan: Plan, tmp_path: Path) -> None:
    day = at_times(tmp_path / "a.csv", "2024-05-06T00:00:00", "2024-05-06T23:00:00")
    short = at_times(tmp_path / "b.csv", "2024-05-06T05:00:00", "2024-05-06T05:01:00")
    late = at_times(tmp_path / "c.csv", "2024-05-06T23:30:00")
    assert len(load_traffic(plan, [day, short, late]).traffic.time_s) == 5


def test_dates_and_other_times_are_not_mixed(plan: Plan, tmp_path: Path) -> None:
    dated = at_times(tmp_path / "a.csv", "2024-05-06T00:00:00", "2024-05-06T00:10:00")
    bare = TraceFile(write(tmp_path / "b.csv", "0", "60", head="time_s\n"), "web")
    for order in ([dated, bare], [bare, dated]):
        with pytest.raises(TraceError, match=r"b\.csv: its times are no dates and those of a\.csv are"):
            load_traffic(plan, order)
    assert "one zero" in load_traffic(plan, [bare, bare]).warnings[0]
    assert load_traffic(plan, [bare]).warnings == ()


def test_dates_and_seconds_of_one_hour_meet_one_schedule(plan: Plan, tmp_path: Path) -> None:
    dated = at_times(tmp_path / "a.csv", "2024-05-06T20:00:00", "2024-05-06T20:10:00")
    bare = TraceFile(write(tmp_path / "b.csv", "72000", "72600", head="time_s\n"), "web")
    one, two = load_traffic(plan, [dated]), load_traffic(plan, [bare])
    assert (one.start_s, one.window) == (two.start_s, two.window) == (20 * 3600.0, "day 1, 20:00–20:10")
    assert load_traffic(plan, [dated], week_hour=72.0).start_s == 92 * 3600.0


def test_the_class_column_is_checked_where_there_is_one_class_too(plan: Plan, tmp_path: Path) -> None:
    only = replace(plan, classes=plan.classes[:1])
    with pytest.raises(UnknownNameError, match="unknown traffic class 'foo'"):
        load_traffic(only, [TraceFile(write(tmp_path / "a.csv", "0,web,1,1,", "1,foo,1,1,"))])
    stated = load_traffic(only, [TraceFile(tmp_path / "a.csv", "web")])
    assert len(stated.traffic.time_s) == 2
    assert "column 'class' is not read" in stated.sources[0]
    models = write(tmp_path / "b.csv", "0,gpt", "1,llama", head="time_s,model\n")
    assert len(load_traffic(only, [TraceFile(models)]).traffic.time_s) == 2


def test_one_key_of_two_classes_is_two_keys(plan: Plan, tmp_path: Path) -> None:
    found = load_traffic(plan, [TraceFile(write(tmp_path / "a.csv", "1,web,1,1,x", "2,night,1,1,x", "3,web,1,1,x"))]).traffic
    assert found.key is not None
    assert found.key[0] == found.key[2] != found.key[1]


def test_blocks_of_two_files_are_never_taken_for_one_another(plan: Plan, tmp_path: Path) -> None:
    rows = ('{"timestamp": 1, "input_length": 9, "output_length": 1, "hash_ids": [0, 7]}',)
    more = ('{"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": [7]}', rows[0])
    one, two = jsonl(tmp_path / "a.jsonl", *rows), jsonl(tmp_path / "b.jsonl", *more)
    found = load_traffic(plan, [TraceFile(one, "web"), TraceFile(two, "night")], time_unit="s").traffic
    assert found.block_start is not None
    assert found.blocks is not None
    parts = [found.blocks[a:b].tolist() for a, b in zip(found.block_start[:-1], found.block_start[1:], strict=True)]
    by_class = dict(zip(found.traffic_class.tolist(), parts, strict=True))
    assert sorted(map(len, parts)) == [1, 2, 2]
    assert not set(by_class[0]) & {
        block for index, part in zip(found.traffic_class, parts, strict=True) if index for block in part
    }


@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=5, max_size=5))
def test_taken_requests_bring_all_that_is_theirs(rows: list[int], lists: list[list[int]]) -> None:
    start = np.concatenate([[0], np.cumsum([len(part) for part in lists])]).astype(np.int64)
    blocks = np.array([item for part in lists for item in part], dtype=np.int64)
    ones = np.arange(5)
    traffic = Traffic(ones * 1.0, ones, ones + 1, ones + 2, key=ones + 3, deadline_s=ones * 2.0, block_start=start, blocks=blocks)
    taken = take_requests(traffic, np.array(rows, dtype=np.int64))
    assert taken.time_s.tolist() == [float(row) for row in rows]
    assert taken.key is not None
    assert taken.key.tolist() == [row + 3 for row in rows]
    assert taken.block_start is not None
    assert taken.blocks is not None
    found = [taken.blocks[a:b].tolist() for a, b in zip(taken.block_start[:-1], taken.block_start[1:], strict=True)]
    assert found == [lists[row] for row in rows]


def test_a_file_whose_name_has_an_equals_sign_is_a_file(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "day=1.csv", "1,web,1,1,")
    assert parse_trace("day=1.csv", plan) == TraceFile(Path("day=1.csv"))
    assert parse_trace("web=day=1.csv", plan) == TraceFile(Path("day=1.csv"), "web")
    with pytest.raises(UnknownNameError, match="traffic class 'wbe'"):
        parse_trace("wbe=day=1.csv", plan)


def test_columns_are_named_by_role() -> None:
    assert parse_columns(("time=when", "class=")) == {"time": "when", "class": ""}
    with pytest.raises(InputError, match="role=column"):
        parse_columns(("when",))
