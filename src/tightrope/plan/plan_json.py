"""The proven fleet as ``plan.json`` holds it, and back: a replay of the file is a replay of what was proven, to the byte."""

import math

import numpy as np

from tightrope.base.plan import AnswerCache, Plan, Pool, ServedClass, Serving, VariantShare
from tightrope.base.records import (
    FloatArray,
    TrafficClass,
    Workload,
)
from tightrope.base.units import HOURS_PER_WEEK
from tightrope.plan.plan_json_check import check_plan, group_of
from tightrope.plan.problem.cascade import get_promises
from tightrope.replay.records import Fleet, FleetClass, FleetPool, ResponseCache, Traffic

FOREIGN_SHARE = 0.5
"""A trace whose blocks fill so few of its prompts, or overfill them, has blocks of another size than the cache."""

# ------------------------------------------------------------------------------------------------------------- fleet to plan


def build_serving(fleet: Fleet, place: int) -> Serving:
    """Return what the plan says of the fleet's pool at ``place``, beside what ``Pool`` says already."""
    pool = fleet.pools[place]
    return Serving(
        engine=pool.engine,
        engines_per_machine=pool.engines_per_machine,
        requests_per_s=pool.requests_per_s,
        concurrency=pool.concurrency,
        start_s=pool.start_s,
        load_s=pool.load_s,
        interruptions_per_hour=pool.interruptions_per_hour,
        deferrable_limit=pool.deferrable_limit,
        deferrable_classes=tuple(item.name for item, may in zip(fleet.classes, fleet.allowed[:, place], strict=True) if may),
        max_wait_s=pool.max_wait_s,
        failures_per_hour=pool.failures_per_hour,
        backs=pool.backs,
        keep_alive_s=pool.keep_alive_s,
        prefix_block_tokens=pool.prefix_block_tokens,
        metered=pool.metered,
        answer_s=pool.answer_s,
        cooldown_s=pool.cooldown_s,
        group=pool.group,
        round_trip_s=_list_round_trips(fleet, place),
    )


def _list_round_trips(fleet: Fleet, place: int) -> dict[str, float]:
    """Return class → time to the pool and back, of those that are away from it."""
    if fleet.away_s is None:
        return {}
    return {item.name: float(s) for item, s in zip(fleet.classes, fleet.away_s[:, place], strict=True) if s > 0.0}


def build_served_classes(workload: Workload, fleet: Fleet) -> tuple[ServedClass, ...]:
    """Return what is promised to each class and how it is treated, in the fleet's order."""
    stated = {item.name: item for item in workload.classes}
    return tuple(
        ServedClass(
            name=item.name,
            slos=get_promises(stated[item.name])[1],
            egress_bytes_per_request=stated[item.name].egress_bytes_per_request,
            deferral=stated[item.name].deferral,
            priority=item.priority,
            answer_within_s=_to_finite(item.answer_within_s),
            shed_wait_s=_to_finite(item.shed_wait_s),
            retries=item.retries,
            retry_after_s=item.retry_after_s,
            asked_as=_find_asked_name(stated[item.name]),
            follows=item.follows,
            follow_share=item.follow_share,
            ingress_bytes_per_request=stated[item.name].ingress_bytes_per_request,
            place=stated[item.name].place,
        )
        for item in fleet.classes
    )


def _find_asked_name(item: TrafficClass) -> str:
    """Return the class that was stated where this is the first part of its cascade."""
    return item.part.whole if item.part is not None and not item.part.follows else ""


def variant_shares(fleet: Fleet) -> tuple[VariantShare, ...]:
    """Return who answers what by variant, one record for each class and variant with any share."""
    return tuple(
        VariantShare(item.name, group, tuple(float(share) for share in fleet.share[c, g]))
        for c, item in enumerate(fleet.classes)
        for g, group in enumerate(fleet.groups)
        if fleet.share[c, g].any()
    )


def build_answer_cache(fleet: Fleet) -> AnswerCache | None:
    """Return the fleet's cache of answers, None where it has none."""
    cache = fleet.cache
    return AnswerCache(cache.entries, cache.ttl_s, cache.hit_s) if cache is not None else None


