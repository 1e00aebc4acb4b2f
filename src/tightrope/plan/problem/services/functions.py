"""Functions and containers: sizes that the user measured a variant on, in every region that sells them.

Nobody says which processor a function runs on, so no profile of another machine is carried over: what was not measured is refused. A
function answers one request at a time and starts from nothing: before it is an option, the class's own traffic is replayed on it alone,
cold starts and all, and it is refused where a promise breaks. The replay also tells what a request is billed for.
"""

from dataclasses import dataclass

import numpy as np

from tightrope.base.contracts import Offer
from tightrope.base.plan import Refusal
from tightrope.base.records import EngineModel, ModelVariant, Profile, RequestEngine, TrafficClass, Workload
from tightrope.base.registry import find_offer
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.clouds.service_sizes import CONTAINER, SERVERLESS, ServiceSize, find_size
from tightrope.demand.arrivals import draw_arrivals
from tightrope.demand.blocks import DAY_S
from tightrope.offers.metered import REQUESTS
from tightrope.perf.profile_search import limit_batch
from tightrope.plan.problem.arrays import PoolOption
from tightrope.plan.problem.capacity import Capacity, CapacityTable
from tightrope.plan.problem.demand_week import ClassDemand, grow
from tightrope.plan.problem.deployments import Deployment, deploy
from tightrope.plan.problem.services.metered_usage import billed_s
from tightrope.plan.problem.services.service_options import HOURS, ServiceOptions, Taken, allowed
from tightrope.plan.problem.services.service_pools import build_function_pool
from tightrope.replay.evidence import metric_s
from tightrope.replay.records import Fleet, FleetClass, Traffic
from tightrope.replay.run import replay_fleet

TRIED_REQUESTS = 100_000
"""A class's traffic is tried from its beginning for about so many requests, whole days where it is that few."""
SEED = 20251125


def find_functions(workload: Workload, book: PriceBook, table: CapacityTable, sized: tuple[ClassDemand, ...]) -> ServiceOptions:
    """Return what functions and containers may serve in the workload's regions, and why others may not."""
    found = ServiceOptions()
    for name in (SERVERLESS, CONTAINER):
        if allowed(workload, name):
            found += _find_options_of_offer(workload, book, table, sized, find_offer(name))
    return found


def _find_options_of_offer(
    workload: Workload, book: PriceBook, table: CapacityTable, sized: tuple[ClassDemand, ...], offer: Offer
) -> ServiceOptions:
    """Return the options of one offer."""
    options: list[tuple[Deployment, PoolOption]] = []
    refusals: list[Refusal] = []
    measured = [
        (variant, profile, size)
        for variant in workload.variants
        for profile in variant.declared
        if (size := find_size(profile.machine)) is not None and size.service.offer == offer.name
    ]
    if not measured:
        reason = "no variant was measured on a size of it: write one under profiles (docs/how-to/plan-serverless-and-apis.md)"
        return ServiceOptions((), (Refusal(offer.name, reason),))
    for variant, profile, size in measured:
        regions = workload.where.regions.get(size.service.cloud, ())
        made = _deploy(workload, table, sized, variant, profile, size) if regions and _is_allowed(workload, size) else None
        if isinstance(made, Refusal):
            refusals.append(made)
        elif made is not None:
            deployment, taken = made
            for region in regions:
                terms = offer.terms(size.name, region, book)
                if isinstance(terms, Refusal):
                    refusals.append(terms)
                else:
                    options.append((deployment, PoolOption(variant, size.machine, region, deployment.profile, terms, taken)))
    return ServiceOptions(tuple(options), tuple(refusals))


def _is_allowed(workload: Workload, size: ServiceSize) -> bool:
    """Return whether the families allowed hold the size; all where none are named."""
    families = workload.where.families
    return not families or bool({size.name, size.service.name} & set(families))


