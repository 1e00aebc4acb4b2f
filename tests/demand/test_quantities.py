"""Quantities as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tightrope.base.records import Slo
from tightrope.demand.quantities import Bytes, Change, Heldout, Seconds, Share, parse_clock, parse_slo


@pytest.mark.parametrize(
    ("text", "slo"),
    [
        ("ttft p95 <= 3 s", Slo("ttft", 0.95, 3.0)),
        ("tpot p99.9 ≤ 120ms", Slo("tpot", 0.999, 0.12)),
        (" LATENCY  p50 < 1 min ", Slo("latency", 0.5, 60.0)),
    ],
)
def test_a_promise_is_read(text: str, slo: Slo) -> None:
    found = parse_slo(text)
    assert (found.metric, found.percentile, found.limit_s) == (slo.metric, pytest.approx(slo.percentile), slo.limit_s)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft p95 <= 3", "units us, ms, s"),
        ("tfft p95 <= 3 s", "metric 'tfft', expected ttft"),
        ("ttft p100 <= 3 s", "between p0 and p100"),
        ("ttft p95 <= 0 s", "limit above 0"),
        ("ttft p95 >= 3 s", "such as 'ttft p95"),
        (3, "such as 'ttft p95"),
        (None, "such as 'ttft p95"),
    ],
)
def test_what_is_no_promise_is_refused(text: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_slo(text)


@given(metric=st.sampled_from(["latency", "ttft", "tpot"]), percent=st.integers(1, 99), limit_ms=st.integers(1, 100_000))
def test_a_promise_survives_being_written(metric: str, percent: int, limit_ms: int) -> None:
    slo = parse_slo(f"{metric} p{percent} <= {limit_ms} ms")
    again = parse_slo(str(slo))
    assert (again.metric, again.percentile) == (slo.metric, slo.percentile)
    assert again.limit_s == pytest.approx(slo.limit_s, rel=1e-5)


@pytest.mark.parametrize(("text", "hours"), [("00:00", 0.0), ("6:30", 6.5), ("24:00", 24.0)])
def test_a_time_of_day_is_read(text: str, hours: float) -> None:
    assert parse_clock(text) == hours


@pytest.mark.parametrize("text", ["24:01", "12:60", "25:00", "noon", 22, 1320, None])
def test_what_is_no_time_of_day_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="such as '22:00'"):
        parse_clock(text)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Seconds, "5 days", 432_000.0),
        (Seconds, "250ms", 0.25),
        (Bytes, "23 MB", 23e6),
        (Share, "70 %", 0.7),
        (Share, 0.7, 0.7),
        (Share, 1, 1.0),
        (Change, "-10 %", -0.1),
        (Change, "150 %", 1.5),
        (Heldout, "5 days", "5 days"),
        (Heldout, "30 %", 0.3),
    ],
)
def test_quantities_are_read_exactly(kind: object, value: object, expected: object) -> None:
    assert TypeAdapter(kind).validate_python(value) == expected


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Seconds, 250, "without a unit"),
        (Seconds, "250", "one of the units"),
        (Seconds, "0 s", "greater than 0"),
        (Seconds, "-1 s", "greater than 0"),
        (Bytes, float("nan"), "without a unit"),
        (Bytes, "1 parsec", "one of the units"),
        (Share, "101 %", "less than or equal to 1"),
        (Share, -0.1, "greater than or equal to 0"),
        (Share, float("nan"), "finite"),
        (Share, True, "such as '25 %'"),
        (Change, "-100 %", "greater than -1"),
        (Heldout, 5, "between 0 and 1"),
        (Heldout, "5 fortnights", "one of the units"),
    ],
)
def test_what_could_be_read_two_ways_is_refused(kind: object, value: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(kind).validate_python(value)
