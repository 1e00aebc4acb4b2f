"""What to watch out for: everything a reader should know before money moves."""

from collections import Counter
from collections.abc import Sequence
from datetime import date

from tightrope.base import registry
from tightrope.base.catalogue import OLD_DAYS, OWNED, PriceRow, UnitPrice
from tightrope.base.plan import Evidence, Refusal
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import split_demand
from tightrope.plan.fleet.plan_fleet import OpenPool
from tightrope.plan.problem.cost_lines import NOT_BILLED
from tightrope.plan.problem.demand_week import lead_seconds, may_commit, size_classes
from tightrope.plan.problem.response_cache import warn_of_cache
from tightrope.plan.problem.services.service_options import OF_SERVICES, left_out
from tightrope.plan.prove.proof import Proof

WIDE_BAND = 0.3


def find_warnings(
    workload: Workload,
    proof: Proof,
    pools: tuple[OpenPool, ...],
    rows: Sequence[PriceRow | UnitPrice],
    cost_usd: float,
    replayed_usd: float,
    today: date,
    now_evidence: tuple[Evidence, ...],
    book: PriceBook,
) -> tuple[str, ...]:
    """Return the warnings of a plan, the gravest first; ``rows`` are the prices that its bills rest on."""
    found = [
        f"not proven: {item.traffic_class} {item.slo} attains {item.attainment:.2%}"
        for item in proof.evidence
        if item.verdict != "proven"
    ]
    found += _warn_of_traffic(workload)
    if abs(replayed_usd - cost_usd) > 0.05 * cost_usd:
        found.append(
            f"on the held-out days the autoscaler's fleet cost ${replayed_usd:,.0f} at month scale, the plan's week ${cost_usd:,.0f}"
        )
    found += _warn_of_interruptions(proof)
    found += [
        f"{pool.option.profile.variant} on {pool.option.machine.name} is {pool.option.profile.provenance.kind}led, "
        f"±{pool.option.profile.provenance.error_band:.0%}: measure it before you commit"
        for pool in pools
        if pool.option.profile.provenance.kind == "model" and pool.option.profile.provenance.error_band >= WIDE_BAND
    ]
    found += _warn_of_prices(rows, today)
    found += [
        f"today's fleet{_warn_of_growth(workload, item)} {'misses' if item.attainment < item.target else 'keeps, but only just,'} "
        f"{item.traffic_class} {item.slo}: {item.attainment:.1%} on {item.window}"
        for item in now_evidence
        if item.verdict != "proven"
    ]
    if not may_commit(workload):
        found.append("no commitment is considered: sizing sees less than a week of traffic")
    found += warn_of_cache(workload)
    if any(variant.prefix_block_tokens for variant in workload.variants):
        found.append(
            "the prefix cache saves nothing here: the traffic drawn names no blocks; replay the plan on a trace that has them"
        )
    found += _warn_of_unserved(workload.direct or workload)
    found += _warn_of_unused_offers(workload.direct or workload, book)
    found += left_out(workload, proof.problem)
    found += [f"not in either bill: {NOT_BILLED}"]
    notes = {item.note for item in size_classes(workload, {}, lead_seconds(workload)) if item.note}
    return tuple(dict.fromkeys([*found, *sorted(notes)]))


def _warn_of_unserved(workload: Workload) -> list[str]:
    """Say which classes today's fleet does not serve: the saving then compares different work."""
    served = {name for pool in workload.today for name in pool.classes}
    missing = [item.name for item in workload.classes if item.name not in served] if workload.today else []
    return [f"today's fleet does not serve {', '.join(missing)}: the saving compares different work"] if missing else []


def _warn_of_unused_offers(workload: Workload, book: PriceBook) -> list[str]:
    """Say which offer that is allowed cannot be had from a cloud that is allowed, and why."""
    said = []
    offers = [registry.find_offer(name) for name in workload.purchase.offers if name not in OF_SERVICES]
    for cloud, regions in workload.where.regions.items():
        if cloud == OWNED:
            continue
        machines = [machine.name for machine in book.machines(workload.where.families) if machine.cloud == cloud]
        for offer in offers:
            answers = [offer.terms(machine, region, book) for machine in machines for region in regions]
            reasons = Counter(answer.reason for answer in answers if isinstance(answer, Refusal))
            if answers and reasons.total() == len(answers):
                said.append(f"{offer.name} of {cloud} is not planned with: {reasons.most_common(1)[0][0]}")
    return said


def _warn_of_interruptions(proof: Proof) -> list[str]:
    """Say how many spot interruptions the proof saw: none is no proof of surviving one."""
    if not any(pool.interruptions_per_hour > 0.0 for pool in proof.fleet.pools):
        return []
    seen = sum(outcome.interruptions for outcome in proof.outcomes)
    return [
        f"the replays drew {seen} spot interruption{'' if seen == 1 else 's'} at the published rates; the robustness cases force more"
    ]


def _warn_of_growth(workload: Workload, evidence: Evidence) -> str:
    """Say that the traffic of an evidence was grown beyond today's."""
    growth = next(item.growth for item in workload.classes if item.name == evidence.traffic_class)
    return f", at {growth:+.0%} traffic," if growth else ""


def _warn_of_traffic(workload: Workload) -> list[str]:
    """Say where the held-out traffic went beyond what sizing saw."""
    found = []
    for item in workload.classes:
        split = split_demand(item.demand, workload.heldout_share)
        seen, proved = (float(part.requests / part.duration_s) for part in (split.sizing, split.heldout))
        if item.deferral is None and seen > 0.0 and abs(proved / seen - 1.0) > 0.1:
            peaks = [float(part.rate_per_s.max(initial=0.0)) for part in (split.sizing, split.heldout)]
            found.append(
                f"{item.name}: the held-out days carry {proved / seen - 1.0:+.0%} traffic and a peak of {peaks[1] / peaks[0]:.2f} times "
                "what sizing saw"
            )
    return found


def _warn_of_prices(rows: Sequence[PriceRow | UnitPrice], today: date) -> list[str]:
    """Say which prices are old, one line an offer and one for all that is not per machine-hour."""
    oldest: dict[str, date] = {}
    for row in rows:
        what = row.offer if isinstance(row, PriceRow) else "transfer and storage"
        oldest[what] = min(row.seen, oldest.get(what, row.seen))
    old = [
        f"{what} prices are up to {(today - seen).days} days old (seen {seen})"
        for what, seen in sorted(oldest.items())
        if (today - seen).days > OLD_DAYS
    ]
    known = registry.load_clouds()
    stale = sorted({row.cloud for row in rows if (today - row.seen).days > OLD_DAYS})
    renewed = [f"`tightrope prices refresh {cloud}`" for cloud in stale if cloud in known and known[cloud].importer]
    return [*old, f"old prices are renewed by {' and '.join(renewed)}"] if renewed else old
