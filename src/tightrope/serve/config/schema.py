"""What a ``serve.yaml`` may say: the models that check it and from which the editor's JSON schema is made."""

import json
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from tightrope.demand.quantities import Bytes, Name, NotNegative, Positive, Promise, Seconds, Share, Wait
from tightrope.demand.strict_mapping import Strict, editors_schema
from tightrope.serve.config.settings import TRACE_SHARE

Port: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000_000)]


class ListenConfig(Strict):
    """Where the gateway listens."""

    host: str = Field("127.0.0.1", description="Address; 0.0.0.0 is all of them, and wants `keys`.")
    port: Port = 8000
    grpc_port: Port | None = Field(None, description="Open Inference Protocol over gRPC; none where left out.")
    certificate: str | None = Field(None, description="PEM file; with `certificate_key`, TLS alone is spoken.")
    certificate_key: str | None = None

    @model_validator(mode="after")
    def both_or_none(self) -> Self:
        """Want the key with the certificate."""
        if (self.certificate is None) != (self.certificate_key is None):
            msg = "expected certificate and certificate_key together"
            raise ValueError(msg)
        return self


class MachineConfig(Strict):
    """What a machine costs: by its type and place, or as stated."""

    type: str | None = Field(None, description="Machine type of the price book, such as c7i.large.")
    region: str | None = Field(None, description="Of the price, such as us-east-1.")
    offer: str = Field("on-demand", description="How it is paid for.")
    usd_per_hour: NotNegative | None = Field(None, description="What you pay, put before the price book's.")

    @model_validator(mode="after")
    def a_price_or_where_to_find_it(self) -> Self:
        """Want what the price can be found by."""
        if self.usd_per_hour is None and (self.type is None or self.region is None):
            msg = "expected usd_per_hour, or type and region to find the price by"
            raise ValueError(msg)
        return self


class UpstreamConfig(Strict):
    """Upstream servers that answer."""

    api: Literal["openai", "oip"] = Field(description="openai: vLLM, SGLang, a token API; oip: Triton, KServe.")
    replicas: Annotated[list[str], Field(min_length=1)] = Field(description="Base URLs, such as http://10.0.0.4:8000.")
    discover: bool = Field(
        False, description="A URL's name stands for as many replicas as it has addresses (a headless service)."
    )
    model: str = Field("", description="As the server names it; the client's name where left out.")
    key_from: str | None = Field(None, description="File with the key that the server asks for.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(1, description="On another replica, before anything was passed on.")
    hedge: Seconds | None = Field(
        None, description="Ask a second replica where the first is silent for so long; never where left out."
    )
    hold: Seconds | None = Field(
        None, description="Requests wait so long for a replica to be ready; half a minute where left out."
    )
    answer: Seconds = Field(600.0, description="A server that is silent for so long is given up.")
    failures: Annotated[int, Field(ge=1, le=1000)] = Field(
        3, description="Checks or requests that fail one after another before a replica is left out."
    )
    health: str = Field("", description="Path asked to see whether it is well; the api's own where left out.")


class VariantConfig(Strict):
    """One form of a model: a file that runs here, or upstream servers."""

    onnx: str | None = Field(None, description="Model file that runs in this process.")
    upstream: UpstreamConfig | None = None
    noop: Literal[True] | None = Field(None, description="Answers at once with zeros: measures what is around an engine.")
    quality: Positive = Field(1.0, description="On the scale of quality_floor; the best form is usually 1.")
    engine: Literal["onnxruntime", "openvino"] = "onnxruntime"
    tokenizer: str | None = Field(None, description="tokenizer.json; the one beside the model where left out.")
    head: str | None = Field(
        None, description="classify: .npz with weights and bias on the pooled vector, where the model has no head."
    )
    max_tokens: Count = Field(256, description="Longer texts are cut.")
    pooling: Literal["mean", "first", "none"] = "mean"
    normalize: bool = True
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        0, description="Of one engine; 0 measures at the start what is fastest."
    )
    loaded: Literal["always", "when asked"] = Field("always", description="when asked: by the first request, gone after `idle`.")
    idle: Seconds = Field(300.0, description="Time without a request after which it is unloaded, where it is loaded when asked.")
    max_batch: Count = 32
    max_wait: Wait = Field(0.0, description="Longest time that a partial batch waits for more, where waiting pays.")
    machine: MachineConfig | None = Field(None, description="Of an upstream: what one of its machines costs.")
    replicas_per_machine: Count = 1
    requests_per_s: NotNegative = Field(0.0, description="Of an upstream: what one replica sustains; 0 is not known.")
    concurrency: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="Of an upstream: requests on one replica at a time."
    )
    usd_per_million_input_tokens: NotNegative = Field(0.0, description="Of an upstream: what a provider asks.")
    usd_per_million_output_tokens: NotNegative = 0.0
    usd_per_gb_egress: NotNegative = Field(0.0, description="Of an upstream: what its answers' bytes cost.")

    @model_validator(mode="after")
    def one_engine(self) -> Self:
        """Want exactly one place where it runs."""
        if sum(value is not None for value in (self.onnx, self.upstream, self.noop)) != 1:
            msg = "expected exactly one of onnx, upstream and noop"
            raise ValueError(msg)
        if self.machine is not None and self.upstream is None:
            msg = "expected machine at the top of the file: what runs in this process runs on this machine"
            raise ValueError(msg)
        by_use = self.usd_per_million_input_tokens or self.usd_per_million_output_tokens or self.usd_per_gb_egress
        if by_use and self.upstream is None:
            msg = "expected prices of tokens and egress of an upstream alone: what runs in this process is charged its machine's time"
            raise ValueError(msg)
        return self


