"""A month's bill by cost driver: machines through ``offers``, split into used and idle time, then disks, artefacts and egress."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tightrope.base.plan import BillLine, Committed, Usage
from tightrope.base.records import FloatArray, Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.offers.bill import charge_fleet
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.network import BYTES_PER_GB, Around, Place, Served, find_tiers

FIXED_DRIVERS = frozenset({"egress", "network", "control plane", "storage", "cache"})
"""Drivers whose lines without a pool do not depend on the machines."""


def disk_usd_per_hour(book: PriceBook, cloud: str, region: str, disk_gb: float) -> float:
    """Return what a machine's root volume costs an hour, US dollars."""
    return book.unit_price(cloud, region, "block-storage").usd_per_gb * disk_gb / HOURS_PER_MONTH


def build_machine_lines(
    usage: Usage, book: PriceBook, committed: Sequence[Committed], used: dict[str, float], disk_usd_per_hour: float | FloatArray
) -> tuple[BillLine, ...]:
    """Return what the machines cost in a month, the part of each pool's time in ``used`` (0..1) apart from the idle rest.

    ``disk_usd_per_hour`` is for one machine, or float64[usage lines] where they stand in different regions.
    """
    lines: list[BillLine] = []
    for line in charge_fleet(usage, book, committed):
        share = used.get(line.pool, 1.0)
        if line.driver != "compute":
            lines.append(line)
            continue
        lines.append(BillLine("compute", line.pool, line.offer, share * line.usd))
        lines.append(BillLine("idle", line.pool, line.offer, (1.0 - share) * line.usd))
    disks_usd = disk_usd_per_hour * (usage.machine_hours @ usage.hours_per_month)
    lines += [
        BillLine("storage", line.pool, "block-storage", float(usd)) for line, usd in zip(usage.lines, disks_usd, strict=True)
    ]
    return tuple(line for line in lines if abs(line.usd) > 1e-9)


NOT_BILLED = "public IP addresses, logs, support and tax"
"""What a real bill has and this one does not: said in every plan."""


def build_network_lines(
    workload: Workload, surrounding: Around, served: Served, variants: Mapping[Place, Collection[str]]
) -> tuple[BillLine, ...]:
    """Return what stands around the machines and moves between them, and the object storage of the models' artefacts.

    ``variants`` are those that run in each place with machines.
    """
    stored = sum(
        tiers[0].usd_per_gb * variant.size_bytes / BYTES_PER_GB
        for place, names in variants.items()
        if (tiers := find_tiers(surrounding.book, place, "object-storage"))
        for variant in workload.variants
        if variant.name in names
    )
    lines = (*surrounding.lines(served, set(variants)), BillLine("storage", "", "object-storage", stored))
    return tuple(line for line in lines if line.usd > 0.0)


def used_share(
    problem: Problem, machines: np.ndarray, share: FloatArray, work: FloatArray, hours_of_work: list[FloatArray]
) -> FloatArray:
    """Return the expected part of each option's paid time that it serves, float64[P]: mean demand over what it sustains."""
    load = problem.load(problem.mean_rate)
    busy = (share * load).sum(axis=0).sum(axis=1)
    for w, hours in enumerate(hours_of_work):
        busy = busy + hours * work[w].sum(axis=1)
    paid = machines.sum(axis=1)
    return np.clip(np.divide(busy, paid, out=np.zeros(len(paid)), where=paid > 0), 0.0, 1.0)


def total_usd(lines: tuple[BillLine, ...]) -> float:
    """Return the sum of a bill."""
    return float(sum(line.usd for line in lines))
