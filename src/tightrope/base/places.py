"""Where machines may stand, and what stands around them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WherePolicy:
    """Where the plan may place machines."""

    regions: dict[str, tuple[str, ...]]
    """Cloud → its allowed regions."""
    families: tuple[str, ...]
    """Allowed machine families or type names; empty allows all."""
    quotas: dict[str, int]
    """Machine family or type name → most machines at one time."""
    together: bool = False
    """One plan may use several of the regions; else it stays in one of them."""
    round_trip_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """(region, region) → time to the other and back, both ways round; what is not there is not known."""


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What stands around the machines and is paid for: see ``plan/problem/network.py`` for what each costs."""

    disk_gb: float = 100.0
    """Root volume of every machine, billed as block storage: system, container image and model artefacts."""
    load_balancer: bool = True
    control_plane: bool = True
    nat_gateways: int = 0
    nat_bytes_per_request: float = 0.0
    cross_zone_share: float = 0.0
    """Part of the bytes between load balancer and machines that crosses zones and is charged for."""
    cdn: bool = False
    """Whether answers may leave through the seller's caches at the edge, where that is cheaper."""
