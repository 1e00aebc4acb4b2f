"""What a ``workload.yaml`` may say about traffic: how many requests come, how large they are, what they are promised."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tightrope.demand.quantities import Bytes, Change, Clock, NotNegative, Positive, Promise, Seconds, Share, Surge, Tokens, Wait
from tightrope.demand.schema_levers import CascadeSpec
from tightrope.demand.strict_mapping import Strict


class ColumnsSpec(Strict):
    """Which column of a file holds what; only needed where the names do not say it."""

    time: str | None = Field(None, description="Time of the request, or start of the bin.")
    rate: str | None = Field(None, description="Requests per second.")
    count: str | None = Field(None, description="Requests per bin.")
    input_tokens: str | None = None
    output_tokens: str | None = None
    key: str | None = Field(None, description="What an answer is kept under in a cache, of single requests.")


class RequestsSpec(Strict):
    """A file with one row per request."""

    file: str = Field(description="CSV, JSON lines (both also .gz) or Parquet; relative to the workload.")
    columns: ColumnsSpec = ColumnsSpec()
    time_unit: Literal["", "s", "ms", "us", "ns"] = Field(
        "", description="Unit of a numeric time column whose name does not say it."
    )
    scale: Positive = Field(
        1.0, description="Factor on the rate. Other than 1, the requests are drawn anew from the scaled rates."
    )


class RatesSpec(Strict):
    """A file with one row per bin of time."""

    file: str = Field(description="CSV, JSON lines (both also .gz) or Parquet; relative to the workload.")
    columns: ColumnsSpec = ColumnsSpec()
    time_unit: Literal["", "s", "ms", "us", "ns"] = Field(
        "", description="Unit of a numeric time column whose name does not say it."
    )
    scale: Positive = Field(1.0, description="Factor on every rate.")
    bin: Seconds | None = Field(None, description="Width of a bin; the most common step of the file where not stated.")
    gaps: Literal["error", "zero", "interpolate"] = Field("error", description="What a missing bin means.")
    zeros: Literal["keep", "gap"] = Field("keep", description="`gap` takes bins of zero as missing.")


class ClientColumnsSpec(Strict):
    """Which column of a file of clients holds what; only needed where the names do not say it."""

    client: str | None = Field(None, description="Name or number of the client.")
    time: str | None = Field(None, description="Start of the window.")
    rate: str | None = Field(None, description="Requests per second.")
    law: str | None = Field(None, description="Distribution of the gaps between requests: Poisson, Gamma or Weibull.")
    shape: str | None = Field(None, description="Shape of that distribution (`p1` in ServeGen's traces).")
    cv: str | None = Field(None, description="Coefficient of variation of the gaps.")


class ClientsSpec(Strict):
    """A file with one row per client and window, as ServeGen's traces: every client sends in bursts of its own."""

    file: str = Field(description="CSV, JSON lines (both also .gz) or Parquet; relative to the workload.")
    columns: ClientColumnsSpec = ClientColumnsSpec()
    time_unit: Literal["", "s", "ms", "us", "ns"] = Field(
        "", description="Unit of a numeric time column whose name does not say it."
    )
    scale: Positive = Field(1.0, description="Factor on every rate.")
    only: dict[str, str] = Field(
        default_factory=dict, description="Column → text that it must hold: of a file with several models, one."
    )
    variation: Literal["fit", "cv"] = Field(
        "fit",
        description="fit: the shapes as they were fitted to the gaps; cv: those that have the measured cv, which is often larger.",
    )


class ConstantSpec(Strict):
    """The same rate all the time."""

    rate_per_s: Positive


class DailySpec(Strict):
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


class NightlySpec(Strict):
    """Work that appears once a day and is due hours later: it can wait, and can be interrupted."""

    per_day: Annotated[int, Field(ge=1, le=10_000_000_000)]
    release: Clock = Field(description="Time of day at which the work appears.")
    deadline: Clock = Field(description="Time of day at which all of it must be done; may be the next day.")


class SizesSpec(Strict):
    """How large requests are: a file with a joint sample, or one fixed size."""

    file: str | None = None
    columns: ColumnsSpec = ColumnsSpec()
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


PATTERNS = ("requests", "rates", "clients", "constant", "daily", "nightly")


class TrafficSpec(Strict):
    """One class of requests: how many come, how large they are, what they are promised."""

    requests: RequestsSpec | None = None
    rates: RatesSpec | None = None
    clients: ClientsSpec | None = None
    constant: ConstantSpec | None = None
    daily: DailySpec | None = None
    nightly: NightlySpec | None = None
    sizes: SizesSpec | None = Field(
        None, description="Tokens per request; left out where requests have none or the file holds them."
    )
    interarrival_cv: NotNegative | None = Field(
        None, description="Coefficient of variation between arrivals: 1 is Poisson (the default where it cannot be measured)."
    )
    interarrival_law: Literal["gamma", "weibull"] = Field(
        "gamma", description="Distribution of the time between arrivals, where they are drawn."
    )
    slo: list[Promise] = Field(
        default_factory=list, description="Promises, each `metric pNN <= limit`; metric is latency, ttft or tpot."
    )
    quality_floor: Share = Field(0.0, description="Smallest mean quality of the answers.")
    cascade: CascadeSpec | None = Field(
        None, description="A small model asked first and a large one for the rest, which the plan takes where that is cheaper."
    )
    growth: Change = Field(0.0, description="How much larger the traffic will be than the trace.")
    surge: Surge = Field(0.0, description="How far above the trace's rate the promises must still hold.")
    egress_per_request: Bytes = Field(0.0, description="Bytes sent to the internet per request; 0 B bills no egress.")
    ingress_per_request: Bytes = Field(
        0.0, description="Bytes that a request brings; paid for where they cross zones or regions."
    )
    users: dict[str, Annotated[Share, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Region where requests come in → share of them, 100 % in all; the class is planned and proven place by place. "
        "Left out, it does not matter where a request is answered.",
    )
    priority: Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)] = Field(
        0, description="Larger goes first in every queue, and loses its memory last."
    )
    shed_wait: Wait | None = Field(None, description="A request that would wait longer is turned away; nobody is where left out.")
    retries: Annotated[int, Field(ge=0, le=100)] = Field(0, description="How often a client that was turned away asks again.")
    retry_after: Seconds = Field(1.0, description="When it does.")

    @model_validator(mode="after")
    def shedding_is_complete(self) -> Self:
        """Refuse limits on work that waits by itself, and clients that come back from nowhere."""
        if self.nightly is not None and self.shed_wait is not None:
            msg = "expected no shed_wait beside nightly: deferrable work is never turned away"
            raise ValueError(msg)
        if self.shed_wait is None and {"retries", "retry_after"} & self.model_fields_set:
            msg = "expected shed_wait beside retries and retry_after: without it nobody is turned away"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def one_pattern(self) -> Self:
        """Want exactly one way of saying how many requests come, and promises unless the work can wait."""
        given = [name for name in PATTERNS if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"got {' and '.join(given) or 'none'}, expected exactly one of {', '.join(PATTERNS)}"
            raise ValueError(msg)
        if self.clients is not None and {"interarrival_cv", "interarrival_law"} & self.model_fields_set:
            msg = "expected no interarrival_cv or interarrival_law beside clients: each client has its own"
            raise ValueError(msg)
        if not self.slo and self.nightly is None:
            msg = "no promise: expected `slo: [latency p99 <= 100 ms]` or the like"
            raise ValueError(msg)
        return self
