"""What services put into a problem's arrays: US dollars by the request, limits that cannot be passed, and what metered pools use."""

import numpy as np
from numpy.typing import NDArray

from tightrope.base.catalogue import OWNED
from tightrope.base.plan import Usage
from tightrope.base.records import FloatArray, Workload
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.clouds.service_sizes import SERVERLESS, find_size
from tightrope.plan.problem.arrays import PoolOption, Problem
from tightrope.plan.problem.cost_lines import disk_usd_per_hour
from tightrope.plan.problem.demand_week import ClassDemand
from tightrope.plan.problem.services.owned_machines import running_usd_per_hour
from tightrope.plan.problem.services.service_options import HOURS, METERED, OF_SERVICES
from tightrope.plan.problem.services.service_pools import find_instance_limit
from tightrope.plan.problem.services.token_apis import limits, measure_used_of_limit

MOST_OF_LIMIT = 0.9
"""A service is planned with up to this part of what an account may ask of it at one time: the rest is for bursts within an hour."""


def beside_usd_per_hour(book: PriceBook, option: PoolOption, disk_gb: float) -> float:
    """Return what an hour of an option's machine costs that no commitment covers: its root volume, or the power of one's own."""
    offer, machine = option.terms.offer, option.machine
    if offer == OWNED:
        return running_usd_per_hour(book, machine.name, option.region)
    return 0.0 if offer in OF_SERVICES else disk_usd_per_hour(book, machine.cloud, option.region, disk_gb)


def is_metered(options: tuple[PoolOption, ...]) -> NDArray[np.bool_]:
    """Return which options are paid by the request, bool[P]."""
    return np.array([option.terms.offer in METERED for option in options], dtype=bool)


def request_usd(classes: tuple[str, ...], options: tuple[PoolOption, ...]) -> FloatArray:
    """Return what one request of each class costs by the meter, float64[classes, P] US dollars."""
    usd = np.zeros((len(classes), len(options)))
    for p, option in enumerate(options):
        rates = {**option.terms.usd_per_unit, HOURS: option.terms.usd_per_hour}
        for c, name in enumerate(classes):
            usd[c, p] = sum(rates[unit] * amount for unit, amount in option.taken.get(name, {}).items())
    return usd


def apply_limits(
    mu: FloatArray, workload: Workload, interactive: list[ClassDemand], options: tuple[PoolOption, ...]
) -> FloatArray:
    """Return ``mu``, float64[C, P, B], with 0 where all that a service may be asked for in a block would pass an account's limit.

    Which part of it the plan routes there is not asked: so a limit is never passed, whatever the plan does.
    """
    mu = mu.copy()
    for p, option in enumerate(options):
        used = _measure_used_of_limit(workload, interactive, option, mu[:, p])
        mu[:, p, used > MOST_OF_LIMIT] = 0.0
    return mu


def _measure_used_of_limit(workload: Workload, interactive: list[ClassDemand], option: PoolOption, mu: FloatArray) -> FloatArray:
    """Return which part of its limit an option would take in each block if all went there, float64[B]; ``mu`` is float64[C, B]."""
    caps = [option.variant.serves.get(item.traffic_class.name, 0.0) for item in interactive]
    rates = np.array([cap * item.planned for cap, item in zip(caps, interactive, strict=True)]).reshape(mu.shape)
    if option.terms.offer == SERVERLESS:
        size = find_size(option.machine.name)
        at_once = np.divide(rates, mu, out=np.zeros_like(mu), where=mu > 0.0).sum(axis=0)
        return at_once / max(find_instance_limit(workload, size), 1e-9) if size is not None else np.full(mu.shape[1], np.inf)
    api = dict(limits(workload)).get(option.machine.name) if option.terms.offer in METERED else None
    if api is None:
        return np.zeros(mu.shape[1])
    parts = [
        measure_used_of_limit(item.traffic_class, api, rate * (row > 0.0))
        for item, rate, row in zip(interactive, rates, mu, strict=True)
    ]
    return np.sum(parts, axis=0) if parts else np.zeros(mu.shape[1])


def measure_metered_usage(problem: Problem, share: FloatArray, work: FloatArray) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return the billed machine-hours and the units of metered options, float64[P, B] each, in one hour of a block.

    ``share`` is float64[C, P, B] and ``work`` float64[windows, P, B], of a solution.
    """
    hours = np.zeros((len(problem.options), problem.blocks))
    units: dict[str, FloatArray] = {}
    requests = SECONDS_PER_HOUR * problem.mean_rate[:, None, :] * share
    for p in np.flatnonzero(problem.metered):
        asked = [(name, requests[c, p]) for c, name in enumerate(problem.interactive)]
        asked += [
            (problem.deferrable[window.traffic_class], window.requests * done[p])
            for window, done in zip(problem.windows, work, strict=True)
        ]
        for name, amounts in asked:
            for unit, each in problem.options[p].taken.get(name, {}).items():
                rows = hours if unit == HOURS else units.setdefault(unit, np.zeros_like(hours))
                rows[p] += each * amounts
    return hours, units


def add_metered_usage(problem: Problem, usage: Usage, share: FloatArray, work: FloatArray) -> Usage:
    """Return the usage of every option of a solution with that of metered ones."""
    hours, units = measure_metered_usage(problem, share, work)
    return Usage(usage.lines, np.where(problem.metered[:, None], hours, usage.machine_hours), usage.hours_per_month, units)


def metered_usd(problem: Problem, share: FloatArray, work: FloatArray) -> FloatArray:
    """Return what metered options cost in a month, float64[P] US dollars, at the rates of their terms."""
    hours, units = measure_metered_usage(problem, share, work)
    usd = np.zeros(len(problem.options))
    for p in np.flatnonzero(problem.metered):
        terms = problem.options[p].terms
        usd[p] = terms.usd_per_hour * float(hours[p] @ problem.block_hours)
        usd[p] += sum(
            rate * float(units[name][p] @ problem.block_hours) for name, rate in terms.usd_per_unit.items() if name in units
        )
    return usd


def work_at_once(problem: Problem, work: FloatArray, option: int) -> float:
    """Return how many requests that can wait an option has in hand at a time in the block with most of them."""
    most = 0.0
    for window, done in zip(problem.windows, work, strict=True):
        per_s = problem.work_per_s[window.traffic_class, option]
        if per_s > 0.0:
            most = max(most, float(window.requests * done[option].max() / SECONDS_PER_HOUR / per_s))
    return most
