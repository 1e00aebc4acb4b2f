"""The fleet that runs now: its bill, and what the replay says of its promises."""

import numpy as np

from tightrope.base.plan import BillLine, Evidence, Usage, UsageLine
from tightrope.base.records import Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import DAY_S, split_demand
from tightrope.perf.profile_search import find_profile, limit_batch
from tightrope.plan.fleet.plan_fleet import build_today_fleet, busiest
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cost_lines import build_machine_lines, build_network_lines, disk_usd_per_hour
from tightrope.plan.problem.network import Place, Served, around
from tightrope.plan.prove.proof import MAX_REPLAYED_REQUESTS, gather_evidence, replay_seeds, split_heldout

LEAST_S = 300.0
"""Today's fleet is replayed for at least so long, however much traffic there is."""


def build_today_lines(workload: Workload, book: PriceBook, table: CapacityTable) -> tuple[BillLine, ...]:
    """Return today's monthly bill, what is committed already applied; empty where no fleet is stated."""
    if not workload.today:
        return ()
    lines = tuple(UsageLine(pool.name, pool.cloud, pool.region, pool.machine, pool.offer) for pool in workload.today)
    hours = np.array([[float(pool.machines)] for pool in workload.today])
    usage = Usage(lines, hours, np.array([HOURS_PER_MONTH]))
    used = _measure_used(workload, book, table)
    disk_gb = workload.infrastructure.disk_gb
    disks = np.array([disk_usd_per_hour(book, pool.cloud, pool.region, disk_gb) for pool in workload.today])
    return build_machine_lines(usage, book, workload.purchase.existing, used, disks) + _price_today_network(workload, book)


def _price_today_network(workload: Workload, book: PriceBook) -> tuple[BillLine, ...]:
    """Return what stands around today's machines: every class is split evenly, by machines, over the pools that serve it."""
    surrounding = around(workload, book)
    served: Served = {}
    variants: dict[Place, set[str]] = {}
    for pool in workload.today:
        place = Place(pool.cloud, pool.region)
        variants.setdefault(place, set()).add(pool.variant)
        for name in pool.classes:
            serving = sum(other.machines for other in workload.today if name in other.classes)
            places = served.setdefault(name, {})
            places[place] = places.get(place, 0.0) + surrounding.requests[name] * pool.machines / serving
    return build_network_lines(workload, surrounding, served, variants)


def _measure_used(workload: Workload, book: PriceBook, table: CapacityTable) -> dict[str, float]:
    """Return the mean share of each pool's capacity that its classes need; 1 where it has no profile."""
    variants = {variant.name: variant for variant in workload.variants}
    found = {}
    for pool in workload.today:
        profile = find_profile(variants[pool.variant], book.machine(pool.machine))
        if isinstance(profile, tuple):
            continue
        engine, engines = limit_batch(profile, pool.max_batch).engine, pool.machines * profile.replicas_per_machine
        busy = 0.0
        for item in workload.classes:
            serving = sum(other.machines for other in workload.today if item.name in other.classes)
            if item.name in pool.classes:
                capacity = table.find(engine, item)
                sizing = split_demand(item.demand, workload.heldout_share).sizing
                rate = sizing.requests / sizing.duration_s * pool.machines / serving
                limit = float(capacity.per_engine(np.array(float(engines)))) if item.deferral is None else capacity.raw_per_s
                busy += rate / (engines * limit) if limit > 0.0 else 1.0
        found[pool.name] = min(1.0, busy)
    return found


def today_evidence(workload: Workload, book: PriceBook) -> tuple[Evidence, ...]:
    """Return what today's fleet makes of the busiest held-out day (or as much of it as is replayed in reason)."""
    fleet = build_today_fleet(workload, book)
    if fleet is None:
        return ()
    _, whole = split_heldout(workload)
    rate = sum(item.demand.requests / item.demand.duration_s for item in workload.classes)
    length_s = min(DAY_S, max(LEAST_S, MAX_REPLAYED_REQUESTS / 8.0 / max(rate, 1e-9)))
    stretch = busiest(workload, whole, length_s)
    return gather_evidence(workload, fleet, replay_seeds(fleet, workload, stretch), stretch)
