"""What goes together in a batch: it pays, nobody is made late, nothing starves, and with one length it is what the replay does."""

import math
from collections.abc import Sequence

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.extending import register_jitable

from tightrope.policy import batching
from tightrope.policy.batching import AS_GOOD, LEAST_GAIN, batch_size, batch_time_s, choose_batch, may_fill, worth_waiting

KNOTS = [8, 16, 32, 64, 128]
MOST = 8
LENGTHS = st.lists(st.integers(1, 160), min_size=1, max_size=24)


def curve(fixed_s: float, per_token_s: float, most: int = MOST) -> list[list[float]]:
    """Return the curve of an engine that takes a fixed time for a batch, and so much for every padded token."""
    return [[fixed_s + size * length * per_token_s for length in KNOTS] for size in range(1, most + 1)]


SERVER = curve(0.5e-3, 1e-4)
"""A batch saves half a millisecond for each member: five tokens' time."""
MUCH = curve(5e-3, 1e-4)
NEVER_PAYS = [[size * row[0] * 1.001 for row in zip(curve(0.0, 1e-4, 1)[0], strict=True)] for size in range(1, MOST + 1)]


def choose(
    lengths: Sequence[int],
    slack_s: Sequence[float] = (),
    most: int = MOST,
    service_s: list[list[float]] = SERVER,
    *,
    planned: bool = False,
) -> list[int]:
    """Return the chosen places."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    chosen = [-1] * most
    return chosen[: choose_batch(lengths, slack_s or [math.inf] * len(lengths), order, most, planned, service_s, KNOTS, chosen)]


def together_s(lengths: Sequence[int], places: Sequence[int], service_s: list[list[float]] = SERVER) -> float:
    """Return the time of a batch."""
    return batch_time_s(len(places), max(lengths[place] for place in places), service_s, KNOTS)


@given(LENGTHS)
def test_a_batch_pays_and_the_first_one_is_in_it(lengths: list[int]) -> None:
    places = choose(lengths)
    assert places[0] == 0
    assert len(set(places)) == len(places) <= MOST
    alone_s = sum(together_s(lengths, [place]) for place in places)
    assert len(places) == 1 or alone_s >= LEAST_GAIN * together_s(lengths, places)


@given(LENGTHS)
def test_no_batch_of_the_nearest_lengths_pays_much_more(lengths: list[int]) -> None:
    """Against every stretch of the texts in order of length that holds the first one: growing step by step comes near the best."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    places = choose(lengths)
    gain = sum(together_s(lengths, [place]) for place in places) / together_s(lengths, places)
    best = max(
        sum(together_s(lengths, [place]) for place in order[low:high]) / together_s(lengths, order[low:high])
        for low in range(len(order))
        for high in range(low + 1, min(low + MOST, len(order)) + 1)
        if 0 in order[low:high]
    )
    assert gain >= 0.9 * best


@given(LENGTHS)
def test_where_batching_does_not_pay_each_goes_alone(lengths: list[int]) -> None:
    assert choose(lengths, service_s=NEVER_PAYS) == [0]


@given(LENGTHS, st.lists(st.floats(0.0, 0.05), min_size=24, max_size=24))
def test_nobody_who_could_be_in_time_is_made_late_by_mates(lengths: list[int], slack_s: list[float]) -> None:
    places = choose(lengths, slack_s[: len(lengths)])
    if len(places) > 1:
        took_s = together_s(lengths, places)
        assert all(slack_s[place] >= took_s or slack_s[place] < together_s(lengths, [place]) for place in places)


@given(st.integers(1, 20), st.integers(1, 160), st.integers(1, MOST))
def test_a_planned_batch_of_one_length_is_the_replays(waiting: int, length: int, most: int) -> None:
    """The replay takes ``batch_size`` requests off the front of the queue, whether that pays or not."""
    size = batch_size(waiting, most, 1.0, 1.0)
    for service_s in (SERVER, NEVER_PAYS):
        assert choose([length] * waiting, [0.0] * waiting, size, service_s, planned=True) == list(range(size))


