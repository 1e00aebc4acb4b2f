"""Prices and usage made by hand."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from tightrope.base.catalogue import PriceRow
from tightrope.base.plan import Usage, UsageLine

RateTable = Mapping[tuple[str, str], str | Decimal]


class Rates:
    """``contracts.Prices`` from (machine, offer) → US dollars an hour; the same in every region."""

    def __init__(self, rates: RateTable, interruptions_per_month: float | None) -> None:
        self.rates, self.interruptions_per_month = rates, interruptions_per_month

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the rate as a row."""
        rate = self.rates.get((machine, offer))
        share = self.interruptions_per_month if offer == "spot" else None
        day = date(2026, 1, 1)
        return rate and PriceRow("aws", region, machine, offer, Decimal(rate), 3, share, "list", "made by hand", day)


@pytest.fixture(scope="session")
def make_rates() -> Callable[..., Rates]:
    """Return a function from (machine, offer) → US dollars an hour to ``Prices``."""

    def make(rates: RateTable, interruptions_per_month: float | None = 0.2) -> Rates:
        return Rates(rates, interruptions_per_month)

    return make


@pytest.fixture(scope="session")
def make_usage() -> Callable[..., Usage]:
    """Return a function from (machine, offer) lines, machine-hours per line and hour, and hours per month, to ``Usage``."""

    def make(lines: list[tuple[str, str]], hours: list[list[float]], hours_per_month: list[float]) -> Usage:
        named = tuple(UsageLine(f"pool {i}", "aws", "r", machine, offer) for i, (machine, offer) in enumerate(lines))
        shaped = np.array(hours, dtype=np.float64).reshape(len(lines), len(hours_per_month))
        return Usage(named, shaped, np.array(hours_per_month, dtype=np.float64))

    return make
