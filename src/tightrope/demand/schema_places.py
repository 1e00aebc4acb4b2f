"""What a ``workload.yaml`` may say about places: regions and how far apart they are, and what stands around the machines."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, field_validator

from tightrope.demand.quantities import Bytes, Share, Wait
from tightrope.demand.strict_mapping import Strict


class PlacesSpec(Strict):
    """Where machines may stand: cloud → regions, and which machines."""

    model_config = ConfigDict(extra="allow")
    open_keys: ClassVar[bool] = True
    __pydantic_extra__: dict[str, Annotated[list[str], Field(min_length=1)]]  # pyrefly: ignore[bad-override]

    families: list[str] = Field(default_factory=list, description="Allowed machine families or types; empty allows all.")
    quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="Family or type → most machines at one time, in the schedule and for the autoscaler."
    )
    together: bool = Field(
        default=False, description="Let one plan use several of the regions, of at most four; else it stays in one of them."
    )
    round_trip: dict[str, dict[str, Wait]] = Field(
        default_factory=dict,
        description="Region → region → time there and back, the same both ways. It is taken off the latency and TTFT promised to "
        "users elsewhere; between places without one, nobody is served.",
    )

    @field_validator("families")
    @classmethod
    def each_once(cls, value: list[str]) -> list[str]:
        """Refuse a family twice."""
        if twice := next((family for family in value if value.count(family) > 1), None):
            msg = f"{twice!r} stands twice"
            raise ValueError(msg)
        return value


class InfrastructureSpec(Strict):
    """What stands around the machines and is paid for, in every region in use."""

    disk: Bytes = Field(100e9, description="Root volume of every machine: system, container image and model artefacts.")
    load_balancer: bool = Field(default=True, description="One for each region: its hours, and what goes through it.")
    control_plane: bool = Field(default=True, description="A managed Kubernetes control plane for each region with machines.")
    nat_gateways: Annotated[int, Field(ge=0, le=100)] = Field(0, description="NAT gateways in each region with machines.")
    nat_per_request: Bytes = Field(0.0, description="Bytes that a request makes a machine fetch or send through a NAT gateway.")
    cross_zone_share: Share = Field(
        0.0,
        description="Part of the bytes between load balancer and machines that crosses zones and is charged for: nothing behind an "
        "AWS application load balancer, (zones − 1) / zones where a service mesh or kube-proxy spreads requests.",
    )
    cdn: bool = Field(
        default=False,
        description="Let answers leave through the seller's content delivery network, where that costs less than straight.",
    )
