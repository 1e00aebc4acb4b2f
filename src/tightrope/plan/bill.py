"""A month's bill by cost driver: machines through ``offers``, split into used and idle time, then disks, artefacts and egress."""

from collections.abc import Sequence

import numpy as np

from tightrope.base.plan import BillLine, Committed, Usage
from tightrope.base.records import FloatArray, Workload
from tightrope.base.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import split_demand
from tightrope.offers.bill import charge_fleet
from tightrope.plan.problem import Problem

BYTES_PER_GB = 1e9
DISK_GB = 100.0
"""Root volume of every machine, billed as block storage: system, container image and model artefacts."""


def disk_usd_per_hour(book: PriceBook, cloud: str, region: str) -> float:
    """Return what a machine's root volume costs an hour, US dollars."""
    return book.unit_price(cloud, region, "block-storage").usd_per_gb * DISK_GB / HOURS_PER_MONTH


def machine_lines(
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


NOT_BILLED = "load balancers, the Kubernetes control plane, NAT and traffic between zones, logs, support and tax"
"""What a real bill has and this one does not: said in every plan."""


def constant_lines(workload: Workload, book: PriceBook, variants: set[str], cloud: str, region: str) -> tuple[BillLine, ...]:
    """Return what does not depend on the machines: egress of the answers and object storage of the models' artefacts.

    Egress is priced at the first tier, so large volumes come out dear rather than cheap.
    """
    egress = book.unit_price(cloud, region, "internet-egress").usd_per_gb
    stored = book.unit_price(cloud, region, "object-storage").usd_per_gb
    lines = []
    for item in workload.classes:
        sizing = split_demand(item.demand, workload.heldout_share).sizing
        per_s = sizing.requests / sizing.duration_s * (1.0 + item.growth)
        sent_gb = per_s * HOURS_PER_MONTH * SECONDS_PER_HOUR * item.egress_bytes_per_request / BYTES_PER_GB
        lines.append(BillLine("egress", "", item.name, egress * sent_gb))
    size_gb = sum(variant.size_bytes for variant in workload.variants if variant.name in variants) / BYTES_PER_GB
    lines.append(BillLine("storage", "", "object-storage", stored * size_gb))
    return tuple(line for line in lines if line.usd > 0.0)


def used_share(
    problem: Problem, machines: np.ndarray, share: FloatArray, work: FloatArray, hours_of_work: list[FloatArray]
) -> FloatArray:
    """Return the expected part of each option's paid time that it serves, float64[P]: mean demand over what it sustains."""
    load = np.divide(problem.mean_rate[:, None, :], problem.mu, out=np.zeros_like(problem.mu), where=problem.mu > 0.0)
    busy = (share * load).sum(axis=0).sum(axis=1)
    for w, hours in enumerate(hours_of_work):
        busy = busy + hours * work[w].sum(axis=1)
    paid = machines.sum(axis=1)
    return np.clip(np.divide(busy, paid, out=np.zeros(len(paid)), where=paid > 0), 0.0, 1.0)


def total_usd(lines: tuple[BillLine, ...]) -> float:
    """Return the sum of a bill."""
    return float(sum(line.usd for line in lines))
