"""Allowed places for machines, and the infrastructure around them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WherePolicy:
    """Where the plan may place machines."""

    regions: dict[str, tuple[str, ...]]
    """Cloud → its allowed regions."""
    families: tuple[str, ...]
    """Allowed machine families or types; empty allows all."""
    quotas: dict[str, int]
    """Machine family or type → largest number of machines at one time."""
    together: bool = False
    """Whether one plan may use several of the regions, instead of one of them."""
    round_trip_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """(region, region) → round-trip time, in both orders; missing means unknown."""


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Paid infrastructure around the machines; ``plan/problem/network.py`` has the cost of each item."""

    disk_gb: float = 100.0
    """Root volume of every machine, billed as block storage: system, container image and model artefacts."""
    load_balancer: bool = True
    control_plane: bool = True
    nat_gateways: int = 0
    nat_bytes_per_request: float = 0.0
    cross_zone_share: float = 0.0
    """Part of the bytes between load balancer and machines that crosses zones and is charged."""
    cdn: bool = False
    """Whether answers may leave through the seller's CDN, where that is cheaper."""
