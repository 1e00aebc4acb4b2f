"""Pools, classes and what stands in for a pool, of the tests of this folder; and an exposition read back."""

from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tightrope.base.plan import ServedClass
from tightrope.base.records import Deferral, Slo
from tightrope.serve.config.settings import ServedPool
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.metrics.request_metrics import Metrics
from tightrope.serve.records import Call, Caller, Reply

POOLS = (
    ServedPool("small", "m", "m/int8", usd_per_hour=0.5, replicas_per_machine=2, requests_per_s=10.0, max_batch=24),
    ServedPool("large", "m", "m/fp32", offer="spot"),
)
CLASSES = (
    ServedClass("chat", (Slo("ttft", 0.95, 0.4), Slo("tpot", 0.95, 0.12)), 0.0),
    ServedClass("search", (Slo("latency", 0.99, 0.07),), 0.0, shed_wait_s=0.035),
    ServedClass("index", (), 0.0, deferral=Deferral(22, 6)),
)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@dataclass
class Standing:
    """A pool that stands as it is told to."""

    pool: ServedPool
    said: PoolLoad = field(default_factory=lambda: PoolLoad(0))

    def load(self) -> PoolLoad:
        """Return what was said."""
        return self.said

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self, within_s: float) -> None:
        """Do nothing."""

    async def answer(self, call: Call) -> Reply:
        """Answer nobody."""
        raise NotImplementedError


def make(classes: tuple[ServedClass, ...] = CLASSES, **more: Any) -> Metrics:
    return Metrics("shop", POOLS, classes, **more)


def call(cls: str = "search", **more: Any) -> Call:
    return Call("r-1", Caller("t"), "embed", "m", ("text",), arrived_s=100.0, traffic_class=cls, **more)


def read(metrics: Metrics) -> Samples:
    families = text_string_to_metric_families(metrics.exposition().decode())
    samples = [(item.name, frozenset(item.labels.items()), item.value) for family in families for item in family.samples]
    found = {(name, labels): value for name, labels, value in samples}
    assert len(found) == len(samples), "a series is written twice"
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    wanted = {"class" if key == "cls" else key: text for key, text in labels.items()}
    return samples.get((f"tightrope_{name}", frozenset({"workload": "shop", **wanted}.items())))


def kept(samples: Samples, cls: str, slo: str) -> tuple[float | None, float | None]:
    counts = (value(samples, "promises_total", cls=cls, slo=slo, kept=kept) for kept in ("true", "false"))
    first, second = counts
    return first, second
