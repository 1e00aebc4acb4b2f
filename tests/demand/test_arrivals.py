"""Arrivals: recorded ones as they are, drawn ones at their rates and with their variation; all at once, in chunks, by client.

The statistical tests use fixed seeds and bounds of 4.5 standard deviations: a right generator fails one in 100,000.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import ClientMix, Demand
from tightrope.demand import arrivals
from tightrope.demand.arrivals import draw_arrivals
from tightrope.demand.blocks import split_demand
from tightrope.demand.clients import load_clients
from tightrope.demand.patterns import define_nightly

SIGMAS = 4.5
SERVEGEN = Path(__file__).parent / "data" / "servegen_clients.csv"


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


@pytest.mark.parametrize("cv", [0.4, 2.0])
def test_weibull_gaps_vary_as_asked_and_are_no_gamma_gaps(rates_of: Callable[..., Demand], cv: float) -> None:
    demand = replace(rates_of(np.full(100, 2.0), cv=cv), interarrival_law="weibull")
    gaps = np.diff(draw_arrivals(demand, 0, 60_000, 5).time_s) * 2
    assert gaps.std() == pytest.approx(cv, rel=0.06)
    gamma = np.diff(draw_arrivals(replace(demand, interarrival_law="gamma"), 0, 60_000, 5).time_s) * 2
    quantiles = [0.05, 0.1, 0.25]
    assert (np.abs(np.quantile(gaps, quantiles) / np.quantile(gamma, quantiles) - 1) > 0.05).any()


# ---------------------------------------------------------------------------------------------------------------- by client


@pytest.fixture(scope="module")
def clients() -> Demand:
    """Return nine clients of a real service over a day, about 646,000 requests."""
    return load_clients(SERVEGEN)


def alone(demand: Demand, client: int) -> Demand:
    """Return the demand with the requests of one client only."""
    mix = demand.clients
    assert mix is not None
    mine = np.arange(len(mix.share)) == client
    rate_per_s = demand.rate_per_s * mix.share[client]
    return replace(
        demand, rate_per_s=rate_per_s, clients=replace(mix, share=np.where(mine[:, None] & (rate_per_s > 0), 1.0, 0.0))
    )


def test_merged_clients_are_the_clients_requests_and_no_others(clients: Demand) -> None:
    merged = draw_arrivals(clients, 0, 7200, 4).time_s
    each = [draw_arrivals(alone(clients, client), 0, 7200, 4).time_s for client in range(9)]
    np.testing.assert_allclose(np.sort(np.concatenate(each)), merged, rtol=0, atol=1e-6)
    assert len(merged) == sum(map(len, each))
    assert (np.diff(merged) >= 0).all()


def test_every_client_has_its_rate_in_every_window(clients: Demand) -> None:
    mix, runs = clients.clients, 30
    assert mix is not None
    for client in range(9):
        demand, counts = alone(clients, client), np.zeros((runs, 12))
        for seed in range(runs):
            counts[seed] = np.bincount((draw_arrivals(demand, 0, 7200, seed).time_s // 600).astype(int), minlength=12)
        expected = demand.rate_per_s[:12] * 600
        deviation = np.maximum(counts.std(axis=0), np.sqrt(expected)) / np.sqrt(runs)
        assert (np.abs(counts.mean(axis=0) - expected) <= SIGMAS * deviation + 1e-9).all()


def test_clients_come_in_bursts_that_their_rates_alone_do_not_show(clients: Demand) -> None:
    """The dispersion of counts over ten seconds, within windows, of ServeGen's clients and of a Poisson process at their rates."""

    def dispersion(demand: Demand) -> float:
        counts = np.bincount((draw_arrivals(demand, 0, 86_400, 1).time_s // 10).astype(int), minlength=8640).reshape(144, 60)
        return float((counts.var(axis=1, ddof=1) / counts.mean(axis=1)).mean())

    poisson = replace(clients, clients=None, interarrival_cv=1.0)
    assert abs(dispersion(poisson) - 1) <= SIGMAS * np.sqrt(2 / 59 / 144)
    assert dispersion(clients) > 2.5


def test_the_gaps_of_a_client_have_its_cv(rates_of: Callable[..., Demand]) -> None:
    mix = ClientMix(np.full((2, 4), 0.5), np.array([[0.25] * 4, [0.5] * 4]), np.array([[False] * 4, [True] * 4]))
    demand = replace(rates_of(np.full(4, 100.0)), clients=mix)
    for client, cv in ((0, 2.0), (1, np.sqrt(5))):
        gaps = np.diff(draw_arrivals(alone(demand, client), 0, 2400, 8).time_s)
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_a_client_whose_law_stays_is_one_process_over_all_windows(rates_of: Callable[..., Demand]) -> None:
    """Windows of two requests do not blur an even process: counts over a hundred windows are as dispersed as the law says, 1/64."""
    bins = 40_000
    mix = ClientMix(np.ones((1, bins)), np.full((1, bins), 64.0), np.zeros((1, bins), dtype=bool))
    demand = replace(rates_of(np.full(bins, 1.0), 2.0), clients=mix)
    counts = np.bincount((draw_arrivals(demand, 0, 2.0 * bins, 1).time_s // 200).astype(int), minlength=400)
    assert counts.var() / counts.mean() == pytest.approx(1 / 64, rel=SIGMAS * np.sqrt(2 / 400) + 0.1)


def test_clients_do_not_know_of_each_other(rates_of: Callable[..., Demand]) -> None:
    """Of two clients that are alike, the counts are not: neither in the same window nor in the next."""
    bins = 1000
    mix = ClientMix(np.full((2, bins), 0.5), np.full((2, bins), 0.5), np.zeros((2, bins), dtype=bool))
    demand = replace(rates_of(np.full(bins, 2.0), 60.0), clients=mix)
    first, second = (
        np.bincount((draw_arrivals(alone(demand, client), 0, 60.0 * bins, 1).time_s // 60).astype(int), minlength=bins)
        for client in (0, 1)
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < SIGMAS / np.sqrt(bins)
    assert abs(np.corrcoef(first[1:], second[:-1])[0, 1]) < SIGMAS / np.sqrt(bins)


def test_steps_do_not_change_the_clients_requests(clients: Demand, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw_arrivals(clients, 300, 4000, 6)
    monkeypatch.setattr(arrivals, "STEP", 50)
    stepped = draw_arrivals(clients, 300, 4000, 6)
    np.testing.assert_allclose(stepped.time_s, whole.time_s, rtol=0, atol=1e-6)
    assert (np.diff(stepped.time_s) >= 0).all()
    assert stepped.time_s[0] >= 300
    assert stepped.time_s[-1] < 4000


def test_more_of_the_same_clients(clients: Demand) -> None:
    count = len(draw_arrivals(replace(clients, rate_per_s=clients.rate_per_s * 3), 0, 14_400, 2))
    expected = 3 * clients.rate_per_s[:24].sum() * 600
    assert abs(count - expected) <= SIGMAS * clients.interarrival_cv * np.sqrt(expected)


def test_a_demand_of_clients_is_cut_with_them(clients: Demand) -> None:
    sizing, heldout, start_s = split_demand(clients, 0.25)
    assert sizing.clients is not None
    assert heldout.clients is not None
    assert sizing.clients.share.shape == (9, 108)
    assert (heldout.clients.shape == clients.clients.shape[:, 108:]).all() if clients.clients else False
    assert start_s == 108 * 600
    assert (draw_arrivals(heldout, 0, 600, 1).time_s < 600).all()


@given(
    shares=st.lists(st.lists(st.sampled_from([0.0, 0.3, 2.0]), min_size=3, max_size=3), min_size=1, max_size=4),
    shape=st.sampled_from([0.05, 1.0, 7.0, float("inf")]),
    weibull=st.booleans(),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_clients_requests_lie_in_their_stretch_and_in_order(
    rates_of: Callable[..., Demand], shares: list[list[float]], shape: float, weibull: bool, cut: tuple[float, float]
) -> None:
    rate = np.array(shares)
    total = rate.sum(axis=0)
    share = np.divide(rate, total, out=np.zeros_like(rate), where=total > 0)
    mix = ClientMix(share, np.full(rate.shape, max(shape, 0.1) if weibull else shape), np.full(rate.shape, weibull))
    demand = replace(rates_of(total, 60.0), clients=mix)
    start_s, end_s = (part * 180.0 for part in sorted(cut))
    if end_s > start_s:
        drawn = draw_arrivals(demand, start_s, end_s, 3)
        assert ((drawn.time_s >= start_s) & (drawn.time_s < end_s)).all()
        assert (np.diff(drawn.time_s) >= 0).all()
        assert not np.isin((drawn.time_s // 60).astype(int), np.flatnonzero(total == 0)).any()
