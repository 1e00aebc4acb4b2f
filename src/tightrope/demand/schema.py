"""What a ``workload.yaml`` may say: the models that check it and from which the editor's JSON schema is made.

Every number that could be read two ways needs its unit (``250 ms``, ``40 %``). Every default that moves money is a named field
here, with its meaning.
"""

import json
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tightrope.demand.quantities import (
    BlockTokens,
    Bytes,
    Change,
    Heldout,
    Name,
    NotNegative,
    Positive,
    Seconds,
    Share,
    Tokens,
)
from tightrope.demand.schema_levers import CacheSpec
from tightrope.demand.schema_places import InfrastructureSpec, PlacesSpec
from tightrope.demand.schema_scaling import ScalingSpec
from tightrope.demand.schema_services import ApiSpec, ServicesSpec
from tightrope.demand.schema_traffic import TrafficSpec
from tightrope.demand.strict_mapping import Strict, editors_schema

WEIGHT_ERROR = 1e-3
"""Weights of scenarios may miss 1 by this, which is rounding."""
MOST_GROWTH = 10_000.0
"""Times today's traffic that a future may come to."""

# ------------------------------------------------------------------------------------------------------------------- models


class ArchitectureSpec(Strict):
    """The sizes of a decoder-only transformer."""

    parameters: Positive
    layers: Annotated[int, Field(ge=1, le=10_000)]
    kv_heads: Annotated[int, Field(ge=1, le=10_000)]
    head_dim: Annotated[int, Field(ge=1, le=100_000)]


class BatchLineSpec(Strict):
    """Service time as a line: the first item, and each further one."""

    batch_1: Positive
    per_item: NotNegative


class ByLengthSpec(Strict):
    """Service time by length: rows of batches of 1, 2, 3, … items, each at the lengths to which a batch is padded."""

    lengths: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(description="In input tokens, ascending.")
    batches: Annotated[list[list[Positive]], Field(min_length=1, max_length=4096)]

    @model_validator(mode="after")
    def table_that_rises(self) -> Self:
        """Want a time for each length, and none that falls with more or longer items."""
        if any(a >= b for a, b in pairwise(self.lengths)):
            msg = f"expected lengths that rise, got {self.lengths}"
            raise ValueError(msg)
        if any(len(row) != len(self.lengths) for row in self.batches):
            msg = f"expected {len(self.lengths)} times for each batch, one for each length"
            raise ValueError(msg)
        if any(sorted(line) != list(line) for line in (*self.batches, *zip(*self.batches, strict=True))):
            msg = "service_ms must never fall: a larger or longer batch takes as long or longer"
            raise ValueError(msg)
        return self


def _kind_of_time(value: object) -> str:
    """Return which form a service time has."""
    if isinstance(value, ByLengthSpec) or (isinstance(value, dict) and "lengths" in value):
        return "lengths"
    return "line" if isinstance(value, (dict, BatchLineSpec)) else "points"


ServiceTime: TypeAlias = Annotated[
    Annotated[BatchLineSpec, Tag("line")] | Annotated[list[Positive], Tag("points")] | Annotated[ByLengthSpec, Tag("lengths")],
    Discriminator(_kind_of_time),
]


class StepsSpec(Strict):
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


class ProfileSpec(Strict):
    """How a variant behaves on a machine, as you measured it."""

    machine: str
    service_ms: ServiceTime | None = Field(None, description="Time of a batch of 1, 2, 3, … items, a line, or by length.")
    max_batch: Annotated[int, Field(ge=1, le=4096)] | None = Field(None, description="Largest batch, where service_ms is a line.")
    steps: StepsSpec | None = Field(None, description="The measured step times of a token engine.")
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
        if isinstance(self.service_ms, BatchLineSpec) != (self.max_batch is not None):
            msg = "max_batch belongs to a service_ms of batch_1 and per_item, and is required there"
            raise ValueError(msg)
        if isinstance(self.service_ms, list) and (not self.service_ms or sorted(self.service_ms) != self.service_ms):
            msg = "service_ms must not be empty and never fall: a larger batch takes as long or longer"
            raise ValueError(msg)
        return self


