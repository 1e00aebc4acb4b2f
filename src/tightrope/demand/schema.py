"""What a ``workload.yaml`` may say: the models that check it and from which the editor's JSON schema is made.

Every number that could be read two ways needs its unit (``250 ms``, ``40 %``). Every default that moves money is a named field
here, with its meaning.
"""

import json
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tightrope.base.errors import near_names
from tightrope.demand.quantities import (
    Bytes,
    Change,
    Clock,
    Heldout,
    Name,
    NotNegative,
    Positive,
    Promise,
    Seconds,
    Share,
    Surge,
    Tokens,
)


class Strict(BaseModel):
    """A mapping with known keys only: a key that is not known is an error with near names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)
    open_keys: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def known_keys(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        """Refuse the first unknown key, and say what a mapping should have been."""
        if not isinstance(data, dict):
            context = {"got": repr(data)[:60], "keys": ", ".join(cls.model_fields)}
            kind, message = "mapping", "got {got}, expected a mapping with the keys {keys}"
            raise PydanticCustomError(kind, message, context)
        for key in data:
            if key not in cls.model_fields and not cls.open_keys:
                near = near_names(key, cls.model_fields) or list(cls.model_fields)
                kind, message = "unknown_key", "unknown key {key}"
                raise PydanticCustomError(kind, message, {"key": repr(key), "name": key, "resolve": f"use {' or '.join(near)}"})
        return data


# ------------------------------------------------------------------------------------------------------------------ traffic


class Columns(Strict):
    """Which column of a file holds what; only needed where the names do not say it."""

    time: str | None = Field(None, description="Time of the request, or start of the bin.")
    rate: str | None = Field(None, description="Requests per second.")
    count: str | None = Field(None, description="Requests per bin.")
    input_tokens: str | None = None
    output_tokens: str | None = None


class Requests(Strict):
    """A file with one row per request."""

    file: str = Field(description="CSV, JSON lines (both also .gz) or Parquet; relative to the workload.")
    columns: Columns = Columns()
    time_unit: Literal["", "s", "ms", "us", "ns"] = Field(
        "", description="Unit of a numeric time column whose name does not say it."
    )
    scale: Positive = Field(
        1.0, description="Factor on the rate. Other than 1, the requests are drawn anew from the scaled rates."
    )


class Rates(Strict):
    """A file with one row per bin of time."""

    file: str = Field(description="CSV, JSON lines (both also .gz) or Parquet; relative to the workload.")
    columns: Columns = Columns()
    time_unit: Literal["", "s", "ms", "us", "ns"] = Field(
        "", description="Unit of a numeric time column whose name does not say it."
    )
    scale: Positive = Field(1.0, description="Factor on every rate.")
    bin: Seconds | None = Field(None, description="Width of a bin; the most common step of the file where not stated.")
    gaps: Literal["error", "zero", "interpolate"] = Field("error", description="What a missing bin means.")
    zeros: Literal["keep", "gap"] = Field("keep", description="`gap` takes bins of zero as missing.")


class Constant(Strict):
    """The same rate all the time."""

    rate_per_s: Positive


class Daily(Strict):
    """A rate that swings once a day, as a sine."""

    mean_per_s: Positive
    peak_per_s: Positive
    peak_hour: Annotated[float, Field(ge=0, lt=24)] = Field(description="Hour of the day of the highest rate.")

    @model_validator(mode="after")
    def sine_stays_positive(self) -> Self:
        """Refuse a swing below zero and a peak below the mean."""
        if not self.mean_per_s <= self.peak_per_s <= 2 * self.mean_per_s:
            span = f"{self.mean_per_s:g} to {2 * self.mean_per_s:g}"
            msg = f"peak_per_s is {self.peak_per_s:g}, expected between mean_per_s and twice it ({span})"
            raise ValueError(msg)
        return self


class Nightly(Strict):
    """Work that appears once a day and is due hours later: it can wait, and can be interrupted."""

    per_day: Annotated[int, Field(ge=1, le=10_000_000_000)]
    release: Clock = Field(description="Time of day at which the work appears.")
    deadline: Clock = Field(description="Time of day at which all of it must be done; may be the next day.")


class Sizes(Strict):
    """How large requests are: a file with a joint sample, or one fixed size."""

    file: str | None = None
    columns: Columns = Columns()
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None

    @model_validator(mode="after")
    def file_or_fixed(self) -> Self:
        """Want either the file or both fixed sizes."""
        fixed = [self.input_tokens, self.output_tokens]
        if (self.file is None and None in fixed) or (self.file is not None and fixed != [None, None]):
            msg = "expected either file, or input_tokens and output_tokens"
            raise ValueError(msg)
        return self


PATTERNS = ("requests", "rates", "constant", "daily", "nightly")


class Traffic(Strict):
    """One class of requests: how many come, how large they are, what they are promised."""

    requests: Requests | None = None
    rates: Rates | None = None
    constant: Constant | None = None
    daily: Daily | None = None
    nightly: Nightly | None = None
    sizes: Sizes | None = Field(None, description="Tokens per request; left out where requests have none or the file holds them.")
    interarrival_cv: NotNegative | None = Field(
        None, description="Coefficient of variation between arrivals: 1 is Poisson (the default where it can not be measured)."
    )
    slo: list[Promise] = Field(
        default_factory=list, description="Promises, each `metric pNN <= limit`; metric is latency, ttft or tpot."
    )
    quality_floor: Share = Field(0.0, description="Smallest mean quality of the answers.")
    growth: Change = Field(0.0, description="How much larger the traffic will be than the trace.")
    surge: Surge = Field(0.0, description="How far above the trace's rate the promises must still hold.")
    egress_per_request: Bytes = Field(0.0, description="Bytes sent to the internet per request; 0 B bills no egress.")

    @model_validator(mode="after")
    def one_pattern(self) -> Self:
        """Want exactly one way of saying how many requests come, and promises unless the work can wait."""
        given = [name for name in PATTERNS if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"got {' and '.join(given) or 'none'}, expected exactly one of {', '.join(PATTERNS)}"
            raise ValueError(msg)
        if not self.slo and self.nightly is None:
            msg = "no promise: expected `slo: [latency p99 <= 100 ms]` or the like"
            raise ValueError(msg)
        return self


# ------------------------------------------------------------------------------------------------------------------- models


class Architecture(Strict):
    """The sizes of a decoder-only transformer."""

    parameters: Positive
    layers: Annotated[int, Field(ge=1, le=10_000)]
    kv_heads: Annotated[int, Field(ge=1, le=10_000)]
    head_dim: Annotated[int, Field(ge=1, le=100_000)]


class BatchLine(Strict):
    """Service time as a line: the first item, and each further one."""

    batch_1: Positive
    per_item: NotNegative


ServiceTime: TypeAlias = Annotated[
    Annotated[BatchLine, Tag("line")] | Annotated[list[Positive], Tag("points")],
    Discriminator(lambda value: "line" if isinstance(value, (dict, BatchLine)) else "points"),
]


class Steps(Strict):
    """A measured continuous-batching engine.

    One step takes overhead + max(weights, tokens × per_token) + cached tokens × per_cached_token.
    """

    overhead_ms: NotNegative
    weights_ms: Positive
    per_token_us: Positive
    per_cached_token_ns: NotNegative
    kv_capacity_tokens: Tokens
    max_sequences: Tokens
    chunk_tokens: Tokens


class ProfileEntry(Strict):
    """How a variant behaves on a machine, as you measured it."""

    machine: str
    service_ms: ServiceTime | None = Field(None, description="Time of a batch of 1, 2, 3, … items, or a line.")
    max_batch: Annotated[int, Field(ge=1, le=4096)] | None = Field(None, description="Largest batch, where service_ms is a line.")
    steps: Steps | None = Field(None, description="The measured step times of a token engine.")
    load: Seconds = Field(description="Time from a booted machine to a model that answers.")
    replicas_per_machine: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="Engines side by side on one machine.")
    source: Annotated[str, Field(min_length=1)] = Field(description="Where the figures come from.")
    kind: Literal["measured", "model"] = Field("measured", description="model: scaled or derived, not measured on this machine.")
    error_band: Annotated[Share, Field(gt=0)] = Field(description="Half-width of the band around the figures.")

    @model_validator(mode="after")
    def one_engine(self) -> Self:
        """Want exactly one engine, and a batch limit for a line."""
        if (self.service_ms is None) == (self.steps is None):
            msg = "expected exactly one of service_ms and steps"
            raise ValueError(msg)
        if isinstance(self.service_ms, BatchLine) != (self.max_batch is not None):
            msg = "max_batch belongs to a service_ms of batch_1 and per_item, and is required there"
            raise ValueError(msg)
        if isinstance(self.service_ms, list) and (not self.service_ms or sorted(self.service_ms) != self.service_ms):
            msg = "service_ms must not be empty and never fall: a larger batch takes as long or longer"
            raise ValueError(msg)
        return self


class Variant(Strict):
    """One form of a model."""

    precision: Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4"]
    quality: Positive = Field(description="On the scale of quality_floor; the best form is usually 1.")
    size: Bytes | None = Field(None, description="Of the weights; parameters × precision where a token model leaves it out.")
    serves: dict[str, Share] = Field(description="Traffic class → largest share of it that this variant may answer.")
    profile: str | None = Field(None, description="Name under which published profiles know it; the model's where left out.")
    profiles: list[ProfileEntry] = []


class Model(Strict):
    """A model and its variants."""

    engine: Literal["token", "request"] = Field(description="token: continuous batching (LLMs); request: one answer per request.")
    architecture: Architecture | None = Field(None, description="Required where engine is token.")
    profile: str | None = Field(None, description="Name under which published profiles know it, such as resnet50.")
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]

    @model_validator(mode="after")
    def engine_is_complete(self) -> Self:
        """Want what each engine's speed and storage rest on."""
        if self.engine == "token" and self.architecture is None:
            msg = "a token model needs its architecture: {parameters, layers, kv_heads, head_dim}"
            raise ValueError(msg)
        for name, variant in self.variants.items():
            if self.engine == "request" and variant.size is None:
                msg = f"variant {name!r} needs its size, such as 'size: 23 MB'"
                raise ValueError(msg)
            if any((entry.steps is None) != (self.engine == "request") for entry in variant.profiles):
                wanted = "steps" if self.engine == "token" else "service_ms"
                msg = f"variant {name!r}: profiles of a {self.engine} model state {wanted}"
                raise ValueError(msg)
        return self


