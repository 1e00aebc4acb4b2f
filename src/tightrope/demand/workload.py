"""A ``workload.yaml`` and its traces as a checked ``Workload``: every error names file, line and remedy."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tightrope.base import registry
from tightrope.base.catalogue import OWNED
from tightrope.base.errors import InputError, Where
from tightrope.base.records import (
    Architecture,
    EngineModel,
    ModelVariant,
    Profile,
    Provenance,
    RequestEngine,
    ScalingLimit,
    ScalingPolicy,
    ScalingRule,
    TodayPool,
    TokenEngine,
    TrafficClass,
    Workload,
)
from tightrope.base.units import HOURS_PER_MONTH, parse_quantity
from tightrope.demand import schema, schema_scaling
from tightrope.demand.blocks import split_demand
from tightrope.demand.classes import define_classes
from tightrope.demand.levers import define_cache, with_cascades
from tightrope.demand.places import define_infrastructure, define_where, split_by_place
from tightrope.demand.price_names import PriceNames
from tightrope.demand.purchase import define_future, define_purchase
from tightrope.demand.quantities import DURATIONS
from tightrope.demand.services import define_api, define_services
from tightrope.demand.strict_mapping import validated
from tightrope.demand.yaml_document import Document, check_name, read_document

REFERENCE = "docs/reference/workload.schema.json"
DEFAULT_TARGET = 0.95
"""Load that the autoscaler steers to where a workload states none and the plan finds no better."""
BYTES_PER_PARAMETER = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5}


def load_workload(path: Path, book: PriceNames, offers: Mapping[str, str] | None = None) -> Workload:
    """Return the workload of a YAML file with its traces loaded; names are checked against ``book`` and ``offers``.

    ``offers`` is name → kind, by default of every discovered offer. Raises ``InputError`` (also as ``UnknownNameError`` and
    ``TraceError``) with file and line.
    """
    document = read_document(path)
    stated = validated(schema.WorkloadFile, document, REFERENCE)
    classes = define_classes(document, stated)
    variants = _variants(document, stated, book)
    _check_serving(document, classes, variants)
    classes = with_cascades(document, stated.traffic, classes, variants)
    known_offers = {name: offer.kind for name, offer in registry.load_offers().items()} if offers is None else offers
    workload = Workload(
        name=stated.name,
        classes=classes,
        variants=variants,
        where=define_where(document, stated, book),
        purchase=define_purchase(document, stated.purchase, known_offers, book),
        scaling=_scaling(stated.scaling),
        tunes_target=stated.scaling.target_utilisation is None,
        headroom=stated.scaling.headroom,
        today=_today(document, stated, variants, book, known_offers),
        heldout_share=_heldout_share(document, stated.proof.heldout, classes),
        seeds=tuple(stated.proof.seeds),
        source=str(path),
        cache=define_cache(document, stated.cache, book),
        failures_per_hour=_failures_per_hour(stated.proof.failures_per_month),
        future=define_future(document, stated.future, book),
        infrastructure=define_infrastructure(stated.infrastructure),
        services=define_services(stated.services, _own_sites(stated)),
    )
    return split_by_place(document, stated, workload, book)


def _own_sites(stated: schema.WorkloadFile) -> list[str]:
    """Return the sites of machines of one's own, where they may be used."""
    return (stated.where.model_extra or {}).get(OWNED, []) if OWNED in stated.purchase.offers else []


# --------------------------------------------------------------------------------------------------------------------- models


def _variants(document: Document, stated: schema.WorkloadFile, book: PriceNames) -> tuple[ModelVariant, ...]:
    """Return every variant as ``model/variant``; the classes it serves and the machines it was measured on must exist."""
    found = []
    for model_name, model in stated.models.items():
        for name, variant in model.variants.items():
            place = ("models", model_name, "variants", name)
            for served in variant.serves:
                check_name(served, "traffic class", stated.traffic, document.where(*place, "serves", served))
            profiles = tuple(
                _profile(f"{model_name}/{name}", entry, book, document.where(*place, "profiles", number, "machine"))
                for number, entry in enumerate(variant.profiles)
            )
            made = _variant(model_name, model, name, variant, profiles)
            found.append(replace(made, api=define_api(variant.api, book, document.where(*place, "api"))))
    return tuple(found)


def _variant(
    model_name: str, model: schema.ModelSpec, name: str, variant: schema.VariantSpec, profiles: tuple[Profile, ...]
) -> ModelVariant:
    """Return one variant; the size of a token model's weights follows from its parameters where it is not stated."""
    architecture = Architecture(**model.architecture.model_dump()) if model.architecture else None
    precision = variant.precision or ""
    implied = architecture.parameters * BYTES_PER_PARAMETER[precision] if architecture and precision else 0.0
    return ModelVariant(
        name=f"{model_name}/{name}",
        model=model_name,
        engine=model.engine,
        precision=precision,
        quality=variant.quality,
        size_bytes=implied if variant.size is None else variant.size,
        serves=dict(variant.serves),
        architecture=architecture,
        profile_key=variant.profile or model.profile or "",
        pruned=variant.pruned,
        declared=profiles,
        prefix_block_tokens=model.prefix_cache or 0,
    )


