"""Everything that the gateway is told, whether by ``serve.yaml`` or by ``plan.json``: frozen, checked, with units in the names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tightrope.base.plan import RoutingRule, ServedClass
from tightrope.serve.records import Task

MIB = 2**20
TRACE_SHARE = 0.01
"""Of the requests that come without a trace."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where it listens; a certificate makes it TLS alone."""

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    """Open Inference Protocol over gRPC; None is none."""
    certificate: Path | None = None
    certificate_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before memory is taken for it."""

    body_bytes: int = 8 * MIB
    file_bytes: int = 512 * MIB
    """Of one file of deferrable work."""
    file_lines: int = 1_000_000
    """Requests in one such file (50,000 is what OpenAI takes, 2026)."""
    open_batches: int = 100
    """Batches of one tenant that are not done."""
    kept_bytes: int = 16 * 1024 * MIB
    """Of all files that one tenant keeps, results included; what is uploaded must fit into what is left."""
    keep_s: float = 30 * 86_400.0
    """How long files, and batches that have ended, are kept where the client says nothing else."""
    header_bytes: int = 64 * 1024
    held_bytes: int = 256 * MIB
    """Of the bodies of all requests that are not answered yet; an eighth beyond is for small ones (``protocols.held.SMALL``)."""
    inputs: int = 2048
    """Texts, or rows of tensors, in one request (2,048 is what OpenAI takes for embeddings, 2026)."""
    tensor_bytes: int = 64 * MIB
    """Of all tensors of one request, in and out."""
    read_s: float = 30.0
    """For a request to come whole."""
    answer_s: float = 600.0
    """For the answer, where no class says less."""
    connections: int = 4096
    waiting: int = 100_000
    """Requests that wait or run at one time, of all tenants."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """An ONNX file that runs in this process."""

    path: Path
    engine: Literal["onnxruntime", "openvino"] = "onnxruntime"
    tokenizer: Path | None = None
    """A ``tokenizer.json``; where the task reads texts and none is given, the one beside the model."""
    head: Path | None = None
    """An ``.npz`` with ``weights`` float[dimensions, classes] and ``bias`` float[classes], on the pooled vector, of ``classify``."""
    labels: tuple[str, ...] = ()
    max_tokens: int = 256
    pooling: Literal["mean", "first", "none"] = "mean"
    """Over tokens, where the model answers with a vector for each."""
    normalize: bool = True
    """Bring an embedding's length to 1."""
    threads: int = 0
    """Of one engine; 0 measures at load what is fastest."""
    keep_loaded: bool = True
    """Loaded at the start; else by the first request, and unloaded after ``idle_s`` without one."""
    idle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """Upstream servers that answer for a pool."""

    api: Literal["openai", "oip"]
    replicas: tuple[str, ...]
    """Base URLs, such as ``http://10.0.0.4:8000``."""
    discover: bool = False
    """Each URL's name stands for as many replicas as it has addresses (a headless service), asked again every ``discover_s``."""
    discover_s: float = 5.0
    model: str = ""
    """As the server names it; empty where it goes by the client's name."""
    key_from: Path | None = None
    """A file with the key that the server asks for."""
    concurrency: int = 0
    """Requests on one replica at a time; 0 is the pool's ``concurrency``, without limit where that is unknown too."""
    connect_s: float = 2.0
    retries: int = 1
    """On another replica, where nothing of the answer was passed on yet."""
    hedge_s: float | None = None
    """Ask a second replica too where the first has not begun to answer by then, and take the first answer; None never does."""
    answer_s: float = 600.0
    """A server that is silent for so long is given up."""
    answer_bytes: int = 64 * MIB
    """Of an answer that is not streamed, or of one event of a stream."""
    hold_s: float = 0.0
    """A request waits so long for a replica to be ready; 0 is twice the pool's ``start_s``, and 30 s at least."""
    failures: int = 3
    """Checks or requests that fail one after another before a replica is left out; one that nothing listens at is at once."""
    health_path: str = ""
    """Empty is ``/health`` of openai and ``/v2/models/MODEL/ready`` of oip."""
    health_s: float = 5.0


@dataclass(frozen=True, slots=True)
class FunctionPrice:
    """What a function costs, of which no machines are counted: each request, and the time in which it is answered."""

    usd_per_request: float
    usd_per_hour: float
    """Of the time that is billed."""
    billed_s: Callable[[float], float]
    """The time of a request → what of it is billed."""

    def usd(self, seconds: float) -> float:
        """Return what a request of so many seconds costs."""
        return self.usd_per_request + self.usd_per_hour * self.billed_s(seconds) / 3600.0


