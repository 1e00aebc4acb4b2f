from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tightrope.serve.ledger.machine_hours import Stretch, extend, machine_hours, paid_nusd, together
from tightrope.serve.ledger.meter import MACHINE_HOUR

RATES = st.tuples(st.integers(0, 5), st.none() | st.integers(0, 10**12))


@st.composite
def rows(draw: st.DrawFn) -> list[Stretch]:
    """Draw what one gateway sees, with gaps, in machine-hours so that nothing is rounded."""
    stretches: list[Stretch] = []
    at = draw(st.integers(0, 5))
    for _ in range(draw(st.integers(0, 6))):
        at += draw(st.integers(0, 2))
        lasts = draw(st.integers(1, 4))
        machines, price = draw(RATES)
        extend(stretches, (at, at + lasts, machines * MACHINE_HOUR, price))
        at += lasts
    return stretches


@given(rows(), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_times_that_follow_one_another_add_up(row: list[Stretch], one: int, two: int, three: int) -> None:
    first, middle, last = sorted((one, two, three))
    parts = [paid_nusd(row, first, middle), paid_nusd(row, middle, last)]
    whole = paid_nusd(row, first, last)
    assert whole == (None if None in parts else sum(part or 0 for part in parts))
    assert machine_hours(row, first, last) == machine_hours(row, first, middle) + machine_hours(row, middle, last)


@given(st.lists(rows(), max_size=4))
def test_what_several_see_of_one_fleet_is_paid_once_at_every_instant(several: list[list[Stretch]]) -> None:
    merged = together(several)
    assert all(one[1] <= two[0] for one, two in pairwise(merged))
    for instant in range(45):
        seen = [paid_nusd(row, instant, instant + 1) for row in several]
        assert paid_nusd(merged, instant, instant + 1) == (None if None in seen else max((part or 0 for part in seen), default=0))


def test_stretches_that_say_the_same_are_one() -> None:
    row: list[Stretch] = []
    for stretch in ((0, 5, 1, 7), (5, 9, 1, 7), (9, 10, 2, 7), (12, 13, 2, 7)):
        extend(row, stretch)
    assert row == [(0, 9, 1, 7), (9, 10, 2, 7), (12, 13, 2, 7)]