def _profile(variant: str, entry: schema.ProfileSpec, book: PriceNames, where: Where) -> Profile:
    """Return a profile the user states."""
    book.machine(entry.machine, where)
    provenance = Provenance(entry.kind, entry.source, entry.error_band, f"declared in {Where(Path(where.path).name, where.line)}")
    return Profile(variant, entry.machine, _engine(entry), entry.replicas_per_machine, provenance)


def _engine(entry: schema.ProfileSpec) -> EngineModel:
    """Return the engine model of a measured profile."""
    if (steps := entry.steps) is not None:
        return TokenEngine(
            overhead_s=steps.overhead_ms / 1e3,
            weights_s=steps.weights_ms / 1e3,
            per_token_s=steps.per_token_us / 1e6,
            per_cached_token_s=steps.per_cached_token_ns / 1e9,
            kv_capacity_tokens=steps.kv_capacity_tokens,
            max_sequences=steps.max_sequences,
            chunk_tokens=steps.chunk_tokens,
            load_s=entry.load,
        )
    if isinstance(table := entry.service_ms, schema.ByLengthSpec):
        rows = tuple(tuple(point / 1e3 for point in row) for row in table.batches)
        return RequestEngine(tuple(row[-1] for row in rows), entry.load, tuple(table.lengths), rows)
    if isinstance(line := entry.service_ms, schema.BatchLineSpec):
        points = [line.batch_1 + line.per_item * extra for extra in range(entry.max_batch or 1)]
    else:
        points = line or []
    return RequestEngine(tuple(point / 1e3 for point in points), entry.load)


def _knows_lengths(profile: Profile) -> bool:
    """Return whether a profile's times depend on length."""
    return isinstance(profile.engine, RequestEngine) and bool(profile.engine.lengths)


def _check_serving(document: Document, classes: tuple[TrafficClass, ...], variants: tuple[ModelVariant, ...]) -> None:
    """Refuse a class that no variant may fully answer, and what depends on tokens without token counts."""
    for traffic in classes:
        serving = [variant for variant in variants if variant.serves.get(traffic.name, 0) > 0]
        total, where = sum(variant.serves[traffic.name] for variant in serving), document.where("traffic", traffic.name)
        if total < 1 - 1e-9:
            what = f"the variants may answer {100 * total:g} % of {traffic.name!r} together, expected 100 % or more"
            raise InputError(what, resolve=f"add `{traffic.name}: 100 %` to the `serves` of a variant", where=where)
        token = next((variant.name for variant in serving if variant.engine == "token"), None)
        if token and traffic.demand.input_tokens.max() <= 1 and traffic.demand.output_tokens.max() <= 1:
            what = f"{token!r} is a token model, and the requests of {traffic.name!r} have no tokens"
            raise InputError(what, resolve=f"add `sizes:` to traffic.{traffic.name}", where=where)
        by_length = next(
            (variant.name for variant in serving if any(_knows_lengths(profile) for profile in variant.declared)), None
        )
        if by_length and traffic.demand.input_tokens.max() <= 1:
            what = f"a profile of {by_length!r} is by length, and the requests of {traffic.name!r} have none"
            resolve = f"add `sizes:` to traffic.{traffic.name}, or give service_ms as one list"
            raise InputError(what, resolve=resolve, where=where)


# ------------------------------------------------------------------------------------------- where, how to buy, today, proof


def _scaling(stated: schema_scaling.ScalingSpec) -> ScalingPolicy:
    """Return the autoscaler's numbers; limits on change that are not stated are the record's own, which are Kubernetes'."""
    policy = ScalingPolicy(
        enabled=stated.enabled,
        target_utilisation=DEFAULT_TARGET if stated.target_utilisation is None else stated.target_utilisation,
        max_surge=stated.max_surge,
        tolerance=stated.tolerance,
        sync_s=stated.sync,
        metric_lag_s=stated.metric_lag,
        downscale_stabilization_s=stated.downscale_stabilization,
        cooldown_s=stated.cooldown if stated.from_zero else None,
        machine_start_s=stated.machine_start,
        metric_window_s=stated.metric_window,
        metric=stated.metric,
        upscale_stabilization_s=stated.upscale_stabilization,
    )
    return replace(
        policy,
        scale_up=_limit(stated.scale_up, policy.scale_up.rules),
        scale_down=_limit(stated.scale_down, policy.scale_down.rules),
    )


