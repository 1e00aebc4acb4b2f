"""What sellers offer, as dated facts: machines, prices, and the rules that come with a way of paying.

Money is ``Decimal`` US dollars. Every fact says where it can be read in public (``source``) and when it was (``seen``); ``basis``
is ``list`` for a price that the vendor publishes, or the exact sum of parts that it publishes, and ``derived`` for one computed
from other figures, in a way that its source tells. What is unknown is None or empty, never a figure that could be mistaken for one.
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
"""The cloud of machines of one's own, and their one offer."""
OLD_DAYS = 90
"""A price that was seen longer ago is marked and warned of: vendors change theirs within such a time."""

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
"""Item of a unit price → the units that it may be in."""


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine that a seller rents out (or that the user owns), one row of a catalogue."""

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
    """Memory of one accelerator as its maker states it (a part of a chip: of that part), the same with every seller of a chip; a program
    sees some per cent less. 0 where there is none."""
    source: str
    seen: date
    network_gbps: float | None = None
    """Bandwidth to the network at its best, gigabits a second; None where unknown."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one machine costs for one hour under one offer: a dated fact with its public source."""

    cloud: str
    region: str
    machine: str
    offer: str
    usd_per_hour: Decimal
    """All that is paid, what is paid at the start of a term spread over its hours (a year has 8,760)."""
    zones: int
    """Availability zones in which the region sells it; 0 where unknown."""
    interruptions_per_month: float | None
    """Share of machines interrupted in a month; None where the offer is never interrupted or the figure is unknown."""
    basis: Literal["list", "derived"]
    source: str
    seen: date
    zone: str = ""
    """The one zone that the price holds in; empty for the region as a whole."""
    upfront_usd: Decimal = Decimal(0)
    """The part that is paid at the start of the term, for one machine."""


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """A price that is not per machine-hour: egress, storage, disks, serverless and container services, load balancers."""

    cloud: str
    region: str
    item: str
    unit: str
    usd: Decimal
    """0 only where the seller says that it is free."""
    basis: Literal["list", "derived"]
    source: str
    seen: date
    above: Decimal = Decimal(0)
    """Units a month beyond which this price holds, up to the next tier; what lies below the lowest tier is free."""

    @property
    def usd_per_gb(self) -> float:
        """The price of 10⁹ bytes (for a month, an hour, a second: as the unit says), US dollars; KeyError where it is of no data.

        >>> row = UnitPrice("gcp", "r", "block-storage", "GiB-month", Decimal("0.1073741824"), "list", "s", date(2026, 1, 1))
        >>> round(row.usd_per_gb, 9)
        0.1
        """
        volume = self.unit.partition("-")[0].partition(" ")[0]
        return float(self.usd) * VOLUMES["GB"] / VOLUMES[volume]


@dataclass(frozen=True, slots=True)
class Discount:
    """What an offer takes off the on-demand price of a family, where no rate of its own is known: such a rate is derived."""

    cloud: str
    region: str
    """A region, or ``*``."""
    family: str
    """A machine family, or ``*``."""
    offer: str
    share_off: Decimal
    """Part of the on-demand price that is taken off, in (0, 1)."""
    source: str
    seen: date


@dataclass(frozen=True, slots=True)
class CommitmentRule:
    """How one seller applies one commitment: what it covers, for how long, and in which order."""

    cloud: str
    offer: str
    scope: Literal["machine", "family", "region", "any"]
    """What one commitment covers: one machine type of one region, a family of one region, all of one region, or everything."""
    term_years: int
    upfront_share: Decimal
    """Part of the whole term's price that is paid at its start, in [0, 1]."""
    order: int
    """Commitments of a lower order are applied first; those of one order together."""
    inflexible_families: str
    """With the scope ``machine``: families (with a space between) of which it covers the exact size only, or ``*`` for all; it
    covers other sizes of any other family by their vCPUs. Empty where this says nothing."""
    excluded_families: str
    """Families that it does not cover, with a space between."""
    rate: Literal["fixed", "floating"]
    """Whether the rate of the day of purchase holds for the term, or the seller's rate of the day."""
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
    """What one provider charges for the tokens of one model, US dollars a million; None where the list does not say."""

    provider: str
    model: str
    """The list's own name, which may be shorter than the one asked for: one name stands for a model's dated versions."""
    input_usd_per_million: Decimal | None
    output_usd_per_million: Decimal | None
    cached_input_usd_per_million: Decimal | None
    cache_write_usd_per_million: Decimal | None
    batch_input_usd_per_million: Decimal | None
    """For requests that can wait; None where the list has no such rate."""
    batch_output_usd_per_million: Decimal | None
    tiers: tuple[TokenTier, ...]
    """Prices for longer prompts, the shortest first; such a tier holds for all tokens of a request."""
    context_tokens: int | None
    since: date | None
    """The first day of this price; None where the list does not say."""
    seen: date | None
    """The newest day on which the provider's prices are known to have been read; None where the list does not say."""
    source: str
    note: str
    """What the list says about the price, and what was chosen here where it depends on the hour."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Machines of one kind that the user owns at one site, and what of their hourly cost is paid only while they run."""

    machine: str
    site: str
    quantity: int
    running_usd_per_hour: Decimal
    """For one of them: its power."""
    source: str
    seen: date


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a seller's own list no longer held on a day: the price is no longer in force from then on."""

    cloud: str
    region: str
    machine: str
    offer: str
    source: str
    seen: date
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that one seller (or one folder of tables) says, in the order of its rows, all dates (append-only)."""

    machines: tuple[MachineType, ...] = ()
    prices: tuple[PriceRow, ...] = ()
    unit_prices: tuple[UnitPrice, ...] = ()
    discounts: tuple[Discount, ...] = ()
    commitments: tuple[CommitmentRule, ...] = ()
    withdrawn: tuple[Withdrawal, ...] = ()
    stocks: tuple[Stock, ...] = ()
