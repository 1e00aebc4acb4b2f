"""What ran, charged: machine-hours of a replay as a bill of the stretch, and at the scale of a month.

The plan's own ``replay_monthly_cost_usd`` and every later replay of its file come from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.catalogue import OWNED
from tightrope.base.errors import InputError
from tightrope.base.plan import BillLine, Committed, OfferTerms, Plan, Pool, Usage, UsageLine
from tightrope.base.records import FloatArray, IntArray
from tightrope.base.registry import find_offer
from tightrope.base.units import HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.cost_lines import FIXED_DRIVERS, build_machine_lines, disk_usd_per_hour, total_usd
from tightrope.plan.problem.services.metered_usage import measure_ran_hours, metered_pools
from tightrope.plan.problem.services.service_options import METERED, OF_SERVICES
from tightrope.replay.records import Fleet, Outcome

HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True)
class ReplayUsage:
    """Machine-hours and how they are paid for."""

    lines: tuple[UsageLine, ...]
    """One for each pool."""
    schedule: IntArray | FloatArray
    """Machines that were meant to run, [pools, 168]."""
    usd_per_hour: FloatArray
    """float64[pools]: the offer's rate, disk included."""
    machine_hours: FloatArray
    """float64[pools, hours of the replay's clock]."""
    start_s: float
    """Time of the plan's week at which the replay starts."""
    duration_s: float
    committed: tuple[Committed, ...]
    disk_usd_per_hour: FloatArray
    """float64[pools]."""
    scheduled_usd_per_month: float
    """What the schedule costs in a month, metered pools included."""
    units: Mapping[str, FloatArray] = field(default_factory=dict)
    """What metered pools used beside machine-hours, float64[pools, hours]."""
    metered_usd_per_month: float = 0.0
    """What the plan's metered pools cost in a month."""

    @property
    def machines(self) -> NDArray[np.bool_]:
        """Return which pools are of machines, bool[pools]: the others have billed hours of the requests that they answered."""
        return np.array([line.offer not in METERED for line in self.lines], dtype=bool)


def metered_total(bill: Sequence[BillLine], lines: Sequence[UsageLine], metered: Sequence[bool]) -> float:
    """Return what metered pools cost on a bill, US dollars."""
    names = {line.pool for line, by_meter in zip(lines, metered, strict=True) if by_meter}
    return sum(line.usd for line in bill if line.pool in names)


def measure_replay_usage(
    plan: Plan,
    book: PriceBook,
    machine_hours: FloatArray,
    start_s: float,
    duration_s: float,
    units: Mapping[str, FloatArray] | None = None,
) -> ReplayUsage:
    """Return what ran of a plan's fleet; raise ``InputError`` where the catalogue does not sell it.

    ``machine_hours`` and ``units`` (float64[pools, hours]) are those of ``measure_outcomes`` where the plan has metered pools.
    """
    disk = np.array([_disk_usd_per_hour(plan, pool, book) for pool in plan.pools])
    lines = _name_pools(plan)
    planned = tuple(line for line in plan.cost_lines if not _is_fixed(line))
    return ReplayUsage(
        lines=lines,
        schedule=np.array([pool.schedule for pool in plan.pools], dtype=np.int64),
        usd_per_hour=np.array([_usd_per_hour(pool, book) for pool in plan.pools]) + disk,
        machine_hours=machine_hours,
        start_s=start_s,
        duration_s=duration_s,
        committed=tuple(item.committed for item in plan.commitments),
        disk_usd_per_hour=disk,
        scheduled_usd_per_month=total_usd(planned),
        units=units or {},
        metered_usd_per_month=metered_total(planned, lines, [pool.serving.metered for pool in plan.pools]),
    )