@dataclass(frozen=True, slots=True)
class ServedPool:
    """Machines that run one variant of a model, and what they cost."""

    name: str
    model: str
    variant: str
    local: LocalModel | None = None
    upstream: Upstream | None = None
    """One of the two, or neither: an engine that answers at once, to measure what is around it."""
    quality: float = 1.0
    offer: str = "on-demand"
    cloud: str = ""
    region: str = ""
    machine: str = ""
    usd_per_hour: float | None = None
    """Of one machine; None is not known, and then nothing is said of costs."""
    replicas_per_machine: int = 1
    requests_per_s: float = 0.0
    """What one replica sustains within the promises; 0 is not known."""
    concurrency: float = 0.0
    """Requests on one replica at that rate; 0 is not known."""
    max_batch: int = 32
    max_wait_s: float = 0.0
    """Longest time that a partial batch waits for more."""
    service_s: tuple[float, ...] = ()
    """Planned seconds of a batch of 1, 2, …: what batches go by where requests have one length; empty is measured."""
    usd_per_million_input_tokens: float = 0.0
    usd_per_million_output_tokens: float = 0.0
    usd_per_gb_egress: float = 0.0
    stays: frozenset[str] = frozenset()
    """Classes whose answers do not leave for the internet: they have no egress."""
    function: FunctionPrice | None = None
    """Where given, the pool is a function: ``usd_per_hour`` is 0."""
    deferrable_limit: int = 0
    """Requests on one replica up to which deferrable work may join; 0 is where nothing else waits."""
    start_s: float = 0.0
    """From asking for a machine to its first answer."""
    group: str = ""
    """Pools of one group take one another's place; a class is shared out over groups. Empty is the model's variant."""


@dataclass(frozen=True, slots=True)
class ServedCascade:
    """A small variant answers first; what it is not sure of goes on to a large one."""

    small: str
    """Pool."""
    large: str
    margin: float
    """Answers whose likeliest class is less than so much likelier than the next go on; of ``chat``, whose tokens' geometric mean
    probability is less. Not a number: it is learned such that the share ``escalated`` goes on."""
    escalated: float | None = None
    """Share that was expected to go on, where it was calibrated."""
    quality: float | None = None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A name that clients ask for, and the pools that may answer."""

    name: str
    task: Task
    pools: tuple[str, ...]
    cascade: ServedCascade | None = None
    classes: tuple[str, ...] = ()
    """Traffic classes that may ask for it, the one that is meant where none is said first; empty is all."""
    quality_floor: float = 0.0
    cache: bool = True
    also: tuple[Task, ...] = ()
    """Other tasks that may be asked of it: a plan says of a model that is no language model only that it answers requests."""


@dataclass(frozen=True, slots=True)
class SemanticCache:
    """Answer from one that was asked nearly the same: off unless stated, since it is sometimes wrong."""

    threshold: float
    """Least cosine between the embeddings of the two questions."""
    model: str
    """Embedding model, in this process, that says how near they are."""
    checked_share: float = 0.01
    """Of the hits, the share that is answered anew all the same to measure how often they are wrong."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Kept answers."""

    entries: int = 100_000
    size_bytes: int = 256 * MIB
    ttl_s: float = 600.0
    semantic: SemanticCache | None = None


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """What one tenant may take; None is without limit."""

    requests_per_s: float | None = None
    burst: float = 1.0
    """Seconds' worth of its rate that may come at once."""
    concurrency: int | None = None
    budget_usd_per_month: float | None = None
    """Calendar months, UTC, by the ledger."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    workload: str
    pools: tuple[ServedPool, ...]
    models: tuple[ServedModel, ...]
    classes: tuple[ServedClass, ...]
    routing: tuple[RoutingRule, ...] = ()
    """Of a plan: shares of the pools that answer a class, by hour of the week; empty goes by cost."""
    first_day: str = ""
    """The day that block 0 of the routing begins, such as 2026-10-31, UTC; empty is a Monday."""
    class_names: Mapping[str, str] = field(default_factory=dict)
    """What clients may call a class → its name, where a plan has a class for each place."""
    listen: Listen = Listen()
    limits: Limits = Limits()
    keys: Path | None = None
    """The file of API keys; None lets everybody in as the tenant ``default``, which is for loopback alone."""
    metrics_key: bool = False
    """Whether ``/metrics``, which names tenants that have budgets, is shown to keys with the scope ``metrics`` or ``admin`` alone."""
    tenants: Mapping[str, TenantLimits] = field(default_factory=dict)
    """``*`` is for those that are not named."""
    cache: CacheSettings | None = None
    jobs: str = ""
    """``sqlite:///FILE`` or ``postgresql://…``; empty takes no deferrable work."""
    ledger: Path | None = None
    """Folder of the ledger; None writes none."""
    traces: str = ""
    """OTLP endpoint (HTTP); empty traces nothing."""
    trace_share: float = TRACE_SHARE
    """Of the requests that come without a trace; one that comes with one goes by its flag."""
    log_level: str = "info"
    notices: Literal["", "aws", "azure", "gcp"] = ""
    """Whose spot notices to listen for."""
    notices_url: str = ""
    """Of a stand-in for that cloud's metadata service; empty is the cloud's own."""
    leaves_s: float = 5.0
    """For so long after it is told to leave it still takes requests, until every client and balancer knows."""
    cores: int = 0
    """Processor cores for engines here; 0 is all that this process may use."""
    engine_only: bool = False
    """One pool of a plan behind a gateway: routing, budgets and ledger are the gateway's."""