# ------------------------------------------------------------------------------------------- where, how to buy, today, proof


class Places(Strict):
    """Where machines may stand: cloud → regions, and which machines."""

    model_config = ConfigDict(extra="allow")
    open_keys: ClassVar[bool] = True
    __pydantic_extra__: dict[str, Annotated[list[str], Field(min_length=1)]]  # pyrefly: ignore[bad-override]

    families: list[str] = Field(default_factory=list, description="Allowed machine families or types; empty allows all.")
    quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="Family or type → most machines at one time."
    )

    @field_validator("families")
    @classmethod
    def each_once(cls, value: list[str]) -> list[str]:
        """Refuse a family twice."""
        return _each_once(value)


class Purchase(Strict):
    """How machines may be paid for."""

    offers: Annotated[list[str], Field(min_length=1)]
    max_spot_share: Share = Field(0.5, description="Largest share of interactive load on interruptible machines.")
    spot_zone_loss_share: Share = Field(
        0.7, description="Share of the load that must still fit after the loss of the largest spot zone."
    )
    max_pools: Annotated[int, Field(ge=1, le=100)] = Field(6, description="Most distinct pools of machines.")


class Scaling(Strict):
    """The autoscaler, named as in the Kubernetes HorizontalPodAutoscaler v2."""

    enabled: bool = True
    target_utilisation: Annotated[Share, Field(gt=0)] = Field(
        0.95, description="Load per replica, as a share of what it sustains, steered to."
    )
    max_surge: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = Field(
        1.5, description="Largest fleet, as a multiple of the largest scheduled one."
    )
    tolerance: Share = Field(0.1, description="Deviation from the target that changes nothing.")
    sync: Seconds = Field(15.0, description="Time between two looks at the metric.")
    metric_window: Annotated[Seconds, Field(gt=0)] = Field(
        300.0, description="Stretch over which the request rate is measured; short stretches of little traffic are noise."
    )
    metric_lag: Seconds = Field(30.0, description="Age of the metric when it is read.")
    downscale_stabilization: Seconds = Field(300.0, description="Time for which the highest wish holds before scaling in.")
    machine_start: Seconds = Field(120.0, description="From asking for a machine to a booted node.")


