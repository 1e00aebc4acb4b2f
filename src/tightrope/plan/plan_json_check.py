"""Whether the figures of a ``plan.json`` fit together, and mean something: what no replay could run on is refused by its field's name."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan, Pool, ServedClass
from tightrope.base.records import RequestEngine, ScalingLimit, ScalingPolicy, Slo, TokenEngine
from tightrope.base.units import HOURS_PER_WEEK
from tightrope.demand.quantities import LONGEST_WINDOW_S, SHORTEST_SYNC_S

REDO = "plan again, or correct the file"


def group_of(pool: Pool) -> str:
    """Return the name of the pools that take one another's place."""
    return pool.serving.group or pool.variant


@dataclass(frozen=True, slots=True)
class _Range:
    """The figures that a field may hold: from ``least`` (or only above it) to ``most``."""

    least: float = 0.0
    most: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        """Return whether the figure is in the range; what is no number is not."""
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        """Return the range in words, such as ``more than 0 and at most 1``."""
        least = f"more than {self.least:.10g}" if self.above else f"{self.least:.10g} or more"
        return least if math.isinf(self.most) else f"{least} and at most {self.most:.10g}"


_POSITIVE, _NOT_NEGATIVE = _Range(above=True), _Range()
_POOL = {"zones": _NOT_NEGATIVE, "max_replicas": _Range(0, 1_000_000)}
_SERVING = {
    "engines_per_machine": _Range(1, 1024),
    "requests_per_s": _POSITIVE,
    "concurrency": _POSITIVE,
    "start_s": _NOT_NEGATIVE,
    "load_s": _NOT_NEGATIVE,
    "interruptions_per_hour": _NOT_NEGATIVE,
    "failures_per_hour": _NOT_NEGATIVE,
    "deferrable_limit": _NOT_NEGATIVE,
    "max_wait_s": _NOT_NEGATIVE,
    "keep_alive_s": _NOT_NEGATIVE,
    "cooldown_s": _NOT_NEGATIVE,
    "prefix_block_tokens": _NOT_NEGATIVE,
}
_CLASS = {
    "egress_bytes_per_request": _NOT_NEGATIVE,
    "ingress_bytes_per_request": _NOT_NEGATIVE,
    "priority": _Range(-1_000_000_000, 1_000_000_000),
    "answer_within_s": _POSITIVE,
    "shed_wait_s": _NOT_NEGATIVE,
    "retries": _Range(0, 100),
    "retry_after_s": _POSITIVE,
    "follow_share": _Range(0, 1),
}
_HOURS = _Range(0, 24)
_WINDOW = _Range(0, LONGEST_WINDOW_S)
_SCALING = {
    "sync_s": _Range(SHORTEST_SYNC_S),
    "target_utilisation": _Range(0, 2, above=True),
    "max_surge": _Range(1),
    "tolerance": _Range(0, 1),
    "metric_lag_s": _WINDOW,
    "metric_window_s": _Range(0, LONGEST_WINDOW_S, above=True),
    "downscale_stabilization_s": _WINDOW,
    "upscale_stabilization_s": _WINDOW,
    "machine_start_s": _NOT_NEGATIVE,
}
_RULE = {"value": _POSITIVE, "period_s": _Range(0, 1800, above=True)}
"""Kubernetes 1.34 takes periods of up to 30 minutes (API reference, "HPAScalingPolicy")."""
_CACHE = {"entries": _Range(1, 1_000_000_000), "ttl_s": _POSITIVE, "hit_s": _NOT_NEGATIVE}


def _check_ranges(at: str, record: object, ranges: Mapping[str, _Range]) -> None:
    """Raise where a figure of the record is out of its range; None, which a field may say instead of a figure, is not."""
    for name, allowed in ranges.items():
        value = getattr(record, name)
        if value is not None and value not in allowed:
            _refuse(f"{at}.{name}", value, str(allowed))


