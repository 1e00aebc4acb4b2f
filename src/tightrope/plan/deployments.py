"""Every variant on every machine: kept with what it sustains for each class, or refused with a reason."""

from dataclasses import dataclass

from tightrope.base.catalogue import MachineType
from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile, TokenEngine, TrafficClass, Workload
from tightrope.clouds.book import PriceBook
from tightrope.clouds.services import find_size
from tightrope.perf.find import find_profile, limit_batch
from tightrope.plan.capacity import Capacity, CapacityTable
from tightrope.plan.settings import keep_best, other_settings
from tightrope.plan.sized import Sized


@dataclass(frozen=True, slots=True)
class Deployment:
    """A variant on a machine type with what it sustains per class, before regions and offers."""

    variant: ModelVariant
    machine: MachineType
    profile: Profile
    capacity: dict[str, Capacity]


def find_deployments(
    workload: Workload, book: PriceBook, table: CapacityTable, sized: tuple[Sized, ...], max_batch: int = 0
) -> tuple[list[Deployment], list[Refusal]]:
    """Return every deployment that can serve some class, and why the others can not."""
    found: list[Deployment] = []
    refusals: list[Refusal] = []
    for machine in book.machines(workload.where.families):
        if machine.cloud not in workload.where.regions or find_size(machine.name) is not None:
            continue
        for variant in (variant for variant in workload.variants if variant.precision):
            profile = find_profile(variant, machine)
            if isinstance(profile, Profile):
                answer = _deployments(variant, machine, limit_batch(profile, max_batch), table, sized, choose=max_batch == 0)
            else:
                answer = Refusal(f"{variant.name} on {machine.name}", "; ".join(refusal.reason for refusal in profile))
            if isinstance(answer, Refusal):
                refusals.append(answer)
            else:
                found += answer
    return found, refusals


def _deployments(
    variant: ModelVariant, machine: MachineType, profile: Profile, table: CapacityTable, sized: tuple[Sized, ...], *, choose: bool
) -> list[Deployment] | Refusal:
    """Measure one variant on one machine, and keep the settings worth it where there is a choice."""
    first = deploy(variant, machine, profile, table, sized)
    served = [item for item in sized if variant.serves.get(item.traffic_class.name, 0.0) > 0.0]
    others = other_settings(profile, [item for item in served if not _too_long(profile, item.traffic_class)], table)
    measured = [deploy(variant, machine, other, table, sized) for other in (others if choose else ())]
    found = [item for item in (first, *measured) if isinstance(item, Deployment)]
    if not found:
        return first if isinstance(first, Refusal) else [first]
    return [found[place] for place in keep_best([(item.profile, item.capacity) for item in found], served)]


def deploy(
    variant: ModelVariant, machine: MachineType, profile: Profile, table: CapacityTable, sized: tuple[Sized, ...]
) -> Deployment | Refusal:
    """Measure one deployment for every class that its variant serves."""
    label = f"{variant.name} on {machine.name}"
    served = [item for item in sized if variant.serves.get(item.traffic_class.name, 0.0) > 0.0]
    capacity: dict[str, Capacity] = {}
    reasons: list[str] = []
    for item in served:
        reason = _too_long(profile, item.traffic_class)
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


def _too_long(profile: Profile, traffic_class: TrafficClass) -> str:
    """Return why the largest request does not fit the KV cache; empty where it does."""
    if not isinstance(profile.engine, TokenEngine):
        return ""
    longest = int((traffic_class.demand.input_tokens + traffic_class.demand.output_tokens).max())
    has = profile.engine.kv_capacity_tokens
    return "" if longest <= has else f"its largest request needs a KV cache of {longest} tokens, there is room for {has}"


def check_served(sized: tuple[Sized, ...], deployments: list[Deployment], refusals: list[Refusal]) -> None:
    """Raise where a class can not be served by anything, with the nearest miss."""
    for item in sized:
        name = item.traffic_class.name
        if not any(name in deployment.capacity for deployment in deployments):
            why = [f"  {refusal.what}: {refusal.reason}" for refusal in refusals if f"{name}:" in refusal.reason]
            shown = "\n".join(why[:6]) or "\n".join(f"  {refusal.what}: {refusal.reason}" for refusal in refusals[:6])
            msg = f"demand: no machine keeps the promises of class {name!r}\n{shown}"
            resolve = (
                f"loosen traffic.{name}.slo beyond the figures above, allow larger machines in where.families, or add a variant"
            )
            raise InfeasibleError(msg, resolve=resolve)