def test_a_short_text_does_not_go_with_a_long_one_and_equals_go_in_their_order() -> None:
    assert choose([100, 5, 99, 6, 101], service_s=MUCH) == [0, 2, 4]
    assert choose([5, 100, 5, 6, 5], service_s=MUCH) == [0, 2, 4, 3]
    assert choose([20] * 12, service_s=MUCH) == list(range(8))


def test_a_member_with_little_time_left_keeps_the_batch_small() -> None:
    two_s = together_s([20] * 8, [0, 1], MUCH)
    assert choose([20] * 8, [two_s, *[math.inf] * 7], service_s=MUCH) == [0, 1]
    late = [math.inf, math.inf, two_s / 10, *[math.inf] * 5]  # one is late whatever is done
    assert choose([20] * 8, late, service_s=MUCH) == list(range(8))
    pressed = [math.inf, together_s([20, 21], [0, 1], MUCH), math.inf]
    assert choose([20, 21, 19], pressed, service_s=MUCH) in ([0, 1], [0, 2])
    assert choose([20, 21, 19], [math.inf] * 3, service_s=MUCH) == [0, 2, 1]


def test_beyond_the_last_knot_time_goes_with_length() -> None:
    assert batch_time_s(2, 256, SERVER, KNOTS) == 2 * batch_time_s(2, 128, SERVER, KNOTS)
    assert batch_time_s(2, 1, SERVER, KNOTS) == SERVER[1][0]
    assert batch_time_s(3, 999, [[1.0], [1.5], [2.0]], [1]) == 2.0


def test_waiting_is_worth_it_only_where_the_next_comes_sooner_than_what_it_saves() -> None:
    assert worth_waiting(101.0, 0.01)
    assert not worth_waiting(99.0, 0.01)
    assert not worth_waiting(99.0, -0.01)


def test_what_can_wait_fills_up_only_what_it_does_not_lengthen() -> None:
    assert may_fill(3, 64, 1.0, 64, False, SERVER, KNOTS)
    assert not may_fill(3, 64, 1.0, 65, False, SERVER, KNOTS)
    assert not may_fill(3, 64, 1.0, 8, False, SERVER, KNOTS)  # padded to eight times its length
    assert not may_fill(3, 64, together_s([64] * 3, [0, 1, 2]), 64, False, SERVER, KNOTS)
    assert may_fill(3, 64, 0.0, 999, True, SERVER, KNOTS)


@pytest.fixture(scope="module")
def compiled() -> object:
    """Return ``choose_batch`` as a replay would compile it: nothing is allocated."""
    for function in (batching.batch_time_s, batching.gain_with, batching.first_together):
        register_jitable(function)
    return numba.njit(error_model="numpy", _nrt=False)(choose_batch)


def test_it_compiles_and_chooses_the_same(compiled: object) -> None:
    random = np.random.default_rng(5)
    service_s, knots = np.array(SERVER), np.array(KNOTS)
    for _ in range(200):
        lengths = random.integers(1, 160, random.integers(1, 24)) // int(random.choice([1, 40])) + 1
        slack_s = np.where(random.random(len(lengths)) < 0.5, np.inf, random.random(len(lengths)) / 20)
        order, chosen = np.argsort(lengths, kind="stable"), np.zeros(MOST, np.int64)
        planned = bool(random.random() < 0.3)
        size = compiled(lengths, slack_s, order, MOST, planned, service_s, knots, chosen)  # type: ignore[operator]
        assert chosen[:size].tolist() == choose(lengths.tolist(), slack_s.tolist(), planned=planned)


def test_the_least_gain_is_asked_for() -> None:
    """Two at once take just less, or just more, of what they take alone than ``LEAST_GAIN`` says."""
    for more, taken in ((1.001, 1), (0.999, 2)):
        assert len(choose([8, 8], service_s=[[1.0] * 5, [2.0 / LEAST_GAIN * more] * 5], most=2)) == taken
    nearly = [[1.0] * 5, [1.0] * 5, [1.5 * (1.0 + (1.0 - AS_GOOD) / 2)] * 5]
    assert len(choose([8, 8, 8], service_s=nearly, most=3)) == 2
