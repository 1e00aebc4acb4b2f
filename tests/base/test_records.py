"""The records: their derived properties, and that all are frozen."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base import plan, records
from tightrope.base.records import Deferral, Demand, RequestEngine, Slo

hours = st.floats(min_value=0, max_value=24)


@given(hours, hours)
def test_a_deferral_ends_at_its_deadline_within_a_day(release_h: float, deadline_h: float) -> None:
    window_h = Deferral(release_h, deadline_h).window_h
    assert 0 < window_h <= 24
    off_h = (release_h + window_h - deadline_h) % 24
    assert min(off_h, 24 - off_h) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("slo", "text"),
    [
        (Slo("ttft", 0.95, 1.0), "ttft p95 ≤ 1 s"),
        (Slo("tpot", 0.95, 0.12), "tpot p95 ≤ 120 ms"),
        (Slo("latency", 0.999, 0.0005), "latency p99.9 ≤ 0.5 ms"),
    ],
)
def test_an_slo_has_the_usual_notation(slo: Slo, text: str) -> None:
    assert str(slo) == text


def test_a_demand_counts_its_requests_and_its_length() -> None:
    one = np.ones(1, dtype=np.int64)
    demand = Demand(600.0, np.array([1.0, 0.0, 2.5]), one, one, 1.0, np.empty(0), "three bins")
    assert demand.duration_s == 1800.0
    assert demand.requests == 2100.0


def test_the_longest_profiled_batch_is_the_largest() -> None:
    assert RequestEngine((0.01, 0.015, 0.019), load_s=8.0).max_batch == 3


def test_every_record_is_frozen() -> None:
    both = {**vars(records), **vars(plan)}
    kinds = [value for value in both.values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
    assert len(kinds) > 20
    assert [kind.__name__ for kind in kinds if not kind.__dataclass_params__.frozen] == []
