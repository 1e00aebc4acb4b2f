"""Caches and cascades of a ``workload.yaml`` as records: the names in them must exist, the times must fit the promises."""

from dataclasses import replace

from tightrope.base.errors import InputError
from tightrope.base.records import CachePolicy, Cascade, ModelVariant, TrafficClass
from tightrope.demand.price_names import PriceNames
from tightrope.demand.schema_levers import CacheSpec
from tightrope.demand.schema_traffic import TrafficSpec
from tightrope.demand.yaml_document import Document, check_name

PARTS = ("first", "escalated")


def define_cache(document: Document, stated: CacheSpec | None, book: PriceNames) -> CachePolicy | None:
    """Return the cache of answers; its machine must exist."""
    if stated is None:
        return None
    if stated.machine is not None:
        book.machine(stated.machine, document.where("cache", "machine"))
    auto = stated.entries == "auto"
    return CachePolicy(
        entries=0 if stated.entries == "auto" else stated.entries,
        ttl_s=stated.ttl,
        hit_s=stated.hit,
        bytes_per_entry=stated.bytes_per_entry or 0.0,
        machine=stated.machine or "",
        auto=auto,
    )


def with_cascades(
    document: Document, stated: dict[str, TrafficSpec], classes: tuple[TrafficClass, ...], variants: tuple[ModelVariant, ...]
) -> tuple[TrafficClass, ...]:
    """Return the classes with their cascades."""
    return tuple(_with_cascade(document, stated, item, [variant.name for variant in variants]) for item in classes)


def _with_cascade(document: Document, stated: dict[str, TrafficSpec], item: TrafficClass, variants: list[str]) -> TrafficClass:
    """Return the class with its cascade, if it has one."""
    entry = stated[item.name].cascade
    if entry is None:
        return item
    place = ("traffic", item.name, "cascade")
    check_name(entry.small, "variant", variants, document.where(*place, "small"))
    check_name(entry.large, "variant", variants, document.where(*place, "large"))
    limits = [slo.limit_s for slo in item.slos if slo.metric in {"latency", "ttft"}]
    if not limits or entry.within >= min(limits):
        what = f"the small model may take {entry.within:g} s, and {item.name!r} is promised " + (
            f"an answer in {min(limits):g} s" if limits else "no time in which an answer begins"
        )
        resolve = "state a `latency` or `ttft` promise that is longer than `within`"
        raise InputError(what, resolve=resolve, where=document.where(*place, "within"))
    for part in PARTS:
        if f"{item.name}-{part}" in stated:
            what = f"a cascade of {item.name!r} is planned as the classes {item.name}-first and {item.name}-escalated"
            raise InputError(
                what, resolve="rename the class of that name", where=document.where("traffic", f"{item.name}-{part}")
            )
    curve = tuple((point.escalated, point.quality) for point in entry.curve)
    if curve[-1][1] < item.quality_floor:
        what = f"the cascade of {item.name!r} reaches a quality of {curve[-1][1]:g}, and its floor is {item.quality_floor:g}"
        resolve = "add the point of the curve that reaches it, lower quality_floor, or take the cascade out"
        raise InputError(what, resolve=resolve, where=document.where(*place, "curve"))
    return replace(item, cascade=Cascade(entry.small, entry.large, curve, entry.within))
