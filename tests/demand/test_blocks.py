"""The held-out part and the typical week."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import Demand
from tightrope.demand.blocks import split_demand, weekly_blocks
from tightrope.demand.patterns import define_constant, define_daily, define_nightly

DAY_S = 86_400.0


@given(days=st.integers(2, 20), share=st.floats(0.01, 0.99), bin_s=st.sampled_from([60.0, 600.0, 1800.0]))
def test_a_long_trace_is_cut_at_a_midnight_and_nothing_is_lost(
    rates_of: Callable[..., Demand], days: int, share: float, bin_s: float
) -> None:
    demand = rates_of(np.arange(days * DAY_S / bin_s), bin_s)
    split = split_demand(demand, share)
    assert split.heldout_start_s % DAY_S == 0
    assert split.sizing.duration_s == split.heldout_start_s
    assert split.sizing.requests + split.heldout.requests == pytest.approx(demand.requests)
    assert split.heldout.rate_per_s[0] == split.heldout_start_s / bin_s


def test_the_share_decides_where(rates_of: Callable[..., Demand]) -> None:
    demand = rates_of(np.ones(14 * 144))
    assert split_demand(demand, 5 / 14).heldout_start_s == 9 * DAY_S
    assert split_demand(demand, 0.999).heldout_start_s == DAY_S
    assert split_demand(demand, 0.001).heldout_start_s == 13 * DAY_S
    assert split_demand(rates_of(np.ones(2 * 144 + 5)), 0.001).heldout_start_s == 2 * DAY_S


def test_a_short_trace_is_cut_at_a_bin(rates_of: Callable[..., Demand]) -> None:
    split = split_demand(rates_of(np.arange(57.0), 60.0), 0.3)
    assert split.heldout_start_s == 40 * 60
    assert split.heldout.rate_per_s[0] == 40


def test_recorded_requests_go_with_their_part(rates_of: Callable[..., Demand]) -> None:
    arrival_s, sizes = np.array([0.0, 59, 120, 239.9]), np.arange(4)
    demand = replace(rates_of(np.ones(4), 60.0), arrival_s=arrival_s, input_tokens=sizes, output_tokens=sizes)
    split = split_demand(demand, 0.5)
    assert split.sizing.arrival_s.tolist() == [0, 59]
    assert split.heldout.arrival_s.tolist() == pytest.approx([0, 119.9])
    assert split.heldout.input_tokens.tolist() == [2, 3]


@pytest.mark.parametrize(("bins", "share"), [(1, 0.5), (10, 0.0), (10, 1.0)])
def test_a_part_without_traffic_is_refused(rates_of: Callable[..., Demand], bins: int, share: float) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        split_demand(rates_of(np.ones(bins)), share)


def test_a_block_has_the_mean_of_all_weeks_and_the_peak_of_any(rates_of: Callable[..., Demand]) -> None:
    rate = np.ones(2 * 168 * 6)
    rate[30:36] = [1, 2, 3, 4, 5, 9]
    rate[168 * 6 + 30 : 168 * 6 + 36] = 2
    blocks = weekly_blocks(rates_of(rate), 0.0)
    assert blocks.mean_rate_per_s[5] == pytest.approx((4 + 2) / 2)
    assert blocks.peak_rate_per_s[5] == 9
    assert (blocks.mean_rate_per_s[np.arange(168) != 5] == 1).all()
    assert (blocks.peak_rate_per_s[np.arange(168) != 5] == 1).all()
    assert blocks.note == ""


@pytest.mark.parametrize(("lead_s", "peak"), [(0.0, 1), (1.0, 7), (600.0, 7), (601.0, 8)])
def test_a_rise_before_a_new_replica_is_ready_belongs_to_the_block_before(
    rates_of: Callable[..., Demand], lead_s: float, peak: float
) -> None:
    rate = np.ones(168 * 6)
    rate[36:42] = [7, 8, 8, 8, 8, 8]
    blocks = weekly_blocks(rates_of(rate), lead_s)
    assert blocks.peak_rate_per_s[5] == peak
    assert blocks.peak_rate_per_s[6] == 8


def test_the_week_goes_round(rates_of: Callable[..., Demand]) -> None:
    rate = np.ones(168 * 6)
    rate[0] = 9
    assert weekly_blocks(rates_of(rate), 600.0).peak_rate_per_s[167] == 9


def test_unseen_hours_repeat_the_same_hour_of_the_day(rates_of: Callable[..., Demand]) -> None:
    blocks = weekly_blocks(rates_of(np.arange(48.0), 3600.0), 0.0)
    assert blocks.mean_rate_per_s[:48].tolist() == pytest.approx(list(range(48)))
    assert blocks.mean_rate_per_s[48 + 7] == pytest.approx((7 + 31) / 2)
    assert blocks.peak_rate_per_s[48 + 7] == 31
    assert "48 of the 168 hours" in blocks.note


def test_a_trace_of_minutes_repeats_itself(rates_of: Callable[..., Demand]) -> None:
    blocks = weekly_blocks(rates_of(np.arange(90.0), 60.0), 0.0)
    assert blocks.mean_rate_per_s[:3].tolist() == pytest.approx([29.5, 74.5, 29.5])
    assert blocks.peak_rate_per_s[:3].tolist() == [59, 89, 59]


@given(bin_s=st.sampled_from([60.0, 600.0, 2700.0, 7200.0, 86_400.0]), days=st.integers(1, 15), lead_s=st.floats(0, 7200))
def test_a_mean_never_exceeds_its_peak_and_whole_weeks_keep_their_requests(
    rates_of: Callable[..., Demand], bin_s: float, days: int, lead_s: float
) -> None:
    rate = np.random.default_rng(int(bin_s) + days).random(int(days * DAY_S / bin_s))
    demand = rates_of(rate, bin_s)
    blocks = weekly_blocks(demand, lead_s)
    assert (blocks.mean_rate_per_s <= blocks.peak_rate_per_s + 1e-12).all()
    assert blocks.peak_rate_per_s.max() == pytest.approx(rate.max())
    if days % 7 == 0 and bin_s != 2700:
        assert blocks.mean_rate_per_s.sum() * 3600 * days / 7 == pytest.approx(demand.requests)


def test_patterns_are_what_they_say() -> None:
    constant = define_constant(3.0, 2 * DAY_S)
    assert constant.requests == pytest.approx(3 * 2 * DAY_S)
    daily = weekly_blocks(define_daily(10, 15, 20.0, 7 * DAY_S), 0.0)
    assert daily.mean_rate_per_s.mean() == pytest.approx(10)
    assert daily.peak_rate_per_s.max() == pytest.approx(15, rel=1e-4)
    assert int(np.argmax(daily.mean_rate_per_s[:24])) in {19, 20}
    nightly = weekly_blocks(define_nightly(500, 22.5, 7 * DAY_S), 0.0)
    assert nightly.mean_rate_per_s[22] * 3600 == pytest.approx(500)
    assert np.count_nonzero(nightly.mean_rate_per_s) == 7
    assert define_nightly(500, 24.0, DAY_S).rate_per_s[0] > 0


def test_a_pattern_lasts_a_day_at_least() -> None:
    assert define_constant(1.0, 60.0).duration_s == DAY_S


def test_of_a_long_trace_the_last_season_is_planned_for(rates_of: Callable[..., Demand]) -> None:
    # a year of hours whose level rises by one a week, with last year's peak in its third week
    hours = np.arange(52 * 168 + 30)
    rate = 10.0 + hours // 168
    rate[2 * 168 + 5] = 1000.0
    blocks = weekly_blocks(rates_of(rate, 3600.0), 0.0)
    # of 52 weeks and 30 hours, the last 8 whole weeks and the hours that follow them
    assert blocks.peak_rate_per_s[:30].tolist() == [62.0] * 30
    assert blocks.peak_rate_per_s[30:].tolist() == [61.0] * 138
    assert blocks.mean_rate_per_s[30:] == pytest.approx(np.full(138, np.mean(np.arange(54.0, 62.0))))
    assert blocks.note.startswith("planned for the last 8.18 of 52.2 weeks")
    short = weekly_blocks(rates_of(rate[: 8 * 168], 3600.0), 0.0)
    assert short.peak_rate_per_s[5] == 1000.0
    assert short.note == ""
