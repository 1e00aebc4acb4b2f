"""The plan as the replay sees it: pools with schedules and ceilings, routing shares, and the traffic of a stretch of the trace."""

import math
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.records import FloatArray, IntArray, RequestEngine, TokenEngine, TrafficClass, Workload
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.demand.arrivals import draw_arrivals
from tightrope.demand.blocks import DAY_S, split_demand
from tightrope.perf.profile_search import find_profile, limit_batch
from tightrope.plan.problem.arrays import PoolOption
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.demand_week import grow
from tightrope.plan.problem.distance import round_trip_s
from tightrope.plan.problem.services.metered_costs import metered_usd, work_at_once
from tightrope.plan.problem.services.service_pools import build_metered_pool, find_start_s
from tightrope.plan.solve.decomposition import Solution
from tightrope.replay.evidence import due_s
from tightrope.replay.records import Fleet, FleetClass, FleetPool, ResponseCache, Traffic

NOTHING = 1e-9
"""A share that the solver's rounding leaves."""


@dataclass(frozen=True, slots=True)
class OpenPool:
    """One pool the plan opens: its option, its place among the problem's options, its name."""

    name: str
    option: PoolOption
    index: int


def open_pools(solution: Solution) -> tuple[OpenPool, ...]:
    """Return the pools in use, most expensive first; names are such as ``int8-g4dn-xlarge-spot``, numbered where two would be alike."""
    problem = solution.problem
    answers = (solution.share > NOTHING).any(axis=(0, 2)) | (solution.work > NOTHING).any(axis=(0, 2))
    used = np.flatnonzero(solution.machines.any(axis=1) | (problem.metered & answers))
    spend = problem.usd_per_hour * solution.machines.sum(axis=1) + metered_usd(problem, solution.share, solution.work)
    names: list[OpenPool] = []
    for p in sorted(used, key=lambda p: (-float(spend[p]), int(p))):
        option = problem.options[p]
        offer = "" if option.terms.offer == "on-demand" else f"-{option.terms.offer}"
        base = f"{option.variant.name.split('/')[-1]}-{option.machine.name}{offer}".replace(".", "-").replace("/", "-").lower()
        taken = sum(pool.name == base or pool.name.removeprefix(f"{base}-").isdigit() for pool in names)
        names.append(OpenPool(base if not taken else f"{base}-{taken + 1}", option, int(p)))
    return tuple(names)


def _order_classes(workload: Workload) -> tuple[list[TrafficClass], list[TrafficClass]]:
    """Return interactive classes and deferrable ones, in the problem's order."""
    interactive = [item for item in workload.classes if item.deferral is None]
    return interactive, [item for item in workload.classes if item.deferral is not None]


def _build_fleet_classes(interactive: list[TrafficClass], deferrable: list[TrafficClass]) -> tuple[FleetClass, ...]:
    """Return how the replay treats each class, in the fleet's order."""
    return tuple(
        FleetClass(
            name=item.name,
            deferrable=item.deferral is not None,
            priority=item.priority,
            answer_within_s=_answer_within_s(item),
            shed_wait_s=item.shed_wait_s,
            retries=item.retries,
            retry_after_s=item.retry_after_s,
            follows=item.part.follows if item.part else "",
            follow_share=item.part.share if item.part else 1.0,
        )
        for item in (*interactive, *deferrable)
    )


def _answer_within_s(item: TrafficClass) -> float:
    """Return the time from a request's coming in which its answer must begin: of what goes on in a cascade, from when it was asked."""
    slos = item.whole_slos if item.part is not None and item.part.follows else item.slos
    return min((slo.limit_s for slo in slos if slo.metric in {"latency", "ttft"}), default=math.inf)


def _build_cache(workload: Workload) -> ResponseCache | None:
    """Return the workload's cache of answers as the replay knows it."""
    stated = workload.cache
    return None if stated is None or not stated.entries else ResponseCache(stated.entries, stated.ttl_s, stated.hit_s)


def _measure_pool_rate(solution: Solution, pool: OpenPool) -> float:
    """Return requests/s that one machine of the pool sustains of what the plan routes to it, over the week."""
    problem, p = solution.problem, pool.index
    routed = solution.share[:, p] * problem.rate
    load = np.divide(routed, problem.mu[:, p], out=np.zeros_like(routed), where=problem.mu[:, p] > 0.0)
    if load.sum() > 0.0:
        return float(routed.sum() / load.sum())
    return float(max(problem.work_per_s[:, p].max(initial=0.0), 1e-9))


