"""Arrivals: recorded ones as they are, drawn ones at their rates and with their variation.

The statistical tests use fixed seeds and bounds of 4.5 standard deviations: a right generator fails one in 100,000.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import Demand
from tightrope.demand.arrivals import draw_arrivals
from tightrope.demand.patterns import define_nightly

SIGMAS = 4.5


@pytest.fixture(scope="module")
def bumpy(rates_of: Callable[..., Demand]) -> Demand:
    """Return twelve bins of ten minutes with a silent one, about 11,400 requests."""
    return rates_of(np.array([1.0, 2, 0, 3, 1, 0.5, 4, 4, 0.1, 1, 2, 0.4]))


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
def test_every_bin_has_its_rate(bumpy: Demand, cv: float) -> None:
    demand = replace(bumpy, interarrival_cv=cv)
    runs = 40
    counts = np.zeros(12)
    for seed in range(runs):
        time_s = draw_arrivals(demand, 0, 7200, seed).time_s
        assert (np.diff(time_s) >= 0).all()
        counts += np.bincount((time_s // 600).astype(int), minlength=12)
    expected = demand.rate_per_s * 600 * runs
    deviation = np.sqrt(expected * max(cv, 1.0) ** 2) + 3
    assert (np.abs(counts - expected) <= SIGMAS * deviation).all()
    assert counts[2] == 0


@pytest.mark.parametrize("cv", [0.3, 1.0, 1.7, 3.0])
def test_the_gaps_vary_as_asked(rates_of: Callable[..., Demand], cv: float) -> None:
    time_s = draw_arrivals(rates_of(np.full(100, 2.0), cv=cv), 0, 60_000, 5).time_s
    gaps = np.diff(time_s)
    kurtosis = 3 + 6 * cv**2
    assert gaps.std() / gaps.mean() == pytest.approx(
        cv, abs=SIGMAS * cv * np.sqrt((kurtosis - 1) / 4 / len(gaps) + cv**2 / len(gaps))
    )


def test_poisson_counts_vary_as_poisson_counts_do(rates_of: Callable[..., Demand]) -> None:
    demand = rates_of(np.full(2000, 0.05))
    time_s = draw_arrivals(demand, 0, demand.duration_s, 11).time_s
    counts = np.bincount((time_s // 600).astype(int), minlength=2000)
    dispersion = counts.var() / counts.mean()
    assert abs(dispersion - 1) <= SIGMAS * np.sqrt(2 / 2000)


@pytest.mark.parametrize("cv", [0.3, 1.0, 3.0])
def test_the_first_gap_is_that_of_a_process_already_running(rates_of: Callable[..., Demand], cv: float) -> None:
    demand = rates_of(np.full(10, 1.0), cv=cv)
    first = np.array([draw_arrivals(demand, 0, 6000, seed).time_s[0] for seed in range(2000)])
    mean = (1 + cv**2) / 2
    third = (1 + cv**2) * (1 + 2 * cv**2) / 3
    assert abs(first.mean() - mean) <= SIGMAS * np.sqrt((third - mean**2) / 2000)


def test_sizes_come_from_the_joint_sample(bumpy: Demand) -> None:
    drawn = draw_arrivals(bumpy, 0, 7200, 3)
    np.testing.assert_array_equal(drawn.output_tokens, drawn.input_tokens * 10)
    share = (drawn.input_tokens == 2).mean()
    assert abs(share - 1 / 3) <= SIGMAS * np.sqrt(2 / 9 / len(drawn.input_tokens))


def test_same_seed_same_bytes(bumpy: Demand) -> None:
    first, again, other = (draw_arrivals(bumpy, 0, 7200, seed) for seed in (9, 9, 10))
    assert first.time_s.tobytes() == again.time_s.tobytes()
    assert first.input_tokens.tobytes() == again.input_tokens.tobytes()
    assert first.time_s.tobytes() != other.time_s.tobytes()


def test_recorded_requests_are_returned_as_they_are(rates_of: Callable[..., Demand]) -> None:
    arrival_s, sizes = np.array([0.0, 5, 60, 61, 119]), np.arange(5)
    demand = replace(rates_of(np.full(2, 0.05), 60.0), arrival_s=arrival_s, input_tokens=sizes, output_tokens=sizes + 10)
    found = draw_arrivals(demand, 5, 61, 1)
    assert found.time_s.tolist() == [5, 60]
    assert found.input_tokens.tolist() == [1, 2]
    assert found.output_tokens.tolist() == [11, 12]


def test_deferred_work_has_its_exact_number_every_night() -> None:
    demand = define_nightly(12_000, 22.0, 3 * 86_400)
    time_s = draw_arrivals(demand, 0, demand.duration_s, 1).time_s
    assert np.bincount((time_s // 86_400).astype(int)).tolist() == [12_000] * 3
    assert ((time_s % 86_400) // 60 == 22 * 60).all()


@given(
    rates=st.lists(st.floats(0, 50), min_size=1, max_size=8),
    cv=st.sampled_from([0.0, 0.2, 1.0, 4.0]),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 2**32),
)
def test_arrivals_lie_in_their_stretch_and_in_order(
    rates_of: Callable[..., Demand], rates: list[float], cv: float, cut: tuple[float, float], seed: int
) -> None:
    demand = rates_of(np.array(rates), 60.0, cv)
    start_s, end_s = (share * demand.duration_s for share in sorted(cut))
    if end_s <= start_s:
        with pytest.raises(ValueError, match="expected a stretch"):
            draw_arrivals(demand, start_s, end_s, seed)
        return
    time_s = draw_arrivals(demand, start_s, end_s, seed).time_s
    assert ((time_s >= start_s) & (time_s < end_s)).all()
    assert (np.diff(time_s) >= 0).all()


@pytest.mark.parametrize(("start_s", "end_s"), [(-1, 5), (5, 5), (0, 7201), (float("nan"), 5)])
def test_a_stretch_outside_the_trace_is_refused(bumpy: Demand, start_s: float, end_s: float) -> None:
    with pytest.raises(ValueError, match="expected a stretch"):
        draw_arrivals(bumpy, start_s, end_s, 1)
