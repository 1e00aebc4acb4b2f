"""Batches of requests of unlike length: who goes together, who waits, what fills up; by hand, beside the slow engine that agrees on all."""

from dataclasses import replace

import numpy as np
import pytest
from fleets import engine, fleet, poisson, pool, replay, traffic, treated

from tightrope.base.records import RequestEngine
from tightrope.replay.records import Outcome, Traffic

UNLIKE = RequestEngine((4.0, 7.8, 11.6), 0.0, (10, 40), ((1.0, 4.0), (1.2, 7.8), (1.4, 11.6)))
"""Batches pay where all are short, hardly where all are long."""


def requests(*sizes: int, at_s: tuple[float, ...] = (), kinds: tuple[int, ...] = ()) -> Traffic:
    """Return requests of these lengths, the first at 0 and all others soon after."""
    times_s = at_s or (0.0, *(0.1 + 0.01 * place for place in range(len(sizes) - 1)))
    return traffic(times_s, [(size, 1) for size in sizes], kinds)


def ends(outcome: Outcome) -> list[float]:
    return np.round(outcome.finish_s, 6).tolist()


def test_near_lengths_go_together_and_the_first_always_goes() -> None:
    outcome = replay(fleet(pool(UNLIKE)), requests(40, 10, 40, 12, 10))
    assert ends(outcome) == [4.0, 5.2, 9.2, 10.4, 5.2]
    assert outcome.begin_s[3] == pytest.approx(9.2), "12 beside 10 and 10 costs more than it saves"


def test_times_between_and_beyond_the_lengths() -> None:
    outcome = replay(fleet(pool(UNLIKE)), requests(25, 80, 5, at_s=(0.0, 100.0, 200.0)))
    assert outcome.latency_s.tolist() == pytest.approx([2.5, 8.0, 1.0])
    one = RequestEngine((3.0,), 0.0, (10,), ((3.0,),))
    assert replay(fleet(pool(one)), requests(80)).latency_s.tolist() == [3.0], "known at one length, it does not depend on it"


def test_nobody_is_made_late_by_company() -> None:
    what = fleet(pool(UNLIKE))
    alone = treated(what, {"answer_within_s": 1.1})
    sizes = requests(10, 10, 10)
    assert ends(replay(what, sizes)) == [1.0, 2.2, 2.2]
    assert ends(replay(alone, requests(10, 10, 10, at_s=(0.0, 0.95, 0.95)))) == [1.0, 2.0, 3.0]
    assert ends(replay(alone, sizes)) == [1.0, 2.2, 2.2], "who is late already is not made late"


def test_a_lower_priority_joins_what_is_not_full() -> None:
    what = fleet(pool(UNLIKE), deferrable=(False, False))
    sizes = requests(40, 10, 10, 10, 10, kinds=(1, 1, 1, 0, 0))
    low = treated(what, {"priority": 1}, {})
    assert ends(replay(low, sizes)) == [4.0, 5.4, 6.4, 5.4, 5.4]
    full = requests(40, 10, 10, 10, 10, kinds=(1, 1, 0, 0, 0))
    assert ends(replay(low, full)) == [4.0, 6.4, 5.4, 5.4, 5.4]


def test_what_can_wait_fills_up_where_it_costs_less_than_alone() -> None:
    what = fleet(pool(UNLIKE, deferrable_limit=3), deferrable=(False, True))
    sizes = requests(40, 10, 40, 10, 10, kinds=(0, 0, 1, 1, 1))
    assert ends(replay(what, sizes)) == [4.0, 5.4, 9.4, 5.4, 5.4]


def test_what_can_wait_takes_an_engine_for_a_quarter_of_the_shortest_promise() -> None:
    what = fleet(pool(UNLIKE, deferrable_limit=3), deferrable=(False, True))
    sizes = requests(10, 10, 10, 10, kinds=(1, 1, 1, 1))
    assert ends(replay(what, sizes)) == [1.0, 2.4, 2.4, 2.4]
    for within_s, last in ((4.9, [2.2, 2.2, 3.2]), (1.0, [2.0, 3.0, 4.0])):
        hurried = treated(what, {"answer_within_s": within_s}, {})
        assert ends(replay(hurried, sizes)) == [1.0, *last]


def test_a_partial_batch_waits_only_where_requests_come_fast_enough() -> None:
    what = fleet(pool(UNLIKE, max_wait_s=2.0))
    slow = replay(what, requests(10, 10, at_s=(0.0, 1.5)))
    assert slow.begin_s.tolist() == [0.0, 1.5], "one tenth a second saves less than it waits for"
    many = 40
    fast = replay(what, requests(*[10] * many, at_s=tuple(0.01 * place for place in range(many))))
    assert fast.begin_s[0] == 0.0
    assert fast.begin_s[-1] > 0.01 * many
    assert np.unique(fast.begin_s[1:-1], return_counts=True)[1].tolist()[1:-1].count(3) >= 11, "three go together once many come"


def test_an_engine_of_one_curve_for_all_lengths_is_as_good_as_one_without_where_batches_pay() -> None:
    times_s = (1.0, 1.2, 1.4, 1.6)
    flat = RequestEngine(times_s, 0.0, (1, 500), tuple((time_s, time_s) for time_s in times_s))
    sizes = [(1 + number % 300, 1) for number in range(400)]
    arrivals = traffic(poisson(2.0, 400), sizes)
    mine, plain = (replay(fleet(pool(model, 2)), arrivals) for model in (flat, engine(*times_s)))
    assert mine.busy_hours.tolist() == pytest.approx(plain.busy_hours.tolist(), rel=0.02)
    assert mine.latency_s.mean() == pytest.approx(plain.latency_s.mean(), rel=0.05)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"lengths": (40, 10)}, "lengths: got"),
        ({"lengths": (0, 10)}, "lengths: got"),
        ({"lengths": (10,)}, "service_by_length_s: got rows of"),
        ({"lengths": ()}, "service_by_length_s: got rows of"),
        ({"service_s": (4.0, 7.8)}, "service_by_length_s: got 3 rows, expected 2"),
        ({"service_by_length_s": ()}, "service_by_length_s: got 0 rows, expected 3"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(changed: dict[str, object], words: str) -> None:
    wrong = replace(UNLIKE, **changed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=words):
        replay(fleet(pool(wrong)), requests(10))