def _refuse(at: str, got: object, expected: str) -> None:
    """Raise: the plan's field ``at`` holds what no fleet can have."""
    msg = f"plan.{at} is {got!r}, expected {expected}"
    raise InputError(msg, resolve=REDO)


def check_plan(plan: Plan) -> None:
    """Raise where the plan's parts do not fit together."""
    if not plan.pools or not plan.classes:
        _refuse("pools" if not plan.pools else "classes", (), "at least one")
    pools, classes = [pool.name for pool in plan.pools], [item.name for item in plan.classes]
    for at, names in (("pools", pools), ("classes", classes)):
        if len(set(names)) < len(names):
            _refuse(at, names, "each name once")
    for number, pool in enumerate(plan.pools):
        _check_pool(f"pools[{number}]", pool, pools, classes)
    groups = {group_of(pool) for pool in plan.pools}
    for number, rule in enumerate(plan.variant_shares):
        at = f"variant_shares[{number}]"
        _expect_among(f"{at}.traffic_class", rule.traffic_class, classes)
        _expect_among(f"{at}.variant", rule.variant, groups)
        _check_week(f"{at}.share_by_block", rule.share_by_block, 1.0)
    for number, item in enumerate(plan.classes):
        _check_class(f"classes[{number}]", item)
        if item.follows:
            first = [other.name for other in plan.classes if other.asked_as and not other.follows]
            _expect_among(f"classes[{number}].follows", item.follows, first)
        if item.deferral is None and not any(rule.traffic_class == item.name for rule in plan.variant_shares):
            _refuse("variant_shares", [], f"a share of {item.name!r} for some variant")
    _check_backing(plan.pools)
    _check_scaling(plan.scaling)
    if plan.cache is not None:
        _check_ranges("cache", plan.cache, _CACHE)


def _check_class(at: str, item: ServedClass) -> None:
    """Raise where a class is promised, or treated, as none can be."""
    _check_ranges(at, item, _CLASS)
    for number, slo in enumerate(item.slos):
        _check_promise(f"{at}.slos[{number}]", slo)
    if item.deferral is not None:
        _check_ranges(f"{at}.deferral", item.deferral, {"release_h": _HOURS, "deadline_h": _HOURS})


def _check_promise(at: str, slo: Slo) -> None:
    """Raise where a promise is of no requests, of all, or of no time."""
    if not 0.0 < slo.percentile < 1.0:
        _refuse(f"{at}.percentile", slo.percentile, "a share between 0 and 1, such as 0.95")
    _check_ranges(at, slo, {"limit_s": _POSITIVE})


def _check_backing(pools: tuple[Pool, ...]) -> None:
    """Raise where a pool stands in for itself, directly or through others."""
    backed = {pool.name: pool.serving.backs for pool in pools}
    for number, pool in enumerate(pools):
        name, steps = pool.serving.backs, 0
        while name and name != pool.name and steps < len(pools):
            name, steps = backed[name], steps + 1
        if name == pool.name:
            _refuse(f"pools[{number}].serving.backs", pool.serving.backs, "a pool that does not rest on this one")


def _check_scaling(scaling: ScalingPolicy) -> None:
    """Raise where the autoscaler would never come to an end, or never act."""
    _check_ranges("scaling", scaling, _SCALING)
    _check_limit("scaling.scale_up", scaling.scale_up)
    _check_limit("scaling.scale_down", scaling.scale_down)


def _check_limit(at: str, limit: ScalingLimit) -> None:
    """Raise where a limit on change has no rules to choose from, or one that allows nothing."""
    if not limit.rules and limit.select != "disabled":
        _refuse(f"{at}.rules", (), "at least one, or select 'disabled'")
    for number, rule in enumerate(limit.rules):
        _check_ranges(f"{at}.rules[{number}]", rule, _RULE)