class Today(Strict):
    """Part of the fleet that runs now, around the clock."""

    name: Name | None = Field(None, description="`33 × g4dn.xlarge for chat` where left out.")
    machine: str
    region: str
    variant: str = Field(description="model/variant")
    machines: Annotated[int, Field(ge=1, le=1_000_000)]
    offer: str = "on-demand"
    classes: Annotated[list[str], Field(min_length=1)]
    max_batch: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="Largest batch it is set to; 0 leaves the profile's."
    )


class Proof(Strict):
    """How the plan is proven."""

    heldout: Heldout = Field(0.3, description="Last part of the trace that sizing never sees.")
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1, max_length=100)] = Field(
        [1, 2], description="One replay each."
    )


class WorkloadFile(Strict):
    """A Tightrope workload: traffic and its promises, the models that may answer, where and how to buy, what runs today."""

    name: Name
    traffic: Annotated[dict[Name, Traffic], Field(min_length=1)]
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    where: Places
    purchase: Purchase
    scaling: Scaling = Scaling()
    today: list[Today] = Field(default_factory=list, description="What runs now, to compare with.")
    proof: Proof = Proof()


def _each_once(values: list[str]) -> list[str]:
    """Return the values; raise where one stands twice."""
    if twice := next((value for value in values if values.count(value) > 1), None):
        msg = f"{twice!r} stands twice"
        raise ValueError(msg)
    return values


def workload_schema() -> dict[str, Any]:
    """Return the JSON schema of ``workload.yaml``, for editors."""
    found = WorkloadFile.model_json_schema()
    for entry in found["$defs"].values():
        for stated in entry["properties"].values():
            _state_unit(stated)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found | {"title": "Tightrope workload"}


def _state_unit(stated: dict[str, Any]) -> None:
    """Write a quantity's default with its unit, as a workload would."""
    if stated.get("type") == "string" and isinstance(stated.get("default"), float):
        stated["default"] = f"{stated['default']:g} {stated['examples'][0].split()[-1]}"


def schema_page() -> str:
    """Return ``docs/reference/workload.schema.json``."""
    return json.dumps(workload_schema(), indent=2, ensure_ascii=False) + "\n"
