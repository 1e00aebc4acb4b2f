"""A ``workload.yaml`` and its traces as a checked ``Workload``: every error names file, line and remedy."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tightrope.base import registry
from tightrope.base.errors import InputError, Where, unknown_name
from tightrope.base.records import (
    Architecture,
    Deferral,
    Demand,
    EngineModel,
    MachineType,
    ModelVariant,
    PriceRow,
    Profile,
    Provenance,
    PurchasePolicy,
    RequestEngine,
    ScalingPolicy,
    TodayPool,
    TokenEngine,
    TrafficClass,
    WherePolicy,
    Workload,
)
from tightrope.base.units import parse_quantity
from tightrope.demand import schema
from tightrope.demand.document import Document, read_document
from tightrope.demand.patterns import define_constant, define_daily, define_nightly
from tightrope.demand.quantities import DURATIONS
from tightrope.demand.trace import load_arrivals, load_rates, load_sizes

DECLARED_S = 14 * 86_400.0
"""How long declared patterns last where no class has a trace."""
BYTES_PER_PARAMETER = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5}
Place: TypeAlias = Callable[..., Where]


class Book(Protocol):
    """What is asked of the price book."""

    def machine(self, name: str, where: Where | None = None) -> MachineType:
        """Return one machine type, or raise ``UnknownNameError``."""
        ...

    def machines(self, families: Iterable[str] = (), where: Where | None = None) -> tuple[MachineType, ...]:
        """Return the machines of some families or types, or raise ``UnknownNameError``."""
        ...

    def check_region(self, cloud: str, region: str, where: Where | None = None) -> None:
        """Raise ``UnknownNameError`` unless the cloud has the region."""
        ...

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the price in force, None where it is not sold so."""
        ...


def load_workload(path: Path, book: Book, offers: Iterable[str] | None = None) -> Workload:
    """Return the workload of a YAML file with its traces loaded; names are checked against ``book`` and ``offers``.

    ``offers`` defaults to every discovered one. Raises ``InputError`` (``UnknownNameError``, ``TraceError``) with file and line.
    """
    document = read_document(path)
    stated = validated(document)
    classes = _classes(document, stated)
    variants = _variants(document, stated, book)
    _check_serving(document, classes, variants)
    known_offers = sorted(registry.offers() if offers is None else offers)
    heldout_share = _heldout_share(document, stated.proof.heldout, max(found.demand.duration_s for found in classes))
    return Workload(
        name=stated.name,
        classes=classes,
        variants=variants,
        where=_where(document, stated.where, book),
        purchase=_purchase(document, stated.purchase, known_offers),
        scaling=_scaling(stated.scaling),
        today=_today(document, stated, book, known_offers),
        heldout_share=heldout_share,
        seeds=tuple(stated.proof.seeds),
        source=str(path),
    )


# ----------------------------------------------------------------------------------------------------------------- validation


def validated(document: Document) -> schema.WorkloadFile:
    """Return the checked content; the error tells the first problem in full and where the others are."""
    try:
        return schema.WorkloadFile.model_validate(document.value)
    except ValidationError as error:
        problems = sorted((_problem(document, detail) for detail in error.errors()), key=lambda problem: problem[0].line or 0)
    where, what, resolve = problems[0]
    for other, also, _ in problems[1:6]:
        what += f"\n  also {other}: {also}"
    raise InputError(what, resolve=resolve, where=where)


def _problem(document: Document, detail: ErrorDetails) -> tuple[Where, str, str]:
    """Return where, what and the remedy of one pydantic error."""
    location, context = detail["loc"], detail.get("ctx", {})
    name = ".".join(map(str, location)) or "the file"
    if detail["type"] == "unknown_key":
        return document.where(*location, context["name"]), f"{name}: {detail['msg']}", str(context["resolve"])
    if detail["type"] == "missing":
        return document.where(*location), f"{name} is missing", f"add `{location[-1]}:`"
    message = detail["msg"].removeprefix("Value error, ")
    if not message.startswith(("got", "no ", "expected")):
        message = f"got {str(detail['input'])[:60]!r}: {message[:1].lower()}{message[1:]}"
    return (
        document.where(*location),
        f"{name}: {message}",
        f"correct `{name}`; docs/reference/workload.schema.json lists every key",
    )


# -------------------------------------------------------------------------------------------------------------------- traffic


def _classes(document: Document, stated: schema.WorkloadFile) -> tuple[TrafficClass, ...]:
    """Return the traffic classes; declared patterns last as long as the traces do."""
    recorded = {name: _recorded(document.path.parent, entry) for name, entry in stated.traffic.items()}
    duration_s = _common_duration(document, {name: demand.duration_s for name, demand in recorded.items() if demand is not None})
    return tuple(
        _class(document, name, entry, recorded[name] or _declared(entry, duration_s)) for name, entry in stated.traffic.items()
    )