def _to_finite(seconds: float) -> float | None:
    """Return a time that may never come as the plan writes it."""
    return seconds if math.isfinite(seconds) else None


# ------------------------------------------------------------------------------------------------------------- plan to fleet


def rebuild_fleet(plan: Plan) -> Fleet:
    """Return the fleet that the plan describes; raise ``InputError`` naming the field where no replay could run on it."""
    check_plan(plan)
    groups = tuple(dict.fromkeys(group_of(pool) for pool in plan.pools))
    names = [item.name for item in plan.classes]
    share = np.zeros((len(names), len(groups), HOURS_PER_WEEK))
    for rule in plan.variant_shares:
        share[names.index(rule.traffic_class), groups.index(rule.variant)] = rule.share_by_block
    return Fleet(
        pools=tuple(_rebuild_pool(pool) for pool in plan.pools),
        classes=tuple(_rebuild_class(item) for item in plan.classes),
        groups=groups,
        share=share,
        allowed=np.array([[name in pool.serving.deferrable_classes for pool in plan.pools] for name in names], dtype=bool),
        scaling=plan.scaling,
        cache=ResponseCache(plan.cache.entries, plan.cache.ttl_s, plan.cache.hit_s) if plan.cache else None,
        away_s=_away_s(plan),
    )


def _away_s(plan: Plan) -> FloatArray | None:
    """Return the time from each class's users to each pool and back, float64[classes, pools]; None where it is none at all."""
    away_s = np.array([[pool.serving.round_trip_s.get(item.name, 0.0) for pool in plan.pools] for item in plan.classes])
    return away_s if away_s.any() else None


def _rebuild_pool(pool: Pool) -> FleetPool:
    """Return one pool as the replay sees it."""
    serving = pool.serving
    return FleetPool(
        name=pool.name,
        group=group_of(pool),
        engine=serving.engine,
        engines_per_machine=serving.engines_per_machine,
        requests_per_s=serving.requests_per_s,
        start_s=serving.start_s,
        zones=pool.zones,
        interruptions_per_hour=serving.interruptions_per_hour,
        schedule=np.array(pool.schedule, dtype=np.int64),
        ceiling=pool.max_replicas,
        deferrable_limit=serving.deferrable_limit,
        max_wait_s=serving.max_wait_s,
        load_s=serving.load_s,
        concurrency=serving.concurrency,
        failures_per_hour=serving.failures_per_hour,
        backs=serving.backs,
        keep_alive_s=serving.keep_alive_s,
        prefix_block_tokens=serving.prefix_block_tokens,
        metered=serving.metered,
        answer_s=serving.answer_s,
        cooldown_s=serving.cooldown_s,
    )


def _rebuild_class(item: ServedClass) -> FleetClass:
    """Return how the replay treats one class."""
    return FleetClass(
        name=item.name,
        deferrable=item.deferral is not None,
        priority=item.priority,
        answer_within_s=math.inf if item.answer_within_s is None else item.answer_within_s,
        shed_wait_s=math.inf if item.shed_wait_s is None else item.shed_wait_s,
        retries=item.retries,
        retry_after_s=item.retry_after_s,
        follows=item.follows,
        follow_share=item.follow_share,
    )


def warn_of_prefixes(plan: Plan, traffic: Traffic) -> list[str]:
    """Say what makes the prompts' blocks useless, or the share that is found in a prefix cache wrong."""
    if traffic.blocks is None or traffic.block_start is None or not len(traffic.blocks):
        return []
    sizes = sorted({pool.serving.prefix_block_tokens for pool in plan.pools} - {0})
    if not sizes:
        return [
            "the trace names its prompts' blocks, and no pool has a prefix cache: say `prefix_cache` at the model and plan again"
        ]
    listed = np.diff(traffic.block_start)
    tokens, listed = traffic.input_tokens[listed > 0], listed[listed > 0]
    mean = tokens.sum() / listed.sum()
    return [
        f"the trace names a block for every {mean:.0f} prompt tokens, and a prefix cache has blocks of {size}: what it spares is "
        "wrong unless the trace's blocks are of that size"
        for size in sizes
        if np.mean((listed < tokens // size) | (listed > -(-tokens // size))) > FOREIGN_SHARE
    ]