def measure_outcomes(
    plan: Plan, book: PriceBook, fleet: Fleet, outcomes: Sequence[Outcome]
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return machine-hours and units of a plan's replays, float64[pools, hours] each, means of all."""
    return measure_ran_hours(metered_pools(_name_pools(plan), fleet.pools), outcomes, book)


def _name_pools(plan: Plan) -> tuple[UsageLine, ...]:
    """Return the plan's pools as the bill names them."""
    return tuple(UsageLine(pool.name, pool.cloud, pool.region, pool.machine, pool.offer) for pool in plan.pools)


def _disk_usd_per_hour(plan: Plan, pool: Pool, book: PriceBook) -> float:
    """Return what a pool's root volumes cost an hour and machine, US dollars."""
    return 0.0 if pool.offer in OF_SERVICES else disk_usd_per_hour(book, pool.cloud, pool.region, plan.disk_gb)


def _usd_per_hour(pool: Pool, book: PriceBook) -> float:
    """Return the rate of a pool's offer."""
    terms = find_offer(pool.offer).terms(pool.machine, pool.region, book)
    if isinstance(terms, OfferTerms):
        return terms.usd_per_hour
    msg = f"pool {pool.name!r} cannot be billed: {terms.what}: {terms.reason}"
    raise InputError(msg, resolve="give the catalogue that the plan was made with: --catalogue, or plan again")


def _is_fixed(line: BillLine) -> bool:
    """Return whether a line of the plan's bill does not depend on its machines."""
    return not line.pool and line.driver in FIXED_DRIVERS


def fixed_usd(plan: Plan) -> float:
    """Return what of the plan's monthly bill does not depend on its machines: traffic, what stands around them, the models' storage."""
    return total_usd(tuple(line for line in plan.cost_lines if _is_fixed(line)))


def count_scheduled_hours(schedule: IntArray | FloatArray, start_s: float, duration_s: float) -> FloatArray:
    """Return the machine-hours that the schedule alone makes of a stretch, float64[pools, hours of the replay's clock].

    >>> week = np.arange(168)[None, :]
    >>> count_scheduled_hours(week, 1.5 * 3600, 2.25 * 3600).tolist()
    [[1.5, 2.5, 0.75]]
    """
    first_h, length_h = start_s / SECONDS_PER_HOUR, duration_s / SECONDS_PER_HOUR
    hours = np.arange(max(1, int(np.ceil(length_h))))
    parts = np.clip(length_h - hours, 0.0, 1.0)
    early = np.minimum(parts, 1.0 - first_h % 1.0)
    block = (int(first_h) + hours) % HOURS_PER_WEEK
    return schedule[:, block] * early + schedule[:, (block + 1) % HOURS_PER_WEEK] * (parts - early)


def month_usd(ran: ReplayUsage, book: PriceBook) -> float:
    """Return the machines' bill at the scale of a month, US dollars: what the autoscaler really ran.

    A stretch shorter than a day is no picture of a month: then the schedule's rented machines are scaled by what was run over what was
    scheduled, and charged, while commitments and machines of one's own stay as many as they are; where nothing was scheduled, what ran
    comes on top; metered pools cost what they do in the plan. A part of an hour counts as that part, of commitments too.
    """
    length_h = ran.duration_s / SECONDS_PER_HOUR
    if length_h < HOURS_PER_DAY:
        scheduled = count_scheduled_hours(ran.schedule, ran.start_s, ran.duration_s)
        rented = ran.machines & np.array([line.offer != OWNED for line in ran.lines], dtype=bool)
        planned, cost = (float(ran.usd_per_hour * rented @ hours.sum(axis=1)) for hours in (scheduled, ran.machine_hours))
        if planned > 0.0:
            return _scaled_usd(ran, book, np.where(rented, cost / planned, 1.0)) + ran.metered_usd_per_month
        return ran.scheduled_usd_per_month + cost * HOURS_PER_MONTH / length_h
    return total_usd(_charge(_complete_last_hour(ran), book, _measure_parts(ran) * HOURS_PER_MONTH / length_h))


def _scaled_usd(ran: ReplayUsage, book: PriceBook, factor: FloatArray) -> float:
    """Return the monthly bill of the machines of the schedule, each pool's multiplied by ``factor`` (float64[pools]), US dollars."""
    machines, month = np.flatnonzero(ran.machines).tolist(), np.full(HOURS_PER_WEEK, HOURS_PER_MONTH / HOURS_PER_WEEK)
    usage = Usage(ran.lines, ran.schedule * factor[:, None], month).take(machines)
    return total_usd(build_machine_lines(usage, book, ran.committed, {}, ran.disk_usd_per_hour[machines]))


def _measure_parts(ran: ReplayUsage) -> FloatArray:
    """Return what part of each hour belongs to the stretch, float64[hours]: all of it but in the last."""
    return np.clip(ran.duration_s / SECONDS_PER_HOUR - np.arange(ran.machine_hours.shape[1]), 1e-9, 1.0)


def _complete_last_hour(ran: ReplayUsage) -> ReplayUsage:
    """Return what would have run had the last hour gone on as it began: a part of an hour is no whole hour of a commitment."""
    parts = _measure_parts(ran)
    return replace(
        ran, machine_hours=ran.machine_hours / parts, units={name: amounts / parts for name, amounts in ran.units.items()}
    )


def build_stretch_lines(ran: ReplayUsage, book: PriceBook) -> tuple[BillLine, ...]:
    """Return the machines' bill of the stretch itself; a commitment is paid for every hour begun."""
    return _charge(ran, book, np.ones(ran.machine_hours.shape[1]))


def hourly_usd(ran: ReplayUsage, book: PriceBook) -> dict[str, list[float]]:
    """Return each pool's dollars an hour in each hour of the stretch, and under ``""`` what a commitment pays unused."""
    ran = _complete_last_hour(ran)
    hours = ran.machine_hours.shape[1]
    found = {name: [0.0] * hours for name in (*(line.pool for line in ran.lines), "")}
    for hour in range(hours):
        weights = np.zeros(hours)
        weights[hour] = 1.0
        for line in _charge(ran, book, weights):
            found[line.pool][hour] += line.usd
    return found


def _charge(ran: ReplayUsage, book: PriceBook, weights: FloatArray) -> tuple[BillLine, ...]:
    """Return the bill with each hour counted ``weights`` times, float64[hours]."""
    usage = Usage(ran.lines, ran.machine_hours, weights, ran.units)
    return build_machine_lines(usage, book, ran.committed, {}, ran.disk_usd_per_hour)