def _deploy(
    workload: Workload,
    table: CapacityTable,
    sized: tuple[ClassDemand, ...],
    variant: ModelVariant,
    profile: Profile,
    size: ServiceSize,
) -> tuple[Deployment, Taken] | Refusal:
    """Return what a size sustains for each class that the variant serves and what a request takes of it, or why it serves none."""
    what = f"{variant.name} on {size.name} {size.service.offer}"
    if variant.size_bytes > size.memory_mib * 2**20:
        return Refusal(what, f"its weights take {variant.size_bytes / 2**20:,.0f} MiB, the size has {size.memory_mib}")
    if size.service.offer == CONTAINER:
        answer = deploy(variant, size.machine, profile, table, sized)
        return answer if isinstance(answer, Refusal) else (answer, {})
    if profile.replicas_per_machine != 1 or not isinstance(profile.engine, RequestEngine):
        return Refusal(what, "a function answers one request at a time: measure one engine of a request model on it")
    alone = limit_batch(profile, 1)
    served = [item for item in sized if variant.serves.get(item.traffic_class.name, 0.0) > 0.0]
    tries = {item.traffic_class.name: try_function(workload, item.traffic_class, alone.engine, size) for item in served}
    kept = {name: tried for name, tried in tries.items() if isinstance(tried, FunctionTrial)}
    if not kept:
        return Refusal(what, "; ".join(f"{name}: {tried}" for name, tried in tries.items()) or "serves no class")
    capacity = {name: tried.capacity for name, tried in kept.items()}
    taken = {name: {HOURS: tried.billed_s / SECONDS_PER_HOUR, REQUESTS: 1.0} for name, tried in kept.items()}
    return Deployment(variant, size.machine, alone, capacity), taken


@dataclass(frozen=True, slots=True)
class FunctionTrial:
    """What a function makes of a class's traffic alone."""

    capacity: Capacity
    """Of one instance: requests/s while it answers, never waiting."""
    billed_s: float
    """Mean time that a request is billed for, its share of cold starts included."""
    cold_share: float


def try_function(workload: Workload, item: TrafficClass, engine: EngineModel, size: ServiceSize) -> FunctionTrial | str:
    """Return what a function makes of the class's traffic, all of it its own; or why it breaks a promise."""
    if item.deferral is not None:
        return "a function starts when it is called: work that waits needs no such thing"
    assert isinstance(engine, RequestEngine)  # noqa: S101 - the caller chose request engines
    if engine.service_s[0] > size.service.limit_s:
        return f"a request takes {engine.service_s[0]:g} s, {size.service.name} ends it after {size.service.limit_s:g} s"
    everything, nothing = np.ones((1, 1, HOURS_PER_WEEK)), np.zeros((1, 1), dtype=bool)
    pool = build_function_pool(workload, size, engine)
    fleet = Fleet((pool,), (FleetClass(""),), ("",), everything, nothing, workload.scaling)
    grown = grow(item, 1.0 + item.growth)
    length_s = _choose_trial_s(grown)
    drawn = draw_arrivals(grown.demand, 0.0, length_s, SEED)
    if not len(drawn.time_s):
        return "the part of its traffic that is tried has no requests"
    zeros = np.zeros(len(drawn.time_s), dtype=np.int64)
    traffic = Traffic(drawn.time_s, zeros, drawn.input_tokens, drawn.output_tokens)
    outcome = replay_fleet(fleet, traffic, duration_s=length_s, block_offset_s=0.0, seed=0)
    cold = float(np.mean(outcome.queue_s > 0.0))
    for slo in item.slos:
        kept = float(np.mean(metric_s(outcome, slo.metric) <= slo.limit_s))
        if kept < slo.percentile:
            return f"misses {slo}: {kept:.2%} kept, {cold:.2%} of its requests meet a cold start of {engine.load_s:g} s"
    time_s = float(billed_s(outcome, 0, size, engine.load_s).mean())
    per_s = 1.0 / engine.service_s[0]
    return FunctionTrial(Capacity(per_s, per_s, per_s, 1, {}), time_s, cold)


def _choose_trial_s(item: TrafficClass) -> float:
    """Return how much of the traffic is tried, in seconds: whole days where that is few enough requests."""
    demand = item.demand
    if demand.requests <= TRIED_REQUESTS:
        return demand.duration_s
    until_s = demand.bin_s * float(np.searchsorted(np.cumsum(demand.rate_per_s) * demand.bin_s, TRIED_REQUESTS) + 1)
    return min(demand.duration_s, max(DAY_S * (until_s // DAY_S), min(DAY_S, until_s)))