class CascadeConfig(Strict):
    """A small variant is asked first, and a large one for the answers that are not trusted."""

    small: str
    large: str
    margin: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Answers go on whose likeliest class is less than so much likelier than the next (`perf compress` finds it); of a "
        "chat, whose tokens' geometric mean probability is less."
    )
    escalated: Share | None = Field(None, description="Share that is expected to go on.")


class ModelConfig(Strict):
    """A name that clients ask for."""

    task: Literal["embed", "classify", "chat", "infer"]
    variants: Annotated[dict[Name, VariantConfig], Field(min_length=1)]
    labels: list[str] = Field(
        default_factory=list, description="classify: names of the classes in the order of the model's outputs."
    )
    cascade: CascadeConfig | None = None
    classes: list[str] = Field(
        default_factory=list, description="Traffic classes that may ask for it, the usual one first; all where empty."
    )
    quality_floor: NotNegative = Field(0.0, description="Least quality of a variant that may answer.")
    cache: bool = Field(True, description="Whether its answers are kept, where there is a cache.")


def _as_list(stated: object) -> object:
    """Return several of what is stated, where it is one."""
    return [stated] if isinstance(stated, str) else stated


class TrafficClassConfig(Strict):
    """What is promised to a kind of request, and how it is treated."""

    slo: Annotated[list[Promise], BeforeValidator(_as_list, json_schema_input_type=Promise | list[Promise])] = Field(
        default_factory=list, description="Such as latency p95 <= 100 ms."
    )
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(0, description="Larger goes first in every queue.")
    within: Annotated[Seconds, Field(le=86_400)] | None = Field(
        None, description="Given for deferrable work: when it is to be done by, from when it came; a day at most."
    )
    shed_wait: Seconds | None = Field(None, description="Turned away where the wait would be longer; by its slo where left out.")


class TenantConfig(Strict):
    """What one tenant may take; what is left out has no limit."""

    requests_per_s: Positive | None = None
    burst: Seconds = Field(1.0, description="So much of its rate may come at once.")
    concurrency: Count | None = None
    budget_usd_per_month: NotNegative | None = Field(None, description="Calendar months, UTC, by the ledger.")


class SemanticConfig(Strict):
    """Answer from one that was asked nearly the same. It is sometimes wrong: `checked` of the hits say how often."""

    threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        description="Least cosine between the embeddings of the two questions."
    )
    model: str = Field(description="Model of this file, task embed, that says how near they are.")
    checked: Share = 0.01


class CacheConfig(Strict):
    """Answers that are kept."""

    entries: Count = 100_000
    size: Annotated[Bytes, Field(gt=0)] = 268_435_456.0
    ttl: Seconds = 600.0
    semantic: SemanticConfig | None = None