def _recorded(folder: Path, entry: schema.Traffic) -> Demand | None:
    """Return the demand of a class that has a trace, None where it is declared."""
    if (asked := entry.requests) is not None:
        demand = load_arrivals(folder / asked.file, columns=_columns(asked.columns), time_unit=asked.time_unit)
        return demand if asked.scale == 1 else replace(_scaled(demand, asked.scale), arrival_s=np.empty(0))
    if (rates := entry.rates) is not None:
        demand = load_rates(
            folder / rates.file,
            columns=_columns(rates.columns),
            time_unit=rates.time_unit,
            bin_s=rates.bin or 0.0,
            gaps=rates.gaps,
            zeros=rates.zeros,
        )
        return _scaled(demand, rates.scale)
    return None


def _declared(entry: schema.Traffic, duration_s: float) -> Demand:
    """Return the demand of a declared pattern."""
    if (daily := entry.daily) is not None:
        return define_daily(daily.mean_per_s, daily.peak_per_s, daily.peak_hour, duration_s)
    if (nightly := entry.nightly) is not None:
        return define_nightly(nightly.per_day, nightly.release, duration_s)
    return define_constant(entry.constant.rate_per_s if entry.constant else 0.0, duration_s)


def _scaled(demand: Demand, scale: float) -> Demand:
    """Return the demand with its rates multiplied."""
    note = f"{demand.source}; rates × {scale:g}" if scale != 1 else demand.source
    return replace(demand, rate_per_s=demand.rate_per_s * scale, source=note)


def _columns(columns: schema.Columns) -> dict[str, str]:
    """Return role → column as stated."""
    return {role: name for role, name in columns.model_dump().items() if name is not None}


def _common_duration(document: Document, duration_s: dict[str, float]) -> float:
    """Return how long every class lasts; traces that differ by more than an hour can not be replayed side by side."""
    if not duration_s:
        return DECLARED_S
    short, long = min(duration_s, key=duration_s.__getitem__), max(duration_s, key=duration_s.__getitem__)
    if duration_s[long] - duration_s[short] > 3600:
        what = (
            f"the trace of {long!r} lasts {duration_s[long] / 86400:.2f} days, that of {short!r} {duration_s[short] / 86400:.2f}"
        )
        raise InputError(what, resolve="give traces of the same period", where=document.where("traffic", short))
    return duration_s[long]


def _class(document: Document, name: str, entry: schema.Traffic, demand: Demand) -> TrafficClass:
    """Return one class with its sizes."""
    sized = _sized(document, name, entry, demand)
    if entry.interarrival_cv is not None:
        sized = replace(sized, interarrival_cv=entry.interarrival_cv)
    deferral = Deferral(entry.nightly.release, entry.nightly.deadline) if entry.nightly else None
    return TrafficClass(
        name, tuple(entry.slo), deferral, entry.quality_floor, entry.growth, entry.surge, entry.egress_per_request, sized
    )


def _sized(document: Document, name: str, entry: schema.Traffic, demand: Demand) -> Demand:
    """Return the demand with the stated sizes; requests listed one by one get theirs drawn from the sample, in a fixed order."""
    if entry.sizes is None:
        return demand
    if int(demand.input_tokens.max()) > 1:
        what = f"traffic.{name}: its requests have token columns, and sizes are stated as well"
        raise InputError(what, resolve="remove `sizes`", where=document.where("traffic", name, "sizes"))
    if entry.sizes.file is not None:
        first, second = load_sizes(document.path.parent / entry.sizes.file, columns=_columns(entry.sizes.columns))
    else:
        first, second = (np.array([size or 1], dtype=np.int64) for size in (entry.sizes.input_tokens, entry.sizes.output_tokens))
    if len(demand.arrival_s):
        drawn = np.random.default_rng(0).integers(len(first), size=len(demand.arrival_s))
        first, second = first[drawn], second[drawn]
    return replace(demand, input_tokens=first, output_tokens=second)


def _heldout_share(document: Document, heldout: float | str, duration_s: float) -> float:
    """Return the held-out part as a share of the longest trace."""
    share = heldout if isinstance(heldout, float) else parse_quantity(heldout, DURATIONS) / duration_s
    if not 0 < share < 1:
        what = f"proof.heldout is {heldout}, the traffic lasts {duration_s / 86400:.2f} days"
        raise InputError(what, resolve="hold out less, such as `heldout: 30 %`", where=document.where("proof", "heldout"))
    return share


# --------------------------------------------------------------------------------------------------------------------- models


def _variants(document: Document, stated: schema.WorkloadFile, book: Book) -> tuple[ModelVariant, ...]:
    """Return every variant as ``model/variant``; the classes it serves and the machines it was measured on must exist."""
    found = []
    for model_name, model in stated.models.items():
        for name, variant in model.variants.items():
            place = ("models", model_name, "variants", name)
            for served in variant.serves:
                _check_name(served, "traffic class", stated.traffic, document.where(*place, "serves", served))
            profiles = tuple(
                _profile(f"{model_name}/{name}", entry, book, document.where(*place, "profiles", number, "machine"))
                for number, entry in enumerate(variant.profiles)
            )
            found.append(_variant(model_name, model, name, variant, profiles))
    return tuple(found)