def build_fleet(workload: Workload, solution: Solution, table: CapacityTable) -> Fleet:
    """Return the fleet that the solution describes, with the workload's autoscaler."""
    interactive, deferrable = _order_classes(workload)
    pools = open_pools(solution)
    indices = [pool.index for pool in pools]
    group_of = _name_groups(pools)
    groups = tuple(dict.fromkeys(group_of.values()))
    share = np.zeros((len(workload.classes), len(groups), HOURS_PER_WEEK))
    for c in range(len(interactive)):
        for pool in pools:
            share[c, groups.index(group_of[pool.name])] += _fill_week(solution.share[c, pool.index])
    return Fleet(
        pools=tuple(
            replace(_build_pool(workload, solution, table, pool, interactive), group=group_of[pool.name]) for pool in pools
        ),
        classes=_build_fleet_classes(interactive, deferrable),
        groups=groups,
        share=np.clip(share, 0.0, 1.0),
        allowed=_find_allowed(solution, indices, len(interactive), len(deferrable)),
        scaling=workload.scaling,
        cache=_build_cache(workload),
        away_s=_away_s(workload, (*interactive, *deferrable), [pool.option.region for pool in pools]),
    )


def _name_groups(pools: tuple[OpenPool, ...]) -> dict[str, str]:
    """Return pool → the name of those that take one another's place: of one variant, and of one region where there are several."""
    places = {(pool.option.machine.cloud, pool.option.region) for pool in pools}
    return {
        pool.name: pool.option.variant.name if len(places) == 1 else f"{pool.option.variant.name} in {pool.option.region}"
        for pool in pools
    }


def _away_s(workload: Workload, classes: tuple[TrafficClass, ...], regions: list[str]) -> FloatArray | None:
    """Return the time from each class's users to a pool in each region and back, float64[classes, pools]; None where it is none.

    Where it is not known no plan sends anybody, and today's fleet is not held against it.
    """
    away_s = np.array([[round_trip_s(item, region, workload.where) or 0.0 for region in regions] for item in classes])
    return away_s if away_s.any() else None


def _fill_week(values: np.ndarray) -> np.ndarray:
    """Repeat a single block's value for the whole week, [168]."""
    return np.broadcast_to(values, (HOURS_PER_WEEK,)) if len(values) == 1 else values


def _find_allowed(solution: Solution, indices: list[int], interactive: int, deferrable: int) -> np.ndarray:
    """Return which pool may do which deferrable class: those the plan gave any of its work; bool[classes, pools]."""
    allowed = np.zeros((interactive + deferrable, len(indices)), dtype=bool)
    for w, window in enumerate(solution.problem.windows):
        allowed[interactive + window.traffic_class] |= solution.work[w][indices].any(axis=1)
    return allowed


def _build_pool(
    workload: Workload, solution: Solution, table: CapacityTable, pool: OpenPool, interactive: list[TrafficClass]
) -> FleetPool:
    """Return one pool; a pool without interactive load never scales beyond its schedule."""
    option, schedule = pool.option, _fill_week(solution.machines[pool.index])
    if solution.problem.metered[pool.index]:
        return build_metered_pool(workload, option, pool.name, work_at_once(solution.problem, solution.work, pool.index))
    engine, largest = option.profile.engine, int(schedule.max())
    served = {
        item.name: table.find(engine, item).concurrency
        for c, item in enumerate(interactive)
        if solution.share[c, pool.index].any()
    }
    limit = min(served.values(), default=engine.max_sequences if isinstance(engine, TokenEngine) else engine.max_batch)
    return FleetPool(
        name=pool.name,
        group=option.variant.name,
        engine=engine,
        engines_per_machine=option.profile.replicas_per_machine,
        requests_per_s=_measure_pool_rate(solution, pool),
        start_s=find_start_s(workload, option) + engine.load_s,
        zones=option.terms.zones,
        interruptions_per_hour=option.terms.interruptions_per_hour,
        schedule=np.ascontiguousarray(schedule, dtype=np.int64),
        ceiling=_choose_ceiling(workload, solution, pool.index) if served else largest,
        deferrable_limit=limit,
        load_s=engine.load_s,
        concurrency=float(limit * option.profile.replicas_per_machine),
        failures_per_hour=workload.failures_per_hour,
        prefix_block_tokens=option.variant.prefix_block_tokens,
        cooldown_s=workload.scaling.cooldown_s if served and workload.scaling.enabled else None,
    )


def _choose_ceiling(workload: Workload, solution: Solution, option: int) -> int:
    """Return the most machines that the autoscaler may run: so many times the schedule's, within what the quotas leave the pool.

    The pools that share a quota with it have their fewest machines at all times.
    """
    largest, least = int(solution.machines[option].max()), solution.machines.min(axis=1)
    quotas = [quota for quota in solution.problem.quotas if quota.mask[option]]
    room = [quota.machines - int(least[quota.mask].sum() - least[option]) for quota in quotas]
    return max(largest, min([math.ceil(largest * workload.scaling.max_surge), *room]))


def build_today_fleet(workload: Workload, book: PriceBook) -> Fleet | None:
    """Return the fleet that runs now, fixed around the clock; None where none is stated or a profile of it is missing."""
    interactive, deferrable = _order_classes(workload)
    variants = {variant.name: variant for variant in workload.variants}
    pools = []
    for stated in workload.today:
        profile = find_profile(variants[stated.variant], book.machine(stated.machine))
        if isinstance(profile, tuple):
            return None
        engine = limit_batch(profile, stated.max_batch).engine
        pools.append(
            FleetPool(
                name=stated.name,
                group=stated.name,
                engine=engine,
                engines_per_machine=profile.replicas_per_machine,
                requests_per_s=1.0,
                start_s=0.0,
                zones=1,
                interruptions_per_hour=0.0,
                schedule=np.full(HOURS_PER_WEEK, stated.machines),
                ceiling=stated.machines,
                deferrable_limit=engine.max_batch if isinstance(engine, RequestEngine) else engine.max_sequences,
                failures_per_hour=workload.failures_per_hour,
                prefix_block_tokens=variants[stated.variant].prefix_block_tokens,
            )
        )
    if not pools:
        return None
    return _build_today(workload, tuple(pools), _build_fleet_classes(interactive, deferrable))


