"""Settings → the parts of one process, put together: engines and pools, meters and ledger, who may, what is kept, the gateway, the door."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from tightrope.base.metrics import BATCHES
from tightrope.serve.access.admission import AdmissionControl
from tightrope.serve.access.keys import Keys, OpenAccess
from tightrope.serve.answers.cache import GatewayCache
from tightrope.serve.app import App, authenticator
from tightrope.serve.config.preflight import tasks_of
from tightrope.serve.config.settings import ServedPool, Settings
from tightrope.serve.drain.shutdown import GracefulShutdown
from tightrope.serve.gateway import Gateway
from tightrope.serve.interfaces import Backend
from tightrope.serve.jobs.service import MOST, Jobs
from tightrope.serve.ledger.ledger import Ledger
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.core_placement import usable_cores
from tightrope.serve.local.engines import Engines
from tightrope.serve.local.pool import LocalPool
from tightrope.serve.metrics.request_metrics import Metrics
from tightrope.serve.metrics.traces import Traces
from tightrope.serve.protocols.body_budget import BodyBudget
from tightrope.serve.protocols.openai import run_json
from tightrope.serve.records import NUSD_PER_USD, Call, Reply
from tightrope.serve.upstream.pool import UpstreamPool

HERE = "here"
"""Name in the ledger of the machine that this process runs on."""


@dataclass(slots=True, eq=False)
class Process:
    """All parts of one process, not yet started."""

    settings: Settings
    gateway: Gateway
    backends: Mapping[str, Backend]
    metrics: Metrics
    keys: Keys | OpenAccess
    app: App
    drain: GracefulShutdown
    held: BodyBudget
    meters: dict[str, MachineMeter] = field(default_factory=dict)
    jobs: Jobs | None = None
    ledger: Ledger | None = None
    traces: Traces | None = None


def assemble(settings: Settings, clock: Callable[[], float] = time.monotonic) -> Process:
    """Return the parts; call it on the event loop. Raises ``InputError`` where a file that is named cannot be used."""
    only = BATCHES if settings.engine_only else ()
    metrics = Metrics(settings.workload, settings.pools, settings.classes, pairs=_pairs(settings), only=only, clock=clock)
    meters, backends = _backends(settings, metrics)
    ledger = _ledger(settings, meters)
    traces = Traces(settings.traces, settings.workload, share=settings.trace_share) if settings.traces else None
    keys: Keys | OpenAccess = OpenAccess() if settings.keys is None else Keys(settings.keys)
    gateway = Gateway(
        settings,
        backends,
        metrics,
        AdmissionControl(
            settings.limits,
            settings.tenants,
            ledger.spent_this_month if ledger else _nothing,
            metrics,
            clock,
            classes=settings.classes,
            used_up=ledger.used_up if ledger else _nothing,
        ),
        keys=keys,
        kept=_kept(settings, backends, metrics, clock),
        book=ledger,
        traces=traces,
        clock=clock,
    )
    for backend in backends.values():
        if isinstance(backend, LocalPool):
            backend.late = gateway.late
    jobs = _jobs(settings, gateway, metrics)
    authenticate = authenticator(gateway)
    drain = GracefulShutdown(
        lambda: gateway.in_flight, leaves_s=settings.leaves_s, within_s=settings.limits.answer_s, clock=clock
    )
    gateway.is_open = lambda: drain.ready
    routes = [drain.route(authenticate), *(jobs.routes(authenticate) if jobs else [])]
    held = BodyBudget(settings.limits.held_bytes)
    app = App(gateway, settings.limits, routes, held, metrics_key=settings.metrics_key)
    metrics.watch(backends.values(), _Money(settings, metrics, meters, ledger).say)
    return Process(settings, gateway, backends, metrics, keys, app, drain, held, meters, jobs, ledger, traces)


def _kept(
    settings: Settings, backends: Mapping[str, Backend], metrics: Metrics, clock: Callable[[], float]
) -> GatewayCache | None:
    """Return the cache of answers, where there is one."""
    if settings.cache is None:
        return None
    semantic = settings.cache.semantic
    if semantic is None:
        return GatewayCache(settings.cache, metrics, clock)
    model = next(model for model in settings.models if model.name == semantic.model)
    embeds = backends[model.pools[0]]

    async def embed(call: Call) -> Reply:
        """Answer with the vector of a question."""
        return await embeds.answer(replace(call, model=model.name))

    return GatewayCache(settings.cache, metrics, clock, embed=embed)


def _nothing(tenant: str) -> int:  # noqa: ARG001 - as the ledger
    """Return what is known to be spent where no ledger is written, and so no budget is stated."""
    return 0


def _pairs(settings: Settings) -> list[tuple[str, str]]:
    """Return which class may be answered by which pool: as the plan says, else as the models allow."""
    if settings.routing:
        found = [(rule.traffic_class, rule.pool) for rule in settings.routing]
        waits = [item.name for item in settings.classes if item.deferral is not None]
        return [*found, *((name, pool.name) for name in waits for pool in settings.pools)]
    every = tuple(item.name for item in settings.classes)
    return [(name, pool) for model in settings.models for name in model.classes or every for pool in model.pools]


def _backends(settings: Settings, metrics: Metrics) -> tuple[dict[str, MachineMeter], dict[str, Backend]]:
    """Return a meter for this machine and for each pool elsewhere, and what answers for each pool."""
    classes = {item.name: item for item in settings.classes}
    tasks = tasks_of(settings)
    judged = {model.cascade.small for model in settings.models if model.cascade}
    meters: dict[str, MachineMeter] = {}
    backends: dict[str, Backend] = {}
    engines: Engines | None = None
    for pool in settings.pools:
        task = tasks[pool.name]
        if pool.upstream is not None:
            meters[pool.name] = MachineMeter(pool.usd_per_hour, max(1.0, pool.concurrency), machines=0.0)
            backends[pool.name] = UpstreamPool(pool, task, classes, meters[pool.name], metrics)
            continue
        if engines is None:
            cores = settings.cores or usable_cores()
            meters[HERE] = MachineMeter(pool.usd_per_hour, float(cores), machines=1.0 / pool.replicas_per_machine)
            engines = Engines(cores, meters[HERE])
        local = backends[pool.name] = LocalPool(pool, task, classes, engines, metrics)
        if pool.name in judged:
            local.keep_answers()
    return meters, backends


def _ledger(settings: Settings, meters: Mapping[str, MachineMeter]) -> Ledger | None:
    """Return the ledger, which is told of every machine that is counted here."""
    if settings.ledger is None:
        return None
    ledger = Ledger(settings.ledger, settings.workload)
    pools = {pool.name: pool for pool in settings.pools}
    for name, meter in meters.items():
        mine = [pools[name]] if name in pools else [pool for pool in settings.pools if pool.upstream is None]
        if _counts_machines(mine[0]):
            ledger.add_machines(name, meter, mine, shared=name in pools and bool(settings.routing))
        else:
            ledger.add_pools(mine)
    return ledger


def _counts_machines(pool: ServedPool) -> bool:
    """Return whether a pool has machines: a provider's model, which is paid by tokens alone, and a function, have none."""
    by_use = pool.usd_per_million_input_tokens or pool.usd_per_million_output_tokens or pool.function
    return pool.upstream is None or bool(pool.usd_per_hour) or not by_use


