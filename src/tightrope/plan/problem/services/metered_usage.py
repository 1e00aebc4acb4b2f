"""What of metered pools ran: the requests that they answered, the time that functions are billed for, the tokens of APIs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightrope.base.contracts import Prices
from tightrope.base.errors import InputError
from tightrope.base.plan import OfferTerms, UsageLine
from tightrope.base.records import EngineModel, FloatArray, IntArray
from tightrope.base.registry import find_offer
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.service_sizes import ServiceSize, find_size
from tightrope.offers.metered import REQUESTS
from tightrope.offers.token_api import token_units
from tightrope.replay.records import ANSWERED, FleetPool, Outcome


@dataclass(frozen=True, slots=True)
class MeteredPool:
    """A metered pool by its place among the replay's pools."""

    place: int
    line: UsageLine
    engine: EngineModel


def metered_pools(lines: Sequence[UsageLine], pools: Sequence[FleetPool]) -> list[MeteredPool]:
    """Return the metered ones of a replay's pools; ``lines`` are theirs on the bill."""
    pairs = enumerate(zip(lines, pools, strict=True))
    return [MeteredPool(place, line, pool.engine) for place, (line, pool) in pairs if pool.metered]


def billed_s(outcome: Outcome, place: int, size: ServiceSize, load_s: float) -> FloatArray:
    """Return the time that each request which a function answered is billed for, float64[answered].

    A request that had to wait met a start, which is billed as its own time is (AWS Lambda bills the initialisation of every function
    since 2025-08, Google Cloud Run that of an instance).
    """
    mine = _find_answered(outcome, place)
    time_s = outcome.finish_s[mine] - outcome.begin_s[mine] + np.where(outcome.queue_s[mine] > 0.0, load_s, 0.0)
    step_s = size.service.billed_step_s
    rounded = np.ceil(time_s / step_s - 1e-6) * step_s if step_s else time_s
    return np.maximum(rounded, size.service.least_billed_s)


def _find_answered(outcome: Outcome, place: int) -> IntArray:
    """Return the requests that a pool answered, by their numbers, int64[answered]."""
    return np.flatnonzero((outcome.ended == ANSWERED) & (outcome.pool == place))


def measure_ran_hours(
    pools: Sequence[MeteredPool], outcomes: Sequence[Outcome], prices: Prices
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return billed machine-hours, the replays' own where a pool is not metered, and units: float64[pools, hours], means of all.

    A request counts in the hour in which it began.
    """
    hours = np.mean([outcome.machine_hours for outcome in outcomes], axis=0)
    units: dict[str, FloatArray] = {}
    for pool in pools:
        hours[pool.place] = 0.0
        for outcome in outcomes:
            mine = _find_answered(outcome, pool.place)
            hour = np.clip(outcome.begin_s[mine] // SECONDS_PER_HOUR, 0, hours.shape[1] - 1).astype(np.int64)
            billed_h, taken = _measure_taken(pool, outcome, mine, prices)
            hours[pool.place] += np.bincount(hour, weights=billed_h, minlength=hours.shape[1]) / len(outcomes)
            for name, amounts in taken.items():
                row = units.setdefault(name, np.zeros_like(hours))[pool.place]
                row += np.bincount(hour, weights=amounts, minlength=hours.shape[1]) / len(outcomes)
    return hours, units


def _measure_taken(
    pool: MeteredPool, outcome: Outcome, mine: IntArray, prices: Prices
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return billed hours and units of each request that the pool answered, float64[answered] each."""
    size = find_size(pool.line.machine)
    if size is not None:
        return billed_s(outcome, pool.place, size, pool.engine.load_s) / SECONDS_PER_HOUR, {REQUESTS: np.ones(len(mine))}
    terms = find_offer(pool.line.offer).terms(pool.line.machine, pool.line.region, prices)
    if not isinstance(terms, OfferTerms):
        msg = f"pool {pool.line.pool!r} cannot be billed: {terms.what}: {terms.reason}"
        raise InputError(msg, resolve="plan again, or correct the pool's machine")
    traffic = outcome.traffic
    return np.zeros(len(mine)), token_units(terms, traffic.input_tokens[mine], traffic.output_tokens[mine])
