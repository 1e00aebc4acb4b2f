"""What a ``workload.yaml`` may say about the autoscaler."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tightrope.demand.quantities import LONGEST_WINDOW_S, SHORTEST_SYNC_S, Seconds, Share, Wait
from tightrope.demand.strict_mapping import Strict


class RuleSpec(Strict):
    """So much change in a period: a number of machines, or a part of those there are."""

    pods: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(None, description="Machines.")
    percent: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = Field(
        None, description="Machines as a percentage of those at the beginning of the period."
    )
    period: Annotated[Seconds, Field(le=1800)]

    @model_validator(mode="after")
    def one_measure(self) -> Self:
        """Want pods or percent."""
        if (self.pods is None) == (self.percent is None):
            msg = "expected exactly one of pods and percent"
            raise ValueError(msg)
        return self


class ScalingLimitSpec(Strict):
    """How fast the fleet may grow, or shrink."""

    rules: Annotated[list[RuleSpec], Field(min_length=1)] | None = Field(
        None, description="Where left out, Kubernetes' own: up 4 pods or 100 % in 15 s, down 100 % in 15 s."
    )
    select: Literal["max", "min", "disabled"] = Field(
        "max", description="The rule that holds: the one that allows most change, or least; disabled allows none."
    )


class ScalingSpec(Strict):
    """The autoscaler, named as in the Kubernetes HorizontalPodAutoscaler v2."""

    enabled: bool = True
    target_utilisation: Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)] | None = Field(
        None, description="Load per replica, as a share of what it sustains, steered to; left out, the plan tries 0.95 and more."
    )
    headroom: Annotated[float, Field(ge=0.1, le=10, allow_inf_nan=False)] | None = Field(
        None, description="Multiple of the peaks seen that is planned for; left out, it is tuned on held-out days."
    )
    max_surge: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = Field(
        1.5, description="Largest fleet, as a multiple of the largest scheduled one."
    )
    tolerance: Share = Field(0.1, description="Deviation from the target that changes nothing.")
    sync: Annotated[Seconds, Field(ge=SHORTEST_SYNC_S)] = Field(15.0, description="Time between two looks at the metric.")
    metric_window: Annotated[Seconds, Field(le=LONGEST_WINDOW_S)] = Field(
        300.0, description="Stretch over which the request rate is measured; short stretches of little traffic are noise."
    )
    metric_lag: Annotated[Seconds, Field(le=LONGEST_WINDOW_S)] = Field(30.0, description="Age of the metric when it is read.")
    downscale_stabilization: Annotated[Seconds, Field(le=LONGEST_WINDOW_S)] = Field(
        300.0, description="Time for which the highest wish holds before scaling in."
    )
    machine_start: Seconds = Field(120.0, description="From asking for a machine to a booted node.")
    metric: Literal["rate", "concurrency"] = Field(
        "rate", description="What is followed: the requests per second to a pool, or the requests on each of its machines."
    )
    scale_up: ScalingLimitSpec = Field(ScalingLimitSpec(), description="How fast the fleet may grow.")
    scale_down: ScalingLimitSpec = Field(ScalingLimitSpec(), description="How fast the fleet may shrink.")
    upscale_stabilization: Annotated[Wait, Field(le=3600)] = Field(
        0.0, description="How long the lowest wish holds before scaling out."
    )
    from_zero: bool = Field(True, description="A request that finds no machine starts one, where none is scheduled as well.")
    cooldown: Seconds = Field(300.0, description="Time without a request after which such a machine goes again.")