def _variant(
    model_name: str, model: schema.Model, name: str, variant: schema.Variant, profiles: tuple[Profile, ...]
) -> ModelVariant:
    """Return one variant; the size of a token model's weights follows from its parameters where it is not stated."""
    architecture = Architecture(**model.architecture.model_dump()) if model.architecture else None
    implied = architecture.parameters * BYTES_PER_PARAMETER[variant.precision] if architecture else 0.0
    return ModelVariant(
        name=f"{model_name}/{name}",
        model=model_name,
        engine=model.engine,
        precision=variant.precision,
        quality=variant.quality,
        size_bytes=implied if variant.size is None else variant.size,
        serves=dict(variant.serves),
        architecture=architecture,
        profile_key=variant.profile or model.profile or "",
        declared=profiles,
    )


def _profile(variant: str, entry: schema.ProfileEntry, book: Book, where: Where) -> Profile:
    """Return a profile the user measured."""
    book.machine(entry.machine, where)
    provenance = Provenance("measured", entry.source, entry.error_band, f"declared in {Where(Path(where.path).name, where.line)}")
    return Profile(variant, entry.machine, _engine(entry), entry.replicas_per_machine, provenance)


def _engine(entry: schema.ProfileEntry) -> EngineModel:
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
    if isinstance(line := entry.service_ms, schema.BatchLine):
        points = [line.batch_1 + line.per_item * extra for extra in range(entry.max_batch or 1)]
    else:
        points = line or []
    return RequestEngine(tuple(point / 1e3 for point in points), entry.load)


def _check_serving(document: Document, classes: tuple[TrafficClass, ...], variants: tuple[ModelVariant, ...]) -> None:
    """Refuse a class that no variant may fully answer, and token models without token counts."""
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


# ----------------------------------------------------------------------------------------------------- where, how to buy, today


def _where(document: Document, stated: schema.Places, book: Book) -> WherePolicy:
    """Return where machines may stand; clouds, regions, families and quota names must exist."""
    regions = {cloud: tuple(names) for cloud, names in (stated.model_extra or {}).items()}
    if not regions:
        what, resolve = "where names no cloud", "add one, such as `aws: [us-east-1]`"
        raise InputError(what, resolve=resolve, where=document.where("where"))
    for cloud, names in regions.items():
        for number, region in enumerate(names):
            book.check_region(cloud, region, document.where("where", cloud, number))
    for number, family in enumerate(stated.families):
        book.machines([family], document.where("where", "families", number))
    for name in stated.quotas:
        book.machines([name], document.where("where", "quotas", name))
    return WherePolicy(regions, tuple(stated.families), dict(stated.quotas))


def _purchase(document: Document, stated: schema.Purchase, offers: list[str]) -> PurchasePolicy:
    """Return how machines may be paid for; offers must exist."""
    for number, offer in enumerate(stated.offers):
        _check_name(offer, "offer", offers, document.where("purchase", "offers", number))
    return PurchasePolicy(tuple(stated.offers), stated.max_spot_share, stated.spot_zone_loss_share, stated.max_pools)


def _scaling(stated: schema.Scaling) -> ScalingPolicy:
    """Return the autoscaler's numbers."""
    return ScalingPolicy(
        enabled=stated.enabled,
        target_utilisation=stated.target_utilisation,
        max_surge=stated.max_surge,
        tolerance=stated.tolerance,
        sync_s=stated.sync,
        metric_lag_s=stated.metric_lag,
        downscale_stabilization_s=stated.downscale_stabilization,
        machine_start_s=stated.machine_start,
    )


def _today(document: Document, stated: schema.WorkloadFile, book: Book, offers: list[str]) -> tuple[TodayPool, ...]:
    """Return what runs now; every name must exist and every machine must have a price."""
    variants = [f"{model}/{name}" for model, entry in stated.models.items() for name in entry.variants]
    pools = []
    for number, pool in enumerate(stated.today):
        place = ("today", number)
        machine = book.machine(pool.machine, document.where(*place, "machine"))
        book.check_region(machine.cloud, pool.region, document.where(*place, "region"))
        _check_name(pool.variant, "variant", variants, document.where(*place, "variant"))
        _check_name(pool.offer, "offer", offers, document.where(*place, "offer"))
        for position, served in enumerate(pool.classes):
            _check_name(served, "traffic class", stated.traffic, document.where(*place, "classes", position))
        if book.find(pool.machine, pool.region, pool.offer) is None:
            what = f"no price is known for {pool.machine} in {pool.region} under {pool.offer}"
            raise InputError(what, resolve="correct machine, region or offer", where=document.where(*place))
        name = pool.name or f"today-{number + 1}"
        rest = (pool.region, pool.machine, pool.variant, pool.offer, pool.machines, pool.max_batch, tuple(pool.classes))
        pools.append(TodayPool(name, machine.cloud, *rest))
    return tuple(pools)


def _check_name(name: str, kind: str, known: Iterable[str], where: Where) -> None:
    """Refuse a name that is not known."""
    known = list(known)
    if name not in known:
        raise unknown_name(name, kind=kind, known=known, where=where)
