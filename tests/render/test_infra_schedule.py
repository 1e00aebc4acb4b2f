"""The week as a calendar: read back it is the week, and with fewer entries never fewer machines."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import ceil

import pytest
from golden_tree import PLANS
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.render.infra.deployment import deploy_pools
from tightrope.render.infra.schedule import (
    DAYS,
    HOURS,
    WEEK,
    ScheduleEntry,
    align_to_monday,
    entries,
    expand_entries,
    limit_entries,
)
from tightrope.render.plan_json.load import load_plan

counts = st.integers(0, 5)
days = st.lists(counts, min_size=HOURS, max_size=HOURS)
weeks = st.one_of(
    st.lists(counts, min_size=WEEK, max_size=WEEK),
    st.builds(lambda work, rest: [*work * 5, *rest * 2], days, days),
    st.builds(lambda count: [count] * WEEK, counts),
    st.builds(
        lambda low, high, at, length: [high if (hour - at) % WEEK < length else low for hour in range(WEEK)],
        counts,
        counts,
        st.integers(0, WEEK - 1),
        st.integers(0, WEEK),
    ),
)


@given(weeks)
def test_the_entries_give_the_week_back(week: list[int]) -> None:
    assert list(expand_entries(entries(week))) == week


@given(weeks)
def test_an_entry_stands_where_the_number_changes_and_nowhere_else(week: list[int]) -> None:
    at = sorted(day * HOURS + entry.hour for entry in entries(week) for day in entry.days)
    assert len(set(at)) == len(at)
    changes = [hour for hour in range(WEEK) if week[hour] != week[hour - 1]]
    assert at == (changes or [0])
    for entry in entries(week):
        for day in entry.days:
            hour = day * HOURS + entry.hour
            assert entry.rises == (week[hour] > week[hour - 1])


@given(st.builds(lambda work, rest: [*work * 5, *rest * 2], days, days), st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_fewer_entries_never_mean_fewer_machines(week: list[int], most: int) -> None:
    less = limit_entries(tuple(week), most)
    assert len(entries(less)) <= most
    assert all(new >= old for new, old in zip(less, week, strict=True))
    assert max(less) == max(week)
    if len(entries(week)) <= most:
        assert list(less) == week


@given(st.integers(0, HOURS - 1), st.sets(st.integers(0, 6), min_size=1), st.floats(0.0, 3 * 86_400.0), st.booleans())
def test_machines_are_asked_for_so_early_that_they_are_ready(hour: int, on: set[int], start_s: float, rises: bool) -> None:
    entry = ScheduleEntry(hour, tuple(sorted(on)), 1, rises)
    moment = entry.asked(start_s)
    for day in on:
        wanted = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=day, hours=hour)
        early = wanted - timedelta(minutes=-(-start_s // 60) if rises else 0)
        assert (early.hour, early.minute) == (moment.hour, moment.minute)
        assert early.weekday() in moment.days
        assert not rises or early + timedelta(seconds=start_s) <= wanted
    assert len(moment.days) == len(on)


@given(st.integers(0, HOURS - 1), st.sets(st.integers(0, 6), min_size=1))
def test_cron_counts_from_sunday(hour: int, on: set[int]) -> None:
    minute, at, _, _, said = ScheduleEntry(hour, tuple(sorted(on)), 1, rises=False).asked(60.0).cron.split()
    assert (minute, at) == ("0", str(hour))
    days_said = set(range(7)) if said == "*" else set(map(int, said.split(",")))
    assert days_said == {(day + 1) % 7 for day in on}


@pytest.mark.parametrize("offset", range(len(DAYS)))
def test_the_week_is_turned_to_begin_on_monday(offset: int) -> None:
    first = date(2026, 1, 5) + timedelta(days=offset)
    turned = align_to_monday(range(WEEK), first.isoformat())
    for block in range(WEEK):
        at = datetime(first.year, first.month, first.day, tzinfo=UTC) + timedelta(hours=block)
        assert turned[at.weekday() * HOURS + at.hour] == block


def test_of_no_calendar_the_first_day_is_a_monday() -> None:
    assert align_to_monday(range(WEEK), "") == tuple(range(WEEK))


@pytest.mark.parametrize("start_s", [0.0, 179.0, 3600.0, 5400.0])
def test_what_takes_long_to_start_is_there_at_its_hour(start_s: float) -> None:
    plan = load_plan(PLANS / "vision.json")
    week = (1,) * 6 + (2, 1, 3, 0, 0, 4) + (1,) * 156
    pool = replace(plan.pools[0], schedule=week, serving=replace(plan.pools[0].serving, start_s=start_s))
    part = deploy_pools(replace(plan, pools=(pool,)))[0]
    moments = {}
    for entry in part.entries():
        asked = entry.asked(part.early_s)
        moments |= {day * 1440 + asked.hour * 60 + asked.minute: entry.machines for day in asked.days}
    assert len(moments) == sum(len(entry.days) for entry in part.entries())  # no two at one moment
    floors = [moments[max((at for at in moments if at <= minute), default=max(moments))] for minute in range(7 * 1440)]
    late = ceil(start_s / 60)
    for hour, wanted in enumerate(week):
        assert all(floors[(60 * hour - minute) % (7 * 1440)] >= wanted for minute in range(late + 1))
