"""What the live view shows, as plain figures: of pools, of classes, of promises. None is not known, or there was nothing."""

import re
from dataclasses import dataclass

from tightrope.serve.metrics.readings import ReadingWindow

IN_FLIGHT, REQUESTS, PROMISES = "tightrope_requests_in_flight", "tightrope_requests_total", "tightrope_promises_total"
LATENCY, FIRST_TOKEN = "tightrope_latency_seconds", "tightrope_time_to_first_token_seconds"
PERCENTILE = re.compile(r" p([\d.]+) ")


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """One pool."""

    pool: str
    ready: float | None
    starting: float | None
    down: float | None
    requests_per_s: float | None
    in_flight: float | None
    wait_p95_s: float | None
    latency_p95_s: float | None
    batch: float | None
    """Mean size."""
    utilisation: float | None
    usd_per_hour: float | None
    month_to_date_usd: float | None
    spot_notices: float | None


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class, as it is asked."""

    traffic_class: str
    requests_per_s: float | None
    latency_p95_s: float | None
    first_token_p95_s: float | None
    shed: float | None
    """Share of the requests that ended."""
    errors: float | None
    cache_hits: float | None
    """Share of the requests that the cache was asked for."""
    usd_per_1000_requests: float | None
    deferred: float | None


@dataclass(frozen=True, slots=True)
class PromiseFigures:
    """One promise."""

    traffic_class: str
    slo: str
    target: float
    """Share of the requests that are to keep it."""
    requests: float
    kept: float | None
    """Share that did."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it."""

    workload: str
    seconds: float
    since_start: bool
    pools: tuple[PoolFigures, ...]
    classes: tuple[ClassFigures, ...]
    promises: tuple[PromiseFigures, ...]


def figures_of(window: ReadingWindow) -> Figures:
    """Return what a window shows."""
    return Figures(
        workload=" ".join(window.names(IN_FLIGHT, "workload")),
        seconds=window.seconds,
        since_start=window.whole,
        pools=tuple(_pool(window, name) for name in window.names(IN_FLIGHT, "pool")),
        classes=tuple(_class(window, name) for name in window.names(REQUESTS, "class")),
        promises=tuple(
            _promise(window, labels["class"], labels["slo"])
            for labels in window.last.labels(PROMISES)
            if labels["kept"] == "true"
        ),
    )


def _pool(window: ReadingWindow, name: str) -> PoolFigures:
    """Return one pool's figures."""
    replicas = {state: window.now("tightrope_replicas", pool=name, state=state) for state in ("ready", "starting", "down")}
    batches = window.grew("tightrope_batch_requests_count", pool=name)
    return PoolFigures(
        name,
        **replicas,
        requests_per_s=window.per_s("tightrope_arrivals_total", pool=name),
        in_flight=window.now(IN_FLIGHT, pool=name),
        wait_p95_s=window.quantile(0.95, "tightrope_wait_seconds", pool=name),
        latency_p95_s=window.quantile(0.95, LATENCY, pool=name),
        batch=window.grew("tightrope_batch_requests_sum", pool=name) / batches if batches > 0 else None,
        utilisation=window.now("tightrope_utilisation_ratio", pool=name),
        usd_per_hour=window.now("tightrope_usd_per_hour", pool=name),
        month_to_date_usd=window.now("tightrope_month_to_date_usd", pool=name),
        spot_notices=window.now("tightrope_spot_notices_total", pool=name),
    )


def _class(window: ReadingWindow, name: str) -> ClassFigures:
    """Return one class's figures."""
    return ClassFigures(
        name,
        requests_per_s=window.per_s(REQUESTS, cls=name),
        latency_p95_s=window.quantile(0.95, LATENCY, cls=name),
        first_token_p95_s=window.quantile(0.95, FIRST_TOKEN, cls=name),
        shed=window.share(REQUESTS, {"outcome": "shed"}, cls=name),
        errors=window.share(REQUESTS, {"outcome": "error"}, cls=name),
        cache_hits=window.share("tightrope_cache_requests_total", {"result": "hit"}, cls=name),
        usd_per_1000_requests=window.now("tightrope_usd_per_1000_requests", cls=name),
        deferred=window.now("tightrope_deferred_requests", cls=name),
    )


def _promise(window: ReadingWindow, cls: str, slo: str) -> PromiseFigures:
    """Return one promise's figures; one without a percentile is to all requests."""
    percentile = PERCENTILE.search(slo)
    target = float(percentile[1]) / 100.0 if percentile else 1.0
    kept = window.share(PROMISES, {"kept": "true"}, cls=cls, slo=slo)
    return PromiseFigures(cls, slo, target, window.grew(PROMISES, cls=cls, slo=slo), kept)
