"""Every variant on every machine: kept with what it sustains for each class, or refused with a reason."""

import math
from dataclasses import dataclass

from tightrope.base.catalogue import OWNED, MachineType
from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile, TokenEngine, TrafficClass, Workload
from tightrope.clouds.book import PriceBook
from tightrope.clouds.service_sizes import find_size
from tightrope.perf.profile_search import find_profile, limit_batch
from tightrope.plan.problem.capacity import Capacity, CapacityTable
from tightrope.plan.problem.demand_week import ClassDemand
from tightrope.plan.problem.distance import round_trip_s
from tightrope.plan.problem.engine_settings import find_faster_settings, keep_best


@dataclass(frozen=True, slots=True)
class Deployment:
    """A variant on a machine type with what it sustains per class, before regions and offers."""

    variant: ModelVariant
    machine: MachineType
    profile: Profile
    capacity: dict[str, Capacity]


def find_deployments(
    workload: Workload, book: PriceBook, table: CapacityTable, sized: tuple[ClassDemand, ...], max_batch: int = 0
) -> tuple[list[Deployment], list[Refusal]]:
    """Return every deployment that can serve some class, and why the others cannot."""
    found: list[Deployment] = []
    refusals: list[Refusal] = []
    for machine in _find_allowed_machines(workload, book):
        for variant in (variant for variant in workload.variants if variant.precision):
            profile = find_profile(variant, machine)
            if isinstance(profile, Profile):
                answer = _measure_variant(variant, machine, limit_batch(profile, max_batch), table, sized, choose=max_batch == 0)
            else:
                answer = Refusal(f"{variant.name} on {machine.name}", "; ".join(refusal.reason for refusal in profile))
            if isinstance(answer, Refusal):
                refusals.append(answer)
            else:
                found += answer
    return found, refusals


def _find_allowed_machines(workload: Workload, book: PriceBook) -> list[MachineType]:
    """Return the machines that may be used: of the families allowed, and all of one's own at the sites allowed."""
    rented = [
        machine
        for machine in book.machines(workload.where.families)
        if machine.cloud in workload.where.regions and machine.cloud != OWNED and find_size(machine.name) is None
    ]
    sites = workload.where.regions.get(OWNED, ())
    own = dict.fromkeys(machine for machine, site in book.stocks if site in sites)
    return rented + [book.machine(name) for name in own]


def _measure_variant(
    variant: ModelVariant,
    machine: MachineType,
    profile: Profile,
    table: CapacityTable,
    sized: tuple[ClassDemand, ...],
    *,
    choose: bool,
) -> list[Deployment] | Refusal:
    """Measure one variant on one machine, and keep the settings worth it where there is a choice."""
    first = deploy(variant, machine, profile, table, sized)
    served = [item for item in sized if variant.serves.get(item.traffic_class.name, 0.0) > 0.0]
    others = find_faster_settings(profile, [item for item in served if not _explain_too_long(profile, item.traffic_class)], table)
    measured = [deploy(variant, machine, other, table, sized) for other in (others if choose else ())]
    found = [item for item in (first, *measured) if isinstance(item, Deployment)]
    if not found:
        return first if isinstance(first, Refusal) else [first]
    return [found[place] for place in keep_best([(item.profile, item.capacity) for item in found], served)]


def deploy(
    variant: ModelVariant, machine: MachineType, profile: Profile, table: CapacityTable, sized: tuple[ClassDemand, ...]
) -> Deployment | Refusal:
    """Measure one deployment for every class that its variant serves."""
    label = f"{variant.name} on {machine.name}"
    served = [item for item in sized if variant.serves.get(item.traffic_class.name, 0.0) > 0.0]
    capacity: dict[str, Capacity] = {}
    reasons: list[str] = []
    for item in served:
        reason = _explain_too_long(profile, item.traffic_class)
        measured = None if reason else table.find(profile.engine, item.traffic_class)
        if measured is None:
            reasons.append(f"{item.traffic_class.name}: {reason}")
        elif measured.limit_per_s <= 0.0 and item.traffic_class.deferral is None:
            missed = ", ".join(f"{slo} comes to {value_s:.3g} s when idle" for slo, value_s in measured.best_s.items())
            reasons.append(f"{item.traffic_class.name}: misses its promises at any load ({missed})")
        else:
            capacity[item.traffic_class.name] = measured
    if not capacity:
        return Refusal(label, "; ".join(reasons) or "serves no class")
    return Deployment(variant, machine, profile, capacity)