def _jobs(settings: Settings, gateway: Gateway, metrics: Metrics) -> Jobs | None:
    """Return the queue of deferrable work."""
    if not settings.jobs:
        return None
    run = partial(run_json, gateway, limits=settings.limits)
    classes = {item.name: item for item in settings.classes}
    return Jobs(settings.jobs, run, classes, settings.limits, metrics, waits=gateway.waiting, most=_room(gateway))


def _room(gateway: Gateway) -> Callable[[], int]:
    """Return what says how many requests that can wait the pools take at one time: what is planned, one where none is ready."""
    rooms = [(backend.pool.deferrable_limit, backend) for backend in gateway.backends.values() if backend.pool.deferrable_limit]
    if not rooms:
        return lambda: MOST
    return lambda: max(1, sum(limit * backend.load().replicas_ready for limit, backend in rooms))


@dataclass(slots=True, eq=False)
class _Money:
    """What is said of money at each scrape."""

    settings: Settings
    metrics: Metrics
    meters: Mapping[str, MachineMeter]
    ledger: Ledger | None
    idle_nusd: dict[str, int] = field(default_factory=dict)

    def say(self) -> None:
        """Tell the metrics what idle machines cost since the last scrape, what this month has, and what budgets have left."""
        for name, meter in self.meters.items():
            reading = meter.read(meter.clock())
            if reading.paid_nusd is not None and reading.used_nusd is not None:
                idle = reading.paid_nusd - reading.used_nusd
                pool = name if name != HERE else next(item.name for item in self.settings.pools if item.upstream is None)
                self.metrics.spent("", pool, "idle", max(0, idle - self.idle_nusd.get(name, 0)))
                self.idle_nusd[name] = max(idle, self.idle_nusd.get(name, 0))
        if self.ledger is None:
            return
        for pool in self.settings.pools:
            nusd = self.ledger.month_to_date(pool.name)
            self.metrics.month_to_date(pool.name, None if nusd is None else nusd / NUSD_PER_USD)
        for item in self.settings.classes:
            self.metrics.usd_per_1000_requests(item.name, self.ledger.usd_per_1000_requests(item.name))
        for tenant, limits in self.settings.tenants.items():
            if limits.budget_usd_per_month is not None and tenant != "*":
                left = limits.budget_usd_per_month - self.ledger.spent_this_month(tenant) / NUSD_PER_USD
                self.metrics.budget_left(tenant, left)
