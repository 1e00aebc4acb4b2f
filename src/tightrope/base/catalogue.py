"""Sellers' offers as dated facts: machines, prices, and the rules of each payment option.

Money is ``Decimal`` US dollars. Every fact names its public ``source`` and the day it was read (``seen``). ``basis`` is ``list``
for a published price or the exact sum of published parts, and ``derived`` for a price computed from other figures; the source
explains how. An unknown value is None or empty, never a number.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

ANY = "*"
"""In a ``Discount``: every family, or every region."""
ON_DEMAND = "on-demand"
SPOT = "spot"
OWNED = "owned"
"""The cloud of owned machines, and their only offer."""
OLD_DAYS = 90
"""Older prices are marked and cause a warning, since vendors change prices this often."""

VOLUMES = {"GB": 1e9, "GiB": 2.0**30}
"""Unit of data → bytes."""
UNITS = {
    "internet-egress": ("GB", "GiB"),
    "cdn-egress": ("GB", "GiB"),
    "cdn-requests": ("million requests",),
    "inter-zone-transfer": ("GB", "GB each way", "GB sent", "GiB", "GiB each way", "GiB sent"),
    "inter-region-transfer": ("GB", "GiB"),
    "object-storage": ("GB-month", "GiB-month"),
    "object-storage-writes": ("million requests",),
    "object-storage-reads": ("million requests",),
    "block-storage": ("GB-month", "GiB-month"),
    "load-balancer": ("hour",),
    "load-balancer-traffic": ("GB", "GiB", "LCU-hour"),
    "nat-gateway": ("hour",),
    "nat-gateway-traffic": ("GB", "GiB"),
    "kubernetes-control-plane": ("hour",),
    "serverless-duration": ("GB-second", "GiB-second"),
    "serverless-duration-arm": ("GB-second", "GiB-second"),
    "serverless-provisioned": ("GB-second", "GiB-second"),
    "serverless-requests": ("million requests",),
    "serverless-cpu": ("vCPU-second",),
    "serverless-memory": ("GB-second", "GiB-second"),
    "serverless-gpu-l4": ("GPU-second",),
    "container-cpu": ("vCPU-hour", "vCPU-second"),
    "container-cpu-arm": ("vCPU-hour",),
    "container-memory": ("GB-hour", "GiB-hour", "GiB-second"),
    "container-memory-arm": ("GB-hour", "GiB-hour"),
}
"""Item of a unit price → its allowed units."""


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine that a seller rents out or the user owns: one row of a catalogue."""

    cloud: str
    name: str
    family: str
    vcpu: int
    memory_gib: float
    arch: str
    accelerator: str
    """Accelerator model in lower case (``t4``), empty where there is none."""
    accelerators: int
    accelerator_memory_gib: float
    """Memory of one accelerator (or of the rented part of one) as its maker states it, the same for every seller. Programs see a few per
    cent less. 0 where there is none."""
    source: str
    seen: date
    network_gbps: float | None = None
    """Peak network bandwidth, gigabits a second; None where unknown."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Price of one machine-hour under one offer: a dated fact with its public source."""

    cloud: str
    region: str
    machine: str
    offer: str
    usd_per_hour: Decimal
    """Everything that is paid; the upfront payment is spread over the hours of the term (a year has 8,760)."""
    zones: int
    """Availability zones of the region that sell it; 0 where unknown."""
    interruptions_per_month: float | None
    """Share of machines interrupted in a month; None where never interrupted, or unknown."""
    basis: Literal["list", "derived"]
    source: str
    seen: date
    zone: str = ""
    """The only zone that the price holds in; empty for the whole region."""
    upfront_usd: Decimal = Decimal(0)
    """Upfront payment for one machine, at the start of the term."""


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """A price that is not per machine-hour: egress, storage, disks, serverless and container services, load balancers."""

    cloud: str
    region: str
    item: str
    unit: str
    usd: Decimal
    """0 only where the seller states that it is free."""
    basis: Literal["list", "derived"]
    source: str
    seen: date
    above: Decimal = Decimal(0)
    """Units a month above which this price holds, up to the next tier; units below the lowest tier are free."""

    @property
    def usd_per_gb(self) -> float:
        """The price of 10⁹ bytes in US dollars, per month, hour or second as the unit says; KeyError for a unit without data.

        >>> row = UnitPrice("gcp", "r", "block-storage", "GiB-month", Decimal("0.1073741824"), "list", "s", date(2026, 1, 1))
        >>> round(row.usd_per_gb, 9)
        0.1
        """
        volume = self.unit.partition("-")[0].partition(" ")[0]
        return float(self.usd) * VOLUMES["GB"] / VOLUMES[volume]