def _limit(stated: schema_scaling.ScalingLimitSpec, usual: tuple[ScalingRule, ...]) -> ScalingLimit:
    """Return the limit on change in one direction, with the ``usual`` rules where none is stated."""
    if stated.rules is None:
        return ScalingLimit(usual, stated.select)
    rules = [
        ScalingRule("pods", float(rule.pods), rule.period)
        if rule.pods
        else ScalingRule("percent", rule.percent or 0.0, rule.period)
        for rule in stated.rules
    ]
    return ScalingLimit(tuple(rules), stated.select)


def _today(
    document: Document,
    stated: schema.WorkloadFile,
    variants: tuple[ModelVariant, ...],
    book: PriceNames,
    offers: Mapping[str, str],
) -> tuple[TodayPool, ...]:
    """Return what runs now; every name must exist and every machine must have a price."""
    pools = []
    for number, entry in enumerate(stated.today):
        place = ("today", number)
        machine = book.machine(entry.machine, document.where(*place, "machine"))
        book.check_region(machine.cloud, entry.region, document.where(*place, "region"))
        running = [name for name, kind in offers.items() if kind == "pay-as-you-go"]
        check_name(entry.offer, "pay-as-you-go offer", running, document.where(*place, "offer"))
        check_name(entry.variant, "variant", [variant.name for variant in variants], document.where(*place, "variant"))
        serves = next(variant.serves for variant in variants if variant.name == entry.variant)
        for position, served in enumerate(entry.classes):
            check_name(served, f"traffic class of {entry.variant}", serves, document.where(*place, "classes", position))
        if book.find(entry.machine, entry.region, entry.offer) is None:
            what = f"no price is known for {entry.machine} in {entry.region} under {entry.offer}"
            resolve = "correct machine, region or offer; with prices of a past day, ask for a later one"
            raise InputError(what, resolve=resolve, where=document.where(*place))
        pools.append(_pool(machine.cloud, entry))
    _check_today_names(document, pools)
    return tuple(pools)


def _check_today_names(document: Document, pools: list[TodayPool]) -> None:
    """Raise where two pools of today's fleet have one name: their bills could not be told apart."""
    names = [pool.name for pool in pools]
    for number, name in enumerate(names):
        if name in names[:number]:
            what = f"two pools of today's fleet are called {name!r}"
            raise InputError(what, resolve="give one of them a name", where=document.where("today", number))


def _pool(cloud: str, entry: schema.TodaySpec) -> TodayPool:
    """Return one pool of today's fleet."""
    return TodayPool(
        name=entry.name or f"{entry.machines} × {entry.machine} for {', '.join(entry.classes)}",
        cloud=cloud,
        region=entry.region,
        machine=entry.machine,
        variant=entry.variant,
        offer=entry.offer,
        machines=entry.machines,
        max_batch=entry.max_batch,
        classes=tuple(entry.classes),
    )


def _failures_per_hour(share_per_month: float) -> float:
    """Return the constant rate under which that share of machines fails within a month of 730 hours.

    >>> round(1 - math.exp(-_failures_per_hour(0.2) * HOURS_PER_MONTH), 12)
    0.2
    """
    return -math.log1p(-share_per_month) / HOURS_PER_MONTH if share_per_month else 0.0


def _heldout_share(document: Document, heldout: float | str, classes: tuple[TrafficClass, ...]) -> float:
    """Return the held-out part as a share of the longest trace; every trace must have two bins to be cut between."""
    single = next((traffic.name for traffic in classes if len(traffic.demand.rate_per_s) < 2), None)
    if single is not None:
        what = f"the trace of {single!r} has one bin: none is left to prove the plan on"
        raise InputError(what, resolve="give a longer trace, or finer bins", where=document.where("traffic", single))
    duration_s = max(traffic.demand.duration_s for traffic in classes)
    share = heldout if isinstance(heldout, float) else parse_quantity(heldout, DURATIONS) / duration_s
    if not 0 < share < 1:
        what = f"proof.heldout is {heldout}, the traffic lasts {duration_s / 86400:.2f} days"
        raise InputError(what, resolve="hold out less, such as `heldout: 30 %`", where=document.where("proof", "heldout"))
    for traffic in classes:
        _check_requests(document, traffic, share)
    return share


def _check_requests(document: Document, traffic: TrafficClass, heldout_share: float) -> None:
    """Refuse a trace without requests to size on, or without any to prove a promise on."""
    sizing, heldout, _ = split_demand(traffic.demand, heldout_share)
    for part, words in ((sizing, "to size on"), (heldout, "held out, to prove the plan on")):
        if part.requests <= 0.0:
            what = f"the part of the traffic of {traffic.name!r} {words} has no requests"
            raise InputError(
                what, resolve="give a longer trace, or change proof.heldout", where=document.where("traffic", traffic.name)
            )
