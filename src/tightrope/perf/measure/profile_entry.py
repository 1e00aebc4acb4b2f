"""A sweep as the profile that a workload takes: a service time for each batch (and length), and a band that covers what was not known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from tightrope.base.records import Profile, Provenance, RequestEngine
from tightrope.perf.measure.steady_part import never_falling
from tightrope.perf.measure.sweep import ModelMeasurement, SweepPoint, best_arrangement, service_times

LEAST_BAND = 0.03
"""No measurement is trusted further: two runs on one machine differ by this."""


@dataclass(frozen=True, slots=True)
class ProfileTarget:
    """What the profile is to be of."""

    variant: str
    machine: str
    shares: tuple[tuple[int, float], ...]
    """Length → share of the items that have it."""
    within_s: float = math.inf


def profile_of(measured: ModelMeasurement, wanted: ProfileTarget, day: date) -> Profile:
    """Return the profile of the arrangement of engines that answers most (see ``best_arrangement``)."""
    threads = best_arrangement(measured, wanted.shares, wanted.within_s)
    points = [point for point in measured.points if point.threads == threads]
    times = service_times(measured, threads, wanted.shares)
    most = max((batch for batch, time_s in times.items() if time_s <= wanted.within_s), default=1)
    lengths = ", ".join(f"{share:.0%} of length {length}" for length, share in wanted.shares if length)
    source = (
        f"measured on {day.isoformat()} on {wanted.machine}, {measured.cores} cores: {points[0].engines} × {threads} threads at once, "
        f"means to ±{max(_relative(point) for point in points):.1%}"
    )
    provenance = Provenance("measured", source, error_band(points, measured.cores), lengths)
    engine = engine_of(points, most, measured.cold_start_s)
    return Profile(wanted.variant, wanted.machine, engine, points[0].engines, provenance)


def engine_of(points: Sequence[SweepPoint], most: int, load_s: float) -> RequestEngine:
    """Return the engine of one arrangement's points, batches up to ``most``: by length where several were measured."""
    at = {(point.batch, point.length): point.mean_s for point in points}
    known, lengths = sorted({batch for batch, _ in at}), sorted({length for _, length in at})
    every = np.arange(1, most + 1)
    columns = [np.interp(every, known, never_falling(np.array([at[batch, length] for batch in known]))) for length in lengths]
    table = np.maximum.accumulate(np.stack(columns, axis=1), axis=1)
    longest_s = tuple(table[:, -1].tolist())
    if len(lengths) == 1:
        return RequestEngine(longest_s, load_s)
    return RequestEngine(longest_s, load_s, tuple(lengths), tuple(map(tuple, table.tolist())))


def error_band(points: Sequence[SweepPoint], cores: int) -> float:
    """Return the half-width of the band in which another measurement lies: the widest interval, and what others took of the machine.

    The other one has an error of its own, so their difference is √2 times as uncertain as either.
    """
    widest = math.sqrt(2.0) * max(_relative(point) for point in points)
    noise = max((point.noise_cores or 0.0) for point in points)
    return round(min(max(LEAST_BAND, widest + noise / cores), 1.0), 3)


def _relative(point: SweepPoint) -> float:
    """Return the half-width of a point's interval as a share of its mean."""
    return point.half_width_s / point.mean_s


def _service_ms(engine: RequestEngine) -> object:
    """Return the times as a workload has them: a list, or a table by length."""
    if not engine.lengths:
        return [round(1e3 * time_s, 4) for time_s in engine.service_s]
    rows = [[round(1e3 * time_s, 4) for time_s in row] for row in engine.service_by_length_s]
    return {"lengths": list(engine.lengths), "batches": rows}


def workload_entry(profile: Profile) -> dict[str, object]:
    """Return the profile as an entry of a workload's ``profiles:``."""
    engine = profile.engine
    assert isinstance(engine, RequestEngine)  # noqa: S101 - what ``profile_of`` makes
    origin = profile.provenance
    return {
        "machine": profile.machine,
        "service_ms": _service_ms(engine),
        "load": f"{engine.load_s:.2f} s",
        "replicas_per_machine": profile.replicas_per_machine,
        "kind": "measured",
        "source": f"{origin.source}; {origin.note}" if origin.note else origin.source,
        "error_band": f"{100 * origin.error_band:g} %",
    }