@dataclass(frozen=True, slots=True)
class Discount:
    """An offer's discount on the on-demand price of a family; it gives a derived rate where no exact rate is known."""

    cloud: str
    region: str
    """A region, or ``*``."""
    family: str
    """A machine family, or ``*``."""
    offer: str
    share_off: Decimal
    """Discounted part of the on-demand price, in (0, 1)."""
    source: str
    seen: date


@dataclass(frozen=True, slots=True)
class CommitmentRule:
    """How one seller applies one commitment: its coverage, term and order."""

    cloud: str
    offer: str
    scope: Literal["machine", "family", "region", "any"]
    """Coverage of one commitment: a machine type of a region, a family of a region, a whole region, or everything."""
    term_years: int
    upfront_share: Decimal
    """Upfront part of the whole term's price, in [0, 1]."""
    order: int
    """Commitments of a lower order are applied first; commitments of equal order are applied together."""
    inflexible_families: str
    """With the scope ``machine``: space-separated families in which it covers the exact size only, or ``*`` for all. In any other
    family it also covers other sizes, by their vCPUs. Empty for no such family."""
    excluded_families: str
    """Families that it does not cover, separated by spaces."""
    rate: Literal["fixed", "floating"]
    """Whether the term keeps the rate of the purchase day, or follows the seller's current rate."""
    source: str
    seen: date

    def covers_other_sizes(self, family: str) -> bool:
        """Return whether a commitment to one size of a family also covers its other sizes.

        >>> rule = CommitmentRule(
        ...     "aws", "reserved-1y", "machine", 1, Decimal(0), 1, "g5 g6", "", "fixed", "AWS documentation", date(2026, 11, 24)
        ... )
        >>> rule.covers_other_sizes("g6"), rule.covers_other_sizes("c6i")
        (False, True)
        """
        return self.scope != "machine" or not {family, ANY} & set(self.inflexible_families.split())


@dataclass(frozen=True, slots=True)
class TokenTier:
    """Prices of all tokens of a request whose prompt is longer than ``above_prompt_tokens``; US dollars a million."""

    above_prompt_tokens: int
    input_usd_per_million: Decimal | None
    output_usd_per_million: Decimal | None
    cached_input_usd_per_million: Decimal | None


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """One provider's prices for the tokens of one model, US dollars a million; None where the list states none."""

    provider: str
    model: str
    """The list's own name; it may be shorter than the requested one, since one name covers a model's dated versions."""
    input_usd_per_million: Decimal | None
    output_usd_per_million: Decimal | None
    cached_input_usd_per_million: Decimal | None
    cache_write_usd_per_million: Decimal | None
    batch_input_usd_per_million: Decimal | None
    """For deferrable requests; None where the list has no such rate."""
    batch_output_usd_per_million: Decimal | None
    tiers: tuple[TokenTier, ...]
    """Prices for longer prompts, the shortest first; a tier applies to all tokens of a request."""
    context_tokens: int | None
    since: date | None
    """The first day of this price; None where the list does not state it."""
    seen: date | None
    """The last day on which the provider's prices are known to have been read; None where the list does not state it."""
    source: str
    note: str
    """The list's remark on the price, and the rate chosen here where the price depends on the hour."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Owned machines of one type at one site, with the part of their hourly cost that is paid only while they run."""

    machine: str
    site: str
    quantity: int
    running_usd_per_hour: Decimal
    """Power of one machine."""
    source: str
    seen: date


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A price that a seller's list no longer held on a day: it is not in force from that day on."""

    cloud: str
    region: str
    machine: str
    offer: str
    source: str
    seen: date
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All facts of one seller (or one folder of tables), of all dates, in row order (append-only)."""

    machines: tuple[MachineType, ...] = ()
    prices: tuple[PriceRow, ...] = ()
    unit_prices: tuple[UnitPrice, ...] = ()
    discounts: tuple[Discount, ...] = ()
    commitments: tuple[CommitmentRule, ...] = ()
    withdrawn: tuple[Withdrawal, ...] = ()
    stocks: tuple[Stock, ...] = ()