def _check_pool(at: str, pool: Pool, pools: list[str], classes: list[str]) -> None:
    """Raise where one pool cannot be."""
    serving = pool.serving
    _check_ranges(at, pool, _POOL)
    _check_week(f"{at}.schedule", pool.schedule, float(pool.max_replicas))
    _check_ranges(f"{at}.serving", serving, _SERVING)
    if serving.load_s > serving.start_s:
        _refuse(f"{at}.serving.load_s", serving.load_s, f"at most start_s, of which it is a part: {serving.start_s:g}")
    if serving.prefix_block_tokens and isinstance(serving.engine, RequestEngine):
        _refuse(f"{at}.serving.prefix_block_tokens", serving.prefix_block_tokens, "0: a request engine keeps no prompts")
    if serving.answer_s is not None and (len(serving.answer_s) != 2 or min(serving.answer_s) < 0.0):
        _refuse(
            f"{at}.serving.answer_s", serving.answer_s, "two times of 0 s or more: to the first token, and to each further one"
        )
    for number, name in enumerate(serving.deferrable_classes):
        _expect_among(f"{at}.serving.deferrable_classes[{number}]", name, classes)
    for name, trip_s in serving.round_trip_s.items():
        _expect_among(f"{at}.serving.round_trip_s", name, classes)
        if not 0.0 <= trip_s < math.inf:
            _refuse(f"{at}.serving.round_trip_s.{name}", trip_s, "0 s or more")
    if serving.backs:
        _expect_among(f"{at}.serving.backs", serving.backs, pools)
    _check_engine(f"{at}.serving.engine", serving.engine)


def _check_engine(at: str, engine: RequestEngine | TokenEngine) -> None:
    """Raise where an engine would never finish anything."""
    _check_ranges(at, engine, {"load_s": _NOT_NEGATIVE})
    if isinstance(engine, RequestEngine):
        if not engine.service_s or min(engine.service_s) <= 0.0:
            _refuse(f"{at}.service_s", engine.service_s, "times of more than 0 s")
        _check_lengths(at, engine)
        return
    for name in ("kv_capacity_tokens", "max_sequences", "chunk_tokens"):
        if getattr(engine, name) < 1:
            _refuse(f"{at}.{name}", getattr(engine, name), "1 or more")
    coefficients = (engine.overhead_s, engine.weights_s, engine.per_token_s, engine.per_cached_token_s)
    if min(coefficients) < 0.0 or max(coefficients[:3]) <= 0.0:
        _refuse(at, coefficients, "coefficients of 0 s or more, and steps that take time")


def _check_lengths(at: str, engine: RequestEngine) -> None:
    """Raise unless there is a time for each batch at each of the lengths, or no length at all."""
    lengths, table = engine.lengths, engine.service_by_length_s
    if any(length <= before for before, length in zip((0, *lengths), lengths, strict=False)):
        _refuse(f"{at}.lengths", lengths, "lengths of 1 or more that rise")
    if len(table) != (engine.max_batch if lengths else 0) or any(len(row) != len(lengths) for row in table):
        _refuse(f"{at}.service_by_length_s", f"{len(table)} rows", "a row for each of service_s, of a time for each length")
    if lengths and min(map(min, table)) <= 0.0:
        _refuse(f"{at}.service_by_length_s", min(map(min, table)), "times of more than 0 s")


def _check_week(at: str, values: tuple[float, ...], most: float) -> None:
    """Raise unless there is a value between 0 and ``most`` for each hour of the week."""
    if len(values) != HOURS_PER_WEEK:
        _refuse(at, f"{len(values)} values", f"{HOURS_PER_WEEK}, one for each hour of the week")
    if min(values) < 0 or max(values) > most:
        _refuse(at, [min(values), max(values)], f"values from 0 to {most:g}")


def _expect_among(at: str, name: str, known: Collection[str]) -> None:
    """Raise unless the name is known."""
    if name not in known:
        _refuse(at, name, f"one of {', '.join(map(repr, sorted(known)))}")
