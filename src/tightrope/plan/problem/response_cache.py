"""What a cache of answers spares the fleet, from the trace's own keys, and what it costs.

Hits are counted on the recorded requests, one after another, with the cache empty at the trace's start and every answer kept only
from the time by which its promise has it made: a real one has more. Hits leave the demand that the fleet is sized for; the proof
replays all requests, with their keys.
"""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.errors import InputError
from tightrope.base.plan import BillLine
from tightrope.base.records import CachePolicy, FloatArray, IntArray, TrafficClass, Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.demand.request_keys import times_of
from tightrope.plan.problem.arrays import Problem
from tightrope.policy.caching import is_fresh

MEMORY_SHARE = 0.75
"""Of a node's memory, what entries may fill: a quarter is kept for copies and buffers (Amazon ElastiCache, "Managing reserved memory":
``reserved-memory-percent`` is 25 by default; read 2024)."""
MOST_NODES = 64


def find_hits(time_s: FloatArray, key: IntArray, answer_s: FloatArray, entries: int, ttl_s: float) -> NDArray[np.bool_]:
    """Return which requests a cache answers, bool[requests]: least recently used goes first, negative keys are never kept.

    ``time_s`` is float64[requests], ascending; a request not answered is kept from ``answer_s`` (float64[requests]) later on.

    >>> time_s, key = np.arange(5.0), np.array([0, 1, 0, 2, 1])
    >>> [find_hits(time_s, key, np.zeros(5), entries, 60.0).tolist().count(True) for entries in (1, 2, 3)]
    [0, 1, 2]
    """
    hit = np.zeros(len(time_s), dtype=bool)
    kept: OrderedDict[int, float] = OrderedDict()
    for place, (now_s, name, takes_s) in enumerate(zip(time_s.tolist(), key.tolist(), answer_s.tolist(), strict=True)):
        if name < 0:
            continue
        made_s = kept.get(name)
        if made_s is not None and is_fresh(made_s, ttl_s, now_s):
            hit[place] = made_s <= now_s
        else:
            if made_s is None and len(kept) == entries:
                kept.popitem(last=False)
            kept[name] = now_s + takes_s
        kept.move_to_end(name)
    return hit


def _answered_s(item: TrafficClass) -> float:
    """Return the time by which a request's whole answer is promised; infinite where nothing says it."""
    limit_s = {slo.metric: slo.limit_s for slo in item.slos}
    if "latency" in limit_s:
        return limit_s["latency"]
    if {"ttft", "tpot"} <= limit_s.keys():
        return limit_s["ttft"] + limit_s["tpot"] * float(item.demand.output_tokens.mean())
    return float("inf")


def has_keys(workload: Workload) -> bool:
    """Return whether any interactive class has requests with a key."""
    return any(item.demand.key is not None and item.deferral is None for item in workload.classes)


def apply_cache(workload: Workload, cache: CachePolicy) -> Workload:
    """Return the workload with this cache, its hits marked in the demand of every interactive class that has keys."""
    keyed = [(c, item) for c, item in enumerate(workload.classes) if item.demand.key is not None and item.deferral is None]
    if not keyed or not cache.entries:
        return replace(workload, cache=cache)
    count = len(workload.classes)
    times = [times_of(item.demand) for _, item in keyed]
    keys = [np.where(item.demand.key >= 0, item.demand.key * count + c, -1) for c, item in keyed if item.demand.key is not None]
    takes = [np.full(len(at), _answered_s(item)) for at, (_, item) in zip(times, keyed, strict=True)]
    order = np.argsort(np.concatenate(times), kind="stable")
    time_s, answer_s = np.concatenate(times)[order], np.concatenate(takes)[order]
    hit = np.empty(len(order), dtype=bool)
    hit[order] = find_hits(time_s, np.concatenate(keys)[order], answer_s, cache.entries, cache.ttl_s)
    parts = np.split(hit, np.cumsum([len(at) for at in times])[:-1])
    marked = {c: replace(item, demand=replace(item.demand, cached=mine)) for (c, item), mine in zip(keyed, parts, strict=True)}
    return replace(workload, classes=tuple(marked.get(c, item) for c, item in enumerate(workload.classes)), cache=cache)


