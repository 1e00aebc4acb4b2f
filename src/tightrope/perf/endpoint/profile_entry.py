"""What was measured as the profile that a workload takes."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from tightrope.base.records import EngineModel, Profile, Provenance, RequestEngine, TokenEngine
from tightrope.perf.endpoint.request_engine import RequestMeasurement
from tightrope.perf.endpoint.token_engine import TokenMeasurement

LEAST_BAND = 0.03
"""No measurement is trusted further: two runs against one server differ by this."""


@dataclass(frozen=True, slots=True)
class EndpointProfile:
    """What the profile is to be of; ``load_s`` cannot be seen on a server that runs already."""

    variant: str
    machine: str
    load_s: float
    day: date


def token_profile(measured: TokenMeasurement, wanted: EndpointProfile, missed: float = 0.0) -> Profile:
    """Return the profile of a token engine; ``missed`` is how far the replay of the open-loop load was off, as a share."""
    fitted = measured.fitted
    source = (
        f"measured on {wanted.day.isoformat()} through {measured.target.api} of {measured.target.model}: "
        f"{sum(fitted.observations.values())} observations, R² {fitted.r_squared:.4f}, held out p95 ±{fitted.held_out_p95:.1%}"
    )
    limits = {"KV cache": measured.memory, "sequences": measured.sequences, "tokens a step": measured.chunk}
    stated = [f"{name} {limit.how}" for name, limit in limits.items() if limit.how.startswith("stated")]
    band = round(min(max(LEAST_BAND, fitted.held_out_p95, missed), 1.0), 3)
    return Profile(
        wanted.variant, wanted.machine, measured.engine(wanted.load_s), 1, Provenance("measured", source, band, "; ".join(stated))
    )


def request_profile(measured: RequestMeasurement, wanted: EndpointProfile, missed: float = 0.0) -> Profile:
    """Return the profile of a server that answers whole requests: every batch up to the largest that was measured."""
    source = (
        f"measured on {wanted.day.isoformat()} through {measured.target.api} of {measured.target.model}: batches of "
        f"{', '.join(map(str, measured.batches))}, {measured.engines} at a time; {1e3 * measured.round_trip_s:.2f} ms of network taken off"
    )
    band = round(min(max(LEAST_BAND, measured.error, missed), 1.0), 3)
    engine = RequestEngine(_every_batch(measured), wanted.load_s)
    return Profile(wanted.variant, wanted.machine, engine, measured.engines, Provenance("measured", source, band))


def profile_of(measured: TokenMeasurement | RequestMeasurement, wanted: EndpointProfile, missed: float = 0.0) -> Profile:
    """Return the profile of what was measured."""
    if isinstance(measured, TokenMeasurement):
        return token_profile(measured, wanted, missed)
    return request_profile(measured, wanted, missed)


def engine_of(measured: TokenMeasurement | RequestMeasurement) -> tuple[EngineModel, int, float]:
    """Return the engine, how many there are, and what the first token waits for beside them."""
    if isinstance(measured, TokenMeasurement):
        return measured.engine(0.0), 1, measured.fitted.best.front_s
    return RequestEngine(_every_batch(measured), 0.0), measured.engines, measured.round_trip_s


def _every_batch(measured: RequestMeasurement) -> tuple[float, ...]:
    """Return the time of each batch up to the largest that was measured."""
    return tuple(np.interp(np.arange(1, measured.batches[-1] + 1), measured.batches, measured.service_s).tolist())


def workload_entry(profile: Profile) -> dict[str, object]:
    """Return the profile as an entry of a workload's ``profiles:``."""
    origin = profile.provenance
    return {
        "machine": profile.machine,
        **_engine_of(profile.engine),
        "load": f"{profile.engine.load_s:.2f} s",
        "replicas_per_machine": profile.replicas_per_machine,
        "kind": "measured",
        "source": f"{origin.source}; {origin.note}" if origin.note else origin.source,
        "error_band": f"{100 * origin.error_band:g} %",
    }


def _engine_of(engine: RequestEngine | TokenEngine) -> dict[str, object]:
    """Return an engine in the workload's units."""
    if isinstance(engine, RequestEngine):
        return {"service_ms": [float(f"{1e3 * time_s:.6g}") for time_s in engine.service_s]}
    figures = {
        "overhead_ms": 1e3 * engine.overhead_s,
        "weights_ms": 1e3 * engine.weights_s,
        "per_token_us": 1e6 * engine.per_token_s,
        "per_cached_token_ns": 1e9 * engine.per_cached_token_s,
    }
    limits = {
        "kv_capacity_tokens": engine.kv_capacity_tokens,
        "max_sequences": engine.max_sequences,
        "chunk_tokens": engine.chunk_tokens,
    }
    return {"steps": {name: float(f"{value:.5g}") for name, value in figures.items()} | limits}
