"""Keys of recorded requests: read from a trace, cut and drawn with it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.records import Demand
from tightrope.demand.arrivals import draw_arrivals
from tightrope.demand.blocks import split_demand
from tightrope.demand.request_keys import draw_keys, places_of, times_of
from tightrope.demand.trace import load_arrivals


@pytest.fixture
def demand() -> Demand:
    """Return ten minutes with one request in each of the first five and three in each of the others."""
    counts = np.array([1.0] * 5 + [3.0] * 5)
    key = np.arange(20) % 7
    sizes = np.arange(1, 21)
    return Demand(60.0, counts / 60.0, sizes, sizes, 1.0, np.zeros(0), "by hand", key=key)


def test_places_follow_the_expected_requests(demand: Demand) -> None:
    assert places_of(demand, np.array([0.0, 60.0, 300.0, 360.0, 600.0])).tolist() == [0, 1, 5, 8, 20]
    assert places_of(demand, times_of(demand)).tolist() == list(range(20))
    listed = replace(demand, arrival_s=np.arange(20.0) * 30.0)
    assert places_of(listed, np.array([30.0, 31.0])).tolist() == [1, 2]


def test_a_request_that_stands_for_two_gives_its_key_once(demand: Demand) -> None:
    assert demand.key is not None
    at, key = draw_keys(demand, demand.key, np.array([10.0, 20.0, 70.0]))
    assert at.tolist() == [0, 0, 1]
    assert key.tolist() == [0, -1, 1]


def test_drawn_requests_are_the_recorded_ones_of_their_time(demand: Demand) -> None:
    drawn = draw_arrivals(demand, 0.0, 600.0, 3)
    assert drawn.key is not None
    assert drawn.input_tokens.tolist() == (places_of(demand, drawn.time_s) + 1).tolist()
    kept = drawn.key >= 0
    assert demand.key is not None
    assert drawn.key[kept].tolist() == demand.key[drawn.input_tokens[kept] - 1].tolist()
    assert len(drawn.key) == len(drawn)


def test_a_part_takes_its_requests_with_it(demand: Demand) -> None:
    split = split_demand(demand, 0.5)
    assert split.sizing.key is not None
    assert split.sizing.input_tokens.tolist() == [1, 2, 3, 4, 5]
    assert split.heldout.input_tokens.tolist() == list(range(6, 21))
    assert split.sizing.key.tolist() == [0, 1, 2, 3, 4]


def test_keys_are_read_from_a_trace(write: Callable[[str, str | bytes], Path]) -> None:
    rows = ["time_s,cache_key", "0.5,a", "30.25,b", "61.75,", "95.5,a"]
    found = load_arrivals(write("trace.csv", "\n".join(rows))).key
    assert found is not None
    assert found.tolist() == [0, 1, -1, 0]
    named = write("named.csv", "\n".join(["time_s,what", *rows[1:]]))
    assert load_arrivals(named).key is None
    found = load_arrivals(named, columns={"key": "what"}).key
    assert found is not None
    assert found.tolist() == [0, 1, -1, 0]