class LimitsConfig(Strict):
    """What is refused before memory is taken for it."""

    body: Annotated[Bytes, Field(gt=0)] = 8_388_608.0
    held: Annotated[Bytes, Field(gt=0)] | None = Field(
        None,
        description="Of the bodies of all requests that are not answered yet; 256 MiB, or `body` where that is more, where left out.",
    )
    file: Annotated[Bytes, Field(gt=0)] = Field(536_870_912.0, description="One file of deferrable work.")
    file_lines: Count = Field(1_000_000, description="Requests in one such file.")
    open_batches: Count = Field(100, description="Batches of one tenant that are not done.")
    kept: Annotated[Bytes, Field(gt=0)] = Field(
        17_179_869_184.0, description="All files that one tenant keeps, results included."
    )
    keep: Seconds = Field(
        2_592_000.0, description="Files, and batches that have ended, are kept so long where the client says nothing else."
    )
    inputs: Count = 2048
    tensors: Annotated[Bytes, Field(gt=0)] = 67_108_864.0
    read: Seconds = 30.0
    answer: Seconds = 600.0
    connections: Count = 4096
    waiting: Count = 100_000

    @model_validator(mode="after")
    def one_is_held(self) -> Self:
        """Want room for one body at least."""
        if self.held is not None and self.held < self.body:
            msg = "expected held to be body at least"
            raise ValueError(msg)
        return self


class TracesConfig(Strict):
    """OpenTelemetry traces."""

    endpoint: str = Field(description="OTLP endpoint (HTTP), such as http://collector:4318.")
    share: Share = Field(
        TRACE_SHARE, description="Of the requests that come without a trace; one that comes with one goes by its flag."
    )


def _as_traces(stated: object) -> object:
    """Return what is said of traces where only the endpoint is."""
    return {"endpoint": stated} if isinstance(stated, str) else stated


class GatewayConfig(Strict):
    """What a ``serve.yaml`` says beside a plan, which has the models and classes."""

    listen: ListenConfig = Field(default_factory=lambda: ListenConfig.model_validate({}))
    keys: str | None = Field(
        None, description="File of `tightrope keys`; left out, everybody may ask, which is for loopback alone."
    )
    metrics: Literal["open", "key"] = Field(
        "open", description="key: `/metrics`, which names tenants with budgets, wants a key with the scope metrics or admin."
    )
    tenants: dict[str, TenantConfig] = Field(default_factory=dict, description="By name; `*` is for the others.")
    cache: CacheConfig | None = None
    jobs: str | None = Field(
        None, description="SQLite file, or postgresql://…, of deferrable work; none is taken where left out."
    )
    ledger: str | None = Field(None, description="Folder of the ledger; none is written where left out.")
    traces: Annotated[TracesConfig | None, BeforeValidator(_as_traces, json_schema_input_type=TracesConfig | str | None)] = Field(
        None, description="Where OpenTelemetry traces go, or with what share of the requests; none where left out."
    )
    log: Literal["debug", "info", "warning", "error"] = "info"
    notices: Literal["aws", "azure", "gcp"] | None = Field(None, description="Whose notices of spot machines to listen for.")
    leaves: Wait = Field(
        5.0, description="Requests are still taken so long after it is told to leave, until every balancer knows."
    )
    cores: Annotated[int, Field(ge=0, le=4096)] = Field(0, description="For engines here; 0 is all that this process may use.")
    limits: LimitsConfig = Field(default_factory=lambda: LimitsConfig.model_validate({}))


class ServeFile(GatewayConfig):
    """A ``serve.yaml``."""

    name: Name
    models: Annotated[dict[Name, ModelConfig], Field(min_length=1)]
    machine: MachineConfig | None = Field(
        None, description="This machine, which runs the models that are files; costs are not known without."
    )
    classes: dict[Name, TrafficClassConfig] = Field(default_factory=dict)


def serve_schema_page() -> str:
    """Return ``docs/reference/serve.schema.json``."""
    return json.dumps(editors_schema(ServeFile, "Tightrope serve"), indent=2, ensure_ascii=False) + "\n"
