"""Units: user quantities become base units; the error for a missing or wrong unit lists the accepted units."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.units import (
    BYTES,
    GIB,
    HOURS_PER_MONTH,
    SECONDS,
    parse_bytes,
    parse_quantity,
    parse_seconds,
    parse_share,
)

amounts = st.floats(min_value=0, max_value=1e12, allow_subnormal=False)


@given(amounts, st.sampled_from(sorted(SECONDS)), st.sampled_from(["", " ", "  "]))
def test_a_duration_is_its_number_times_its_unit(amount: float, unit: str, space: str) -> None:
    assert parse_seconds(f"{amount!r}{space}{unit}") == amount * SECONDS[unit]


@given(amounts, st.sampled_from(sorted(BYTES)))
def test_a_size_is_its_number_times_its_unit(amount: float, unit: str) -> None:
    assert parse_bytes(f" {amount!r} {unit} ") == amount * BYTES[unit]


@given(st.text(max_size=20))
def test_nothing_but_a_value_error_escapes(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert not math.isnan(parse_seconds(text))
        assert text.strip().endswith(tuple(SECONDS))


@pytest.mark.parametrize("text", ["250", "250 parsecs", "ms", "", "1.2.3 s", "nan s", "inf s", "1 MS", "0x10 s", "1 s s"])
def test_a_wrong_duration_lists_the_units(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number with one of the units us, ms, s, min, m, h, d"):
        parse_seconds(text)


def test_decimal_and_binary_sizes_are_not_confused() -> None:
    assert parse_bytes("1 GB") == 1e9
    assert parse_bytes("1 GiB") == GIB == 2**30
    assert parse_quantity("1_000 kB", BYTES) == 1e6


@given(st.floats(min_value=0, max_value=1))
def test_a_share_may_be_written_three_ways(share: float) -> None:
    assert parse_share(share) == parse_share(repr(share)) == share
    assert parse_share(f"{100 * share!r} %") == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("value", [-0.01, 1.01, "101 %", "-1 %", math.nan, math.inf, "40 percent", "", "half"])
def test_an_invalid_share_is_rejected(value: str | float) -> None:
    with pytest.raises(ValueError, match=r"expected a (share from 0 to 1|number with one of the units)"):
        parse_share(value)


def test_a_month_is_a_twelfth_of_a_year() -> None:
    assert HOURS_PER_MONTH * 12 == 365 * 24