def drop_hits(workload: Workload) -> Workload:
    """Return the workload where the fleet answers every request."""
    classes = tuple(replace(item, demand=replace(item.demand, cached=None)) for item in workload.classes)
    return replace(workload, classes=classes, cache=None)


def warn_of_cache(workload: Workload) -> list[str]:
    """Say where a cache of answers does nothing, and where it is on no bill."""
    cache = workload.cache
    if cache is None:
        return []
    if not has_keys(workload):
        return ["the cache of answers saves nothing here: the trace names no keys; replay the plan on a trace that has them"]
    if not cache.entries:
        return [f"no cache of answers: {cache.machine} costs more than the answers it would keep spare"]
    if not cache.machine:
        return ["the machines of the cache of answers are not in the bill: state cache.machine and cache.bytes_per_entry"]
    return []


def measure_hit_share(workload: Workload) -> float:
    """Return the share of the recorded requests of interactive classes that the marked cache answers."""
    marked = [item.demand.cached for item in workload.classes if item.deferral is None and item.demand.cached is not None]
    total = sum(item.demand.requests for item in workload.classes if item.deferral is None)
    kept = [item.demand for item in workload.classes if item.deferral is None and item.demand.cached is not None]
    return sum(float(mask.mean()) * demand.requests for mask, demand in zip(marked, kept, strict=True)) / total if total else 0.0


def count_entries_per_node(cache: CachePolicy, book: PriceBook) -> int:
    """Return how many answers one node keeps."""
    memory_bytes = book.machine(cache.machine).memory_gib * 2**30
    entries = int(MEMORY_SHARE * memory_bytes / cache.bytes_per_entry)
    if entries < 1:
        msg = f"cache: one entry of {cache.bytes_per_entry:,.0f} B does not fit {cache.machine!r}"
        raise InputError(msg, resolve="name a larger cache.machine, or correct cache.bytes_per_entry")
    return entries


def with_nodes(cache: CachePolicy, book: PriceBook) -> CachePolicy:
    """Return a cache of stated entries with the nodes that it needs."""
    if not cache.machine or cache.auto:
        return cache
    return replace(cache, nodes=-(-cache.entries // count_entries_per_node(cache, book)))


def list_cache_sizes(workload: Workload, cache: CachePolicy, book: PriceBook) -> list[CachePolicy]:
    """Return the caches worth a look: none, then one node and twice as many each time, until every key fits."""
    per_node = count_entries_per_node(cache, book)
    keys = sum(int(item.demand.key.max(initial=-1)) + 1 for item in workload.classes if item.demand.key is not None)
    found, nodes = [replace(cache, entries=0, nodes=0)], 1
    while nodes <= MOST_NODES:
        found.append(replace(cache, entries=nodes * per_node, nodes=nodes))
        if nodes * per_node >= keys:
            break
        nodes *= 2
    return found


def node_usd_per_hour(cache: CachePolicy, book: PriceBook, regions: dict[str, tuple[str, ...]]) -> float:
    """Return what a node costs an hour on demand where it is cheapest of the regions; raise ``InputError`` where none sells it."""
    machine = book.machine(cache.machine)
    rows = [book.find(cache.machine, region, ON_DEMAND) for region in regions.get(machine.cloud, ())]
    prices = [float(row.usd_per_hour) for row in rows if row is not None]
    if not prices:
        msg = f"cache: {cache.machine!r} has no on-demand price in {', '.join(regions.get(machine.cloud, ())) or 'any allowed region'}"
        raise InputError(msg, resolve="name a machine that is sold in a region of `where`, or leave cache.machine out")
    return min(prices)


def build_cache_lines(workload: Workload, book: PriceBook, problem: Problem) -> tuple[BillLine, ...]:
    """Return what the cache costs a month in the problem's regions."""
    cache = workload.cache
    if cache is None or not cache.nodes:
        return ()
    regions: dict[str, tuple[str, ...]] = {}
    for option in problem.options:
        regions[option.machine.cloud] = tuple(dict.fromkeys((*regions.get(option.machine.cloud, ()), option.region)))
    usd = cache.nodes * node_usd_per_hour(cache, book, regions) * HOURS_PER_MONTH
    return (BillLine("cache", "", f"{cache.nodes} × {cache.machine}", usd),)