class VariantSpec(Strict):
    """One form of a model."""

    precision: Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4"] | None = Field(
        None, description="Of the weights; left out where only an API answers, as then nobody runs them."
    )
    quality: Positive = Field(description="On the scale of quality_floor; the best form is usually 1.")
    size: Bytes | None = Field(None, description="Of the weights; parameters × precision where a token model leaves it out.")
    serves: dict[str, Share] = Field(description="Traffic class → largest share of it that this variant may answer.")
    pruned: bool = Field(False, description="Whether parts of the model are taken out: the waterfall then says what that saves.")
    profile: str | None = Field(None, description="Name under which published profiles know it; the model's where left out.")
    profiles: list[ProfileSpec] = Field(default_factory=list, description="Profiles that you measured yourself.")
    api: ApiSpec | None = Field(None, description="A provider's API that answers with this variant's quality. Token models only.")

    @model_validator(mode="after")
    def somebody_runs_it(self) -> Self:
        """Want the precision of what machines are to run."""
        if self.precision is None and (self.api is None or self.profiles or self.size):
            msg = "expected the precision of its weights, such as 'precision: int8', or an api and nothing else that runs it"
            raise ValueError(msg)
        return self


class ModelSpec(Strict):
    """A model and its variants."""

    engine: Literal["token", "request"] = Field(description="token: continuous batching (LLMs); request: one answer per request.")
    architecture: ArchitectureSpec | None = Field(None, description="Required where engine is token.")
    profile: str | None = Field(None, description="Name under which published profiles know it, such as resnet50.")
    prefix_cache: BlockTokens | None = Field(
        None,
        description="Block size of the engines' prefix cache; none where left out. It acts on requests whose trace names the blocks "
        "of their prompts, which must be of this size (Mooncake's hash_ids: 512 tokens). Token models only.",
    )
    variants: Annotated[dict[Name, VariantSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def engine_is_complete(self) -> Self:
        """Want what each engine's speed and storage rest on."""
        if self.engine == "token" and self.architecture is None and any(item.precision for item in self.variants.values()):
            msg = "a token model needs its architecture: {parameters, layers, kv_heads, head_dim}"
            raise ValueError(msg)
        if self.engine == "request" and self.prefix_cache is not None:
            msg = "prefix_cache belongs to a token model: a request model keeps no prompts"
            raise ValueError(msg)
        for name, variant in self.variants.items():
            if self.engine == "request" and variant.api is not None:
                msg = f"variant {name!r}: an api is paid by the token, and a request model has none"
                raise ValueError(msg)
            if self.engine == "request" and variant.size is None:
                msg = f"variant {name!r} needs its size, such as 'size: 23 MB'"
                raise ValueError(msg)
            if any((entry.steps is None) != (self.engine == "request") for entry in variant.profiles):
                wanted = "steps" if self.engine == "token" else "service_ms"
                msg = f"variant {name!r}: profiles of a {self.engine} model state {wanted}"
                raise ValueError(msg)
        return self


# ------------------------------------------------------------------------------------------- where, how to buy, today, proof


class ExistingSpec(Strict):
    """A commitment that is made already: so many US dollars an hour, or so many machines reserved."""

    offer: str
    scope: str | None = Field(
        None, description="`region/machine`, `region/family` or `region`; left out where it covers everything of a cloud."
    )
    usd_per_hour: Positive | None = Field(None, description="At the commitment's own rates.")
    machine: str | None = Field(None, description="With `region` and `machines`, in the place of `scope` and `usd_per_hour`.")
    region: str | None = None
    machines: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def one_form(self) -> Self:
        """Want an amount, or machines, a region and their number."""
        counted = [self.machine, self.region, self.machines]
        amount = self.usd_per_hour is not None and counted == [None, None, None]
        if not amount and (None in counted or self.usd_per_hour is not None or self.scope is not None):
            msg = "expected either usd_per_hour (with scope where it has one) or all of machine, region and machines"
            raise ValueError(msg)
        return self


class PurchaseSpec(Strict):
    """How machines may be paid for."""

    offers: Annotated[list[str], Field(min_length=1)]
    max_spot_share: Share = Field(0.5, description="Largest share of interactive load on interruptible machines.")
    spot_zone_loss_share: Share = Field(
        0.7, description="Share of the load that must still fit after the loss of the largest spot zone."
    )
    max_pools: Annotated[int, Field(ge=1, le=100)] = Field(6, description="Most distinct pools of machines.")
    pool_worth: Share = Field(0.02, description="A pool stays open only where the machines cost more by this share without it.")
    existing: list[ExistingSpec] = Field(default_factory=list, description="Commitments already made: paid whatever is planned.")
    min_utilisation: Annotated[Share, Field(lt=1)] = Field(
        0.0, description="Least share of a new commitment that is used in every future; 0 leaves it to the expected cost."
    )
    n_plus_one_share: Share = Field(
        0.0, description="Share of each pool's interactive load that must still fit after the loss of one machine; 0 is off."
    )
    zone_loss_share: Share = Field(
        0.0, description="Share of each pool's interactive load that must still fit after the loss of its largest zone; 0 is off."
    )
    min_spot_zones: Annotated[int, Field(ge=1, le=20)] = Field(1, description="Fewest zones that sell a spot machine in use.")


class MoveSpec(Strict):
    """Machine-hours of one family that go to another over the months."""

    source: str = Field(alias="from", description="Machine family or type.")
    target: str = Field(alias="to", description="Machine family or type.")
    by_month: Annotated[int, Field(ge=1, le=120)] = Field(description="Month by which all have gone, evenly until then.")
    ratio: Annotated[Positive, Field(le=1000)] = Field(1.0, description="Machine-hours of the target for one of the source.")

    @model_validator(mode="after")
    def goes_elsewhere(self) -> Self:
        """Refuse a move to where it comes from."""
        if self.source == self.target:
            msg = f"moves from {self.source!r} to itself"
            raise ValueError(msg)
        return self


class ScenarioSpec(Strict):
    """One course that the future may take."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    weight: Annotated[Share, Field(gt=0)] = Field(description="How likely it is; all together are 100 %.")
    growth_per_month: Change = Field(0.0, description="Of all traffic, compounded; may be negative.")
    moves: list[MoveSpec] = Field(default_factory=list)


class FutureSpec(Strict):
    """What may come: commitments are sized on it."""

    months: Annotated[int, Field(ge=1, le=120)] = 12
    scenarios: list[ScenarioSpec] = Field(
        default_factory=list, description="Where none is stated, every week is like the one planned."
    )

    @field_validator("scenarios")
    @classmethod
    def whole(cls, value: list[ScenarioSpec]) -> list[ScenarioSpec]:
        """Want names that differ and weights that are 1 together."""
        _each_once([scenario.name for scenario in value])
        total = sum(scenario.weight for scenario in value)
        if value and abs(total - 1.0) > WEIGHT_ERROR:
            msg = f"the weights are {100 * total:.4g} % together, expected 100 %"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def stays_imaginable(self) -> Self:
        """Refuse growth that nothing can be sized for: mostly a yearly figure taken for a monthly one."""
        for scenario in self.scenarios:
            times = (1.0 + scenario.growth_per_month) ** self.months
            if times > MOST_GROWTH:
                msg = (
                    f"expected traffic of at most {MOST_GROWTH:,.0f} times today's: {scenario.name!r} grows by "
                    f"{100 * scenario.growth_per_month:,.6g} % a month, to {times:.3g} times in {self.months} months"
                )
                raise ValueError(msg)
        return self


class TodaySpec(Strict):
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


class ProofSpec(Strict):
    """How the plan is proven."""

    heldout: Heldout = Field(0.3, description="Last part of the trace that sizing never sees.")
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1, max_length=100)] = Field(
        [1, 2], description="One replay each."
    )
    failures_per_month: Annotated[Share, Field(lt=1)] = Field(
        0.0, description="Share of the machines that fail without notice in a month, in every replay."
    )


class WorkloadFile(Strict):
    """A Tightrope workload: traffic and its promises, the models that may answer, where and how to buy, what runs today."""

    name: Name
    traffic: Annotated[dict[Name, TrafficSpec], Field(min_length=1)]
    models: Annotated[dict[Name, ModelSpec], Field(min_length=1)]
    where: PlacesSpec
    purchase: PurchaseSpec
    scaling: ScalingSpec = ScalingSpec()
    cache: CacheSpec | None = Field(None, description="A cache of answers before the fleet; none where left out.")
    today: list[TodaySpec] = Field(default_factory=list, description="What runs now, to compare with.")
    proof: ProofSpec = ProofSpec()
    future: FutureSpec = Field(FutureSpec(), description="What may come; commitments are sized on it.")
    services: ServicesSpec = Field(ServicesSpec(), description="How functions, containers and machines of your own behave.")
    infrastructure: InfrastructureSpec = Field(
        InfrastructureSpec(), description="What stands around the machines and is paid for."
    )


def _each_once(values: list[str]) -> list[str]:
    """Return the values; raise where one stands twice."""
    if twice := next((value for value in values if values.count(value) > 1), None):
        msg = f"{twice!r} stands twice"
        raise ValueError(msg)
    return values


def workload_schema() -> dict[str, Any]:
    """Return the JSON schema of ``workload.yaml``, for editors."""
    return editors_schema(WorkloadFile, "Tightrope workload")


def schema_page() -> str:
    """Return ``docs/reference/workload.schema.json``."""
    return json.dumps(workload_schema(), indent=2, ensure_ascii=False) + "\n"
