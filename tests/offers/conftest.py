"""Prices and usage made by hand; how sellers apply commitments is as in the shipped catalogues."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from tightrope.base.catalogue import CommitmentRule, MachineType, PriceRow, Stock, TokenPrice, UnitPrice
from tightrope.base.errors import build_unknown_name_error
from tightrope.base.plan import Usage, UsageLine
from tightrope.clouds.book import load_price_book
from tightrope.clouds.token_prices import token_price

RateTable = Mapping[tuple[str, str], str | Decimal]
DAY = date(2026, 1, 1)
MACHINES = {
    "c6i.large": ("aws", "c6i", 2),
    "c6i.xlarge": ("aws", "c6i", 4),
    "c6i.4xlarge": ("aws", "c6i", 16),
    "g5.xlarge": ("aws", "g5", 4),
    "g5.2xlarge": ("aws", "g5", 8),
    "p5.48xlarge": ("aws", "p5", 192),
    "Standard_D2s_v5": ("azure", "Dsv5", 2),
    "Standard_D8s_v5": ("azure", "Dsv5", 8),
    "Standard_NC4as_T4_v3": ("azure", "NCasT4_v3", 4),
    "g2-standard-4": ("gcp", "g2", 4),
    "n2-standard-2": ("gcp", "n2", 2),
    "n2-standard-8": ("gcp", "n2", 8),
    "n1-standard-4": ("gcp", "n1", 4),
}
"""Machine → cloud, family, vCPUs; any other is of AWS, a family of its own."""
CLOUD_REGIONS = {"aws": "us-east-1", "azure": "eastus", "gcp": "us-central1"}


class Rates:
    """``contracts.Prices`` from (machine, offer) → US dollars an hour; the same in every region but ``nowhere``."""

    def __init__(
        self, rates: RateTable, interruptions_per_month: float | None, rules: dict[tuple[str, str], CommitmentRule]
    ) -> None:
        self.rates, self.interruptions_per_month, self.rules = rates, interruptions_per_month, rules

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the rate as a row."""
        rate = None if region == "nowhere" else self.rates.get((machine, offer))
        if rate is None:
            return None
        share = self.interruptions_per_month if offer == "spot" else None
        cloud = MACHINES.get(machine, ("aws",))[0]
        rule = self.rules.get((cloud, offer))
        upfront = Decimal(rate) * 8760 * rule.term_years * rule.upfront_share if rule else Decimal(0)
        return PriceRow(cloud, region, machine, offer, Decimal(rate), 3, share, "list", "made by hand", DAY, upfront_usd=upfront)

    def machine(self, name: str) -> MachineType:
        """Return the machine."""
        cloud, family, vcpu = MACHINES.get(name, ("aws", f"family of {name}", 4))
        return MachineType(cloud, name, family, vcpu, 4.0 * vcpu, "amd64", "", 0, 0.0, "made by hand", DAY)

    def machines(self, families: Iterable[str] = ()) -> tuple[MachineType, ...]:
        """Return the machines that have a rate, of these families or types."""
        known = [self.machine(name) for name in dict.fromkeys(machine for machine, _ in self.rates)]
        wanted = set(families)
        for name in wanted - {item.family for item in known} - {item.name for item in known}:
            raise build_unknown_name_error(name, kind="machine", known=[item.name for item in known])
        return tuple(item for item in known if not wanted or wanted & {item.family, item.name})

    def commitment(self, cloud: str, offer: str) -> CommitmentRule:
        """Return the rule of the shipped catalogue."""
        if (cloud, offer) not in self.rules:
            raise build_unknown_name_error(
                offer, kind=f"commitment of {cloud}", known=[name for seller, name in self.rules if seller == cloud]
            )
        return self.rules[cloud, offer]

    def unit_price(self, cloud: str, region: str, item: str) -> UnitPrice:
        """Refuse: there are none."""
        raise build_unknown_name_error(item, kind=f"priced item of {cloud} {region}", known=())

    def token_price(self, provider: str, model: str) -> TokenPrice:
        """Return the price of the list."""
        return token_price(provider, model)

    def stock(self, machine: str, site: str) -> Stock | None:
        """Return None: nothing is one's own."""
        del machine, site
        return None


@pytest.fixture(scope="session")
def make_rates() -> Callable[..., Rates]:
    """Return a function from (machine, offer) → US dollars an hour to ``Prices``."""
    rules = load_price_book().commitments

    def make(rates: RateTable, interruptions_per_month: float | None = 0.2) -> Rates:
        return Rates(rates, interruptions_per_month, rules)

    return make


@pytest.fixture(scope="session")
def make_usage() -> Callable[..., Usage]:
    """Return a function from (machine, offer) lines, machine-hours per line and hour, and hours per month, to ``Usage``.

    Each line is a pool in its cloud's region; a line may name another region as its third.
    """

    def line(number: int, machine: str, offer: str, region: str = "") -> UsageLine:
        cloud = MACHINES.get(machine, ("aws",))[0]
        return UsageLine(f"pool {number}", cloud, region or CLOUD_REGIONS[cloud], machine, offer)

    def make(lines: list[tuple[str, ...]], hours: list[list[float]], hours_per_month: list[float]) -> Usage:
        named = tuple(line(number, *stated) for number, stated in enumerate(lines))
        shaped = np.array(hours, dtype=np.float64).reshape(len(lines), len(hours_per_month))
        return Usage(named, shaped, np.array(hours_per_month, dtype=np.float64))

    return make