def _explain_too_long(profile: Profile, traffic_class: TrafficClass) -> str:
    """Return why the largest request does not fit the KV cache; empty where it does."""
    if not isinstance(profile.engine, TokenEngine):
        return ""
    longest = int((traffic_class.demand.input_tokens + traffic_class.demand.output_tokens).max())
    has = profile.engine.kv_capacity_tokens
    return "" if longest <= has else f"its largest request needs a KV cache of {longest} tokens, there is room for {has}"


def check_served(
    workload: Workload,
    book: PriceBook,
    table: CapacityTable,
    sized: tuple[ClassDemand, ...],
    deployments: list[Deployment],
    refusals: list[Refusal],
) -> None:
    """Raise where a class cannot be served by anything, with the nearest miss."""
    for item in sized:
        name = item.traffic_class.name
        if not any(name in deployment.capacity for deployment in deployments):
            why = [f"  {refusal.what}: {refusal.reason}" for refusal in refusals if f"{name}:" in refusal.reason]
            shown = "\n".join(why[:6]) or "\n".join(f"  {refusal.what}: {refusal.reason}" for refusal in refusals[:6])
            msg = f"demand: no machine keeps the promises of class {name!r}\n{shown}"
            if away := _explain_unknown_distance(item.traffic_class, workload):
                raise InfeasibleError(msg, resolve=away)
            misses = _find_nearest_misses(item.traffic_class, workload, book, table)
            change = (
                _suggest_promises(item.traffic_class, misses)
                if misses
                else "write what you measured under the variant's profiles"
            )
            raise InfeasibleError(msg, resolve=f"{change}, allow larger machines in where.families, or add a variant")


def _explain_unknown_distance(item: TrafficClass, workload: Workload) -> str:
    """Return what to state where nobody says how far any region is from the class's users; empty where it is known."""
    regions = [region for names in workload.where.regions.values() for region in names]
    if item.place is None or any(round_trip_s(item, region, workload.where) is not None for region in regions):
        return ""
    return (
        f"state where.round_trip between {item.place[1]} and {' or '.join(regions)}, or allow machines in {item.place[1]} as well "
        "(`together: true` lets one plan use several regions)"
    )


def _find_nearest_misses(
    item: TrafficClass, workload: Workload, book: PriceBook, table: CapacityTable
) -> list[tuple[float, dict[str, float], float]]:
    """Return of each variant that serves the class the machine that misses its promises by least, the nearest variant first.

    Each is by which factor it misses, SLO → what it comes to on the idle machine in seconds, and the share that the variant serves.
    """
    found: list[tuple[float, dict[str, float], float]] = []
    machines = [machine for machine in book.machines(workload.where.families) if machine.cloud in workload.where.regions]
    for variant in workload.variants:
        share = variant.serves.get(item.name, 0.0)
        profiles = [find_profile(variant, machine) for machine in machines] if share > 0.0 else []
        engines = dict.fromkeys(one.engine for one in profiles if isinstance(one, Profile) and not _explain_too_long(one, item))
        best = [best_s for engine in engines if (best_s := table.find(engine, item).best_s)]
        if best:
            by = [max(best_s[str(slo)] / slo.limit_s for slo in item.slos) for best_s in best]
            found.append((min(by), best[by.index(min(by))], share))
    return sorted(found, key=lambda miss: miss[0])


def _suggest_promises(item: TrafficClass, misses: list[tuple[float, dict[str, float], float]]) -> str:
    """Say which promises the nearest variants that serve all of a class keep when idle, rounded up to three digits."""
    stated = item.name if item.place is None else item.name.removesuffix(f".{item.place[1]}")
    worst_s: dict[str, float] = {}
    served = 0.0
    for _, best_s, share in misses:
        if served < 1.0 - 1e-9:
            worst_s = {slo: max(value_s, worst_s.get(slo, 0.0)) for slo, value_s in best_s.items()}
            served += share
    missed = [
        f"{slo.metric} p{100 * slo.percentile:g} <= {_round_up(worst_s[str(slo)]):g} s"
        for slo in item.slos
        if worst_s.get(str(slo), 0.0) > slo.limit_s
    ]
    if served < 1.0 - 1e-9 or not missed:
        return f"loosen traffic.{stated}.slo beyond the figures above"
    return f"loosen traffic.{stated}.slo to more than `{'`, `'.join(missed)}`"


def _round_up(value_s: float) -> float:
    """Return a time rounded up to three digits.

    >>> _round_up(0.12341)
    0.124
    """
    if not 0.0 < value_s < math.inf:
        return value_s
    digit = 10.0 ** (math.floor(math.log10(value_s)) - 2)
    return round(math.ceil(value_s / digit - 1e-9) * digit, 12)