def _build_today(workload: Workload, pools: tuple[FleetPool, ...], classes: tuple[FleetClass, ...]) -> Fleet | None:
    """Return today's fleet with every class split evenly, by machines, over the pools that serve it; None where one is unserved."""
    order = [item.name for item in classes]
    share = np.zeros((len(order), len(pools), HOURS_PER_WEEK))
    allowed = np.zeros((len(order), len(pools)), dtype=bool)
    for g, stated in enumerate(workload.today):
        for name in stated.classes:
            share[order.index(name), g] = stated.machines
            allowed[order.index(name), g] = True
    if not allowed.any(axis=1).all():
        return None
    share /= share.sum(axis=1, keepdims=True)
    scaling = replace(workload.scaling, enabled=False)
    interactive, deferrable = _order_classes(workload)
    away_s = _away_s(workload, (*interactive, *deferrable), [stated.region for stated in workload.today])
    groups = tuple(pool.group for pool in pools)
    return Fleet(pools, classes, groups, share, allowed, scaling, _build_cache(workload), away_s)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the held-out trace: seconds from the start of the whole trace."""

    start_s: float
    end_s: float

    @property
    def words(self) -> str:
        """Say which days, such as ``days 10–14``."""
        first, last = int(self.start_s // DAY_S) + 1, int(np.ceil(self.end_s / DAY_S))
        if self.end_s - self.start_s < DAY_S - 1:
            clock = [
                f"{int(t % DAY_S // SECONDS_PER_HOUR):02d}:{int(t % SECONDS_PER_HOUR // 60):02d}"
                for t in (self.start_s, self.end_s)
            ]
            return f"day {first}, {clock[0]}–{clock[1]}"
        return f"day {first}" if first == last else f"days {first}–{last}"


def find_heldout_stretch(workload: Workload) -> Stretch:
    """Return the part of the trace that sizing never saw."""
    split = [split_demand(item.demand, workload.heldout_share) for item in workload.classes]
    start_s = max(part.heldout_start_s for part in split)
    return Stretch(start_s, min(part.heldout_start_s + part.heldout.duration_s for part in split))


def draw_traffic(workload: Workload, stretch: Stretch, seed: int) -> Traffic:
    """Return all classes' requests of a stretch, merged in time from 0, growth included; the same seed gives the same bytes.

    Classes are in the order of the fleet: interactive ones first. What goes on in a cascade is not drawn: the replay adds it.
    """
    interactive, deferrable = _order_classes(workload)
    parts = []
    keys: list[IntArray] = []
    for index, item in enumerate((*interactive, *deferrable)):
        if item.part is not None and item.part.follows:
            continue
        grown = grow(item, 1.0 + item.growth)
        drawn = draw_arrivals(grown.demand, stretch.start_s, stretch.end_s, seed * 1000 + index)
        parts.append((drawn.time_s - stretch.start_s, np.full(len(drawn.time_s), index), drawn.input_tokens, drawn.output_tokens))
        none = np.full(len(drawn.time_s), -1, dtype=np.int64)
        keys.append(none if drawn.key is None else np.where(drawn.key >= 0, drawn.key * len(workload.classes) + index, none))
    times, classes, inputs, outputs = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(times, kind="stable")
    times, classes = times[order], classes[order]
    deadline_s = due_s(times, classes, stretch.start_s, [item.deferral for item in (*interactive, *deferrable)])
    key = np.concatenate(keys)[order] if any(item.demand.key is not None for item in workload.classes) else None
    return Traffic(times, classes, inputs[order], outputs[order], key=key, deadline_s=deadline_s)


def busiest(workload: Workload, stretch: Stretch, length_s: float) -> Stretch:
    """Return the part of the stretch, of about ``length_s``, with the most interactive requests."""
    interactive, _ = _order_classes(workload)
    best, best_requests = stretch, -1.0
    starts: IntArray = np.arange(int(stretch.start_s), max(int(stretch.end_s - length_s) + 1, int(stretch.start_s) + 1), 3600)
    for start_s in starts:
        requests = 0.0
        for item in interactive:
            edges = np.clip(np.array([start_s, start_s + length_s]) / item.demand.bin_s, 0, len(item.demand.rate_per_s)).astype(
                int
            )
            requests += float(item.demand.rate_per_s[edges[0] : edges[1]].sum() * item.demand.bin_s)
        if requests > best_requests:
            best, best_requests = Stretch(float(start_s), min(float(start_s) + length_s, stretch.end_s)), requests
    return best
