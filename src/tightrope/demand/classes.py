"""The traffic classes of a workload: traces loaded, patterns declared, sizes joined to them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from tightrope.base.errors import InputError
from tightrope.base.records import Deferral, Demand, TrafficClass
from tightrope.demand import schema_traffic as schema
from tightrope.demand.clients import load_clients
from tightrope.demand.patterns import define_constant, define_daily, define_nightly
from tightrope.demand.schema import WorkloadFile
from tightrope.demand.trace import load_arrivals, load_rates, load_sizes
from tightrope.demand.yaml_document import Document

DECLARED_S = 14 * 86_400.0
"""How long declared patterns last where no class has a trace."""


def define_classes(document: Document, stated: WorkloadFile) -> tuple[TrafficClass, ...]:
    """Return the traffic classes; declared patterns last as long as the traces do."""
    recorded = {name: _recorded(document, name, entry) for name, entry in stated.traffic.items()}
    duration_s = _common_duration(document, {name: demand.duration_s for name, demand in recorded.items() if demand is not None})
    return tuple(
        _class(document, name, entry, recorded[name] or _declared(entry, duration_s)) for name, entry in stated.traffic.items()
    )


def _recorded(document: Document, name: str, entry: schema.TrafficSpec) -> Demand | None:
    """Return the demand of a class that has a trace, None where it is declared."""
    if (asked := entry.requests) is not None:
        demand = load_arrivals(
            _file(document, asked.file, name, "requests"), columns=_columns(asked.columns), time_unit=asked.time_unit
        )
        return demand if asked.scale == 1 else replace(_scaled(demand, asked.scale), arrival_s=np.empty(0))
    if (rates := entry.rates) is not None:
        demand = load_rates(
            _file(document, rates.file, name, "rates"),
            columns=_columns(rates.columns),
            time_unit=rates.time_unit,
            bin_s=rates.bin or 0.0,
            gaps=rates.gaps,
            zeros=rates.zeros,
        )
        return _scaled(demand, rates.scale)
    if (clients := entry.clients) is not None:
        demand = load_clients(
            _file(document, clients.file, name, "clients"),
            columns=_columns(clients.columns),
            time_unit=clients.time_unit,
            only=clients.only,
            variation=clients.variation,
        )
        return _scaled(demand, clients.scale)
    return None


def _file(document: Document, file: str, traffic: str, section: str) -> Path:
    """Return the path of a file named in a traffic class; a file that is not there is the YAML's mistake, at its line."""
    path = document.path.parent / file
    if not path.is_file():
        what = f"the file {file!r} does not exist in {document.path.parent}"
        resolve = "correct the path; it is relative to the workload"
        raise InputError(what, resolve=resolve, where=document.where("traffic", traffic, section, "file"))
    return path


def _declared(entry: schema.TrafficSpec, duration_s: float) -> Demand:
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


def _columns(columns: schema.ColumnsSpec | schema.ClientColumnsSpec) -> dict[str, str]:
    """Return role → column as stated."""
    return {role: name for role, name in columns.model_dump().items() if name is not None}


def _common_duration(document: Document, duration_s: dict[str, float]) -> float:
    """Return how long every class lasts; traces that differ by more than an hour cannot be replayed side by side."""
    if not duration_s:
        return DECLARED_S
    short, long = min(duration_s, key=duration_s.__getitem__), max(duration_s, key=duration_s.__getitem__)
    if duration_s[long] - duration_s[short] > 3600:
        what = (
            f"the trace of {long!r} lasts {duration_s[long] / 86400:.2f} days, that of {short!r} {duration_s[short] / 86400:.2f}"
        )
        raise InputError(what, resolve="give traces of the same period", where=document.where("traffic", short))
    return duration_s[long]


def _class(document: Document, name: str, entry: schema.TrafficSpec, demand: Demand) -> TrafficClass:
    """Return one class with its sizes."""
    sized = _sized(document, name, entry, demand)
    if entry.interarrival_cv is not None:
        sized = replace(sized, interarrival_cv=entry.interarrival_cv)
    if entry.interarrival_law != sized.interarrival_law:
        sized = replace(sized, interarrival_law=entry.interarrival_law)
    deferral = Deferral(entry.nightly.release, entry.nightly.deadline) if entry.nightly else None
    return TrafficClass(
        name=name,
        slos=tuple(entry.slo),
        deferral=deferral,
        quality_floor=entry.quality_floor,
        growth=entry.growth,
        surge=entry.surge,
        egress_bytes_per_request=entry.egress_per_request,
        ingress_bytes_per_request=entry.ingress_per_request,
        demand=sized,
        priority=entry.priority,
        shed_wait_s=math.inf if entry.shed_wait is None else entry.shed_wait,
        retries=entry.retries,
        retry_after_s=entry.retry_after,
    )


def _sized(document: Document, name: str, entry: schema.TrafficSpec, demand: Demand) -> Demand:
    """Return the demand with the stated sizes; requests listed one by one get theirs drawn from the sample, in a fixed order."""
    if entry.sizes is None:
        return demand
    if int(demand.input_tokens.max()) > 1:
        what = f"traffic.{name}: its requests have token columns, and sizes are stated as well"
        raise InputError(what, resolve="remove `sizes`", where=document.where("traffic", name, "sizes"))
    if entry.sizes.file is not None:
        first, second = load_sizes(_file(document, entry.sizes.file, name, "sizes"), columns=_columns(entry.sizes.columns))
    else:
        first, second = (np.array([size or 1], dtype=np.int64) for size in (entry.sizes.input_tokens, entry.sizes.output_tokens))
    if len(demand.arrival_s) or demand.key is not None:
        drawn = np.random.default_rng(0).integers(len(first), size=len(demand.input_tokens))
        first, second = first[drawn], second[drawn]
    return replace(demand, input_tokens=first, output_tokens=second)
