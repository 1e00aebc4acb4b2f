"""From a workload and a price book to a ``Problem``: every variant on every machine, kept with its figures or refused with a reason."""

from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.catalogue import MachineType
from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.records import FloatArray, ModelVariant, Profile, TokenEngine, TrafficClass, Workload
from tightrope.base.registry import find_offer
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import Blocks, split_demand, weekly_blocks
from tightrope.perf.find import find_profile, limit_batch
from tightrope.plan.bill import disk_usd_per_hour
from tightrope.plan.capacity import Capacity, CapacityTable
from tightrope.plan.problem import PoolOption, Problem, Quota, Window

RATE_STEP = 0.02
"""Planned rates are rounded up to steps of this size, so that hours alike are equal and solved once."""


@dataclass(frozen=True, slots=True)
class Sized:
    """One class, its demand cut to the part that sizing may see, and its week; rates in requests/s, float64[168].

    ``planned`` is the peak within each block, growth, surge and headroom included; ``expected`` the mean, growth included; ``work``
    the mean with everything that ``planned`` includes, for work that waits.
    """

    traffic_class: TrafficClass
    planned: FloatArray
    expected: FloatArray
    work: FloatArray
    note: str


def size_classes(workload: Workload, headroom: dict[str, float], lead_s: float) -> tuple[Sized, ...]:
    """Return every class's week from the part of the trace that may be seen: peak within each block, growth and surge on top."""
    sized = []
    for item in workload.classes:
        seen = split_demand(item.demand, workload.heldout_share).sizing
        blocks: Blocks = weekly_blocks(seen, lead_s)
        factor = (1.0 + item.growth) * (1.0 + item.surge) * headroom.get(item.name, 1.0)
        sized.append(
            Sized(
                traffic_class=replace(item, demand=seen),
                planned=_round_up(blocks.peak_rate_per_s * factor),
                expected=blocks.mean_rate_per_s * (1.0 + item.growth),
                work=blocks.mean_rate_per_s * factor,
                note=blocks.note,
            )
        )
    return tuple(sized)


def _round_up(rate_per_s: FloatArray) -> FloatArray:
    """Return rates rounded up to powers of 1 + ``RATE_STEP``; zero stays zero."""
    positive = rate_per_s > 0.0
    steps = np.ceil(np.log(np.where(positive, rate_per_s, 1.0)) / np.log1p(RATE_STEP) - 1e-9)
    return np.where(positive, (1.0 + RATE_STEP) ** steps, 0.0)


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
        if machine.cloud not in workload.where.regions:
            continue
        for variant in workload.variants:
            profile = find_profile(variant, machine)
            if isinstance(profile, Profile):
                answer = _deployment(variant, machine, limit_batch(profile, max_batch), table, sized)
            else:
                answer = Refusal(f"{variant.name} on {machine.name}", "; ".join(refusal.reason for refusal in profile))
            if isinstance(answer, Refusal):
                refusals.append(answer)
            else:
                found.append(answer)
    return found, refusals


def _deployment(
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


def build_problem(
    workload: Workload, book: PriceBook, table: CapacityTable, headroom: dict[str, float], max_batch: int = 0
) -> Problem:
    """Return the decision as arrays; raise ``InfeasibleError`` where a class has nothing at all that can serve it."""
    sized = size_classes(workload, headroom, lead_seconds(workload))
    deployments, refusals = find_deployments(workload, book, table, sized, max_batch)
    _check_served(sized, deployments, refusals)
    options, unsold = _options(workload, book, deployments)
    if not options:
        why = "\n".join(f"  {refusal.what}: {refusal.reason}" for refusal in unsold[:6])
        msg = f"offers: none of {', '.join(workload.purchase.offers)} runs a machine that could serve here\n{why}"
        raise InfeasibleError(msg, resolve="allow on-demand in purchase.offers, or another region or cloud in where")
    refusals += unsold
    kept, dominated = _drop_dominated(options, comparison_rules(workload, sized))
    return _arrays(workload, book, sized, kept, tuple(refusals + dominated))


def may_commit(workload: Workload) -> bool:
    """Return whether sizing sees a week or more of the longest trace: less is no ground to commit a year on."""
    longest = max(workload.classes, key=lambda item: item.demand.duration_s)
    seen = split_demand(longest.demand, workload.heldout_share).sizing
    return seen.duration_s >= HOURS_PER_WEEK * SECONDS_PER_HOUR - 1.0


def lead_seconds(workload: Workload) -> float:
    """Return how long a rise waits for new machines: the metric's lag, one look of the autoscaler and a machine's start."""
    return workload.scaling.metric_lag_s + workload.scaling.sync_s + workload.scaling.machine_start_s


def _check_served(sized: tuple[Sized, ...], deployments: list[Deployment], refusals: list[Refusal]) -> None:
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


def _options(
    workload: Workload, book: PriceBook, deployments: list[Deployment]
) -> tuple[list[tuple[Deployment, PoolOption]], list[Refusal]]:
    """Return a pool option per deployment, region and allowed pay-as-you-go offer, and what is not sold."""
    offers = [
        find_offer(name) for name in workload.purchase.offers if may_commit(workload) or find_offer(name).kind != "commitment"
    ]
    pay, plans = ([offer for offer in offers if offer.kind == kind] for kind in ("pay-as-you-go", "commitment"))
    options: list[tuple[Deployment, PoolOption]] = []
    refusals: list[Refusal] = []
    for deployment in deployments:
        for region in workload.where.regions.get(deployment.machine.cloud, ()):
            for offer in pay:
                terms = offer.terms(deployment.machine.name, region, book)
                if isinstance(terms, Refusal):
                    refusals.append(terms)
                    continue
                rates = [plan.terms(deployment.machine.name, region, book) for plan in plans if offer.name == "on-demand"]
                covered = [rate.usd_per_hour for rate in rates if isinstance(rate, OfferTerms)]
                option = PoolOption(
                    deployment.variant, deployment.machine, region, deployment.profile, terms, min([terms.usd_per_hour, *covered])
                )
                options.append((deployment, option))
    return options, sorted(set(refusals), key=lambda refusal: refusal.what)


@dataclass(frozen=True, slots=True)
class Rules:
    """What comparing options needs to know: families and types under a quota, planned weeks, classes where quality never binds."""

    limited: frozenset[str]
    planned_per_s: dict[str, FloatArray]
    any_quality: frozenset[str]


def comparison_rules(workload: Workload, sized: tuple[Sized, ...]) -> Rules:
    """Return the rules of one workload.

    Quality never binds for a class whose floor holds even when its worst variants answer all that they may.
    """
    any_quality = set()
    for item in sized:
        name, left, mean = item.traffic_class.name, 1.0, 0.0
        for variant in sorted(workload.variants, key=lambda variant: variant.quality):
            part = min(left, variant.serves.get(name, 0.0))
            mean, left = mean + part * variant.quality, left - part
        if left <= 1e-9 and mean >= item.traffic_class.quality_floor:
            any_quality.add(name)
    planned = {item.traffic_class.name: item.planned for item in sized}
    return Rules(frozenset(workload.where.quotas), planned, frozenset(any_quality))


def _drop_dominated(
    options: list[tuple[Deployment, PoolOption]], rules: Rules
) -> tuple[list[tuple[Deployment, PoolOption]], list[Refusal]]:
    """Drop an option that another of the same offer beats: no dearer, and it sustains as much. The first of equals stays."""
    kept: list[tuple[Deployment, PoolOption]] = []
    refusals: list[Refusal] = []
    for place, mine in enumerate(options):
        rivals = (rival for at, rival in enumerate(options) if at != place and _dominates(rival, mine, rules))
        better = next((rival for rival in rivals if options.index(rival) < place or not _dominates(mine, rival, rules)), None)
        if better is None:
            kept.append(mine)
        else:
            refusals.append(Refusal(mine[1].label, f"{better[1].label} serves as much for no more"))
    return kept, refusals


def _dominates(rival: tuple[Deployment, PoolOption], mine: tuple[Deployment, PoolOption], rules: Rules) -> bool:
    """Return whether copies of the rival's machine do everything that one of mine does, for no more."""
    (rival_deployment, other), (deployment, option) = rival, mine
    covers = _one_covers(rival, rules)
    copies = 1 if covers else -(-option.profile.replicas_per_machine // other.profile.replicas_per_machine)
    engines = copies * other.profile.replicas_per_machine / option.profile.replicas_per_machine
    return (
        other.terms.offer == option.terms.offer
        and other.terms.zones >= option.terms.zones
        and other.interruptible <= option.interruptible
        and _counts_no_more(other, option, copies, rules)
        and deployment.capacity.keys() <= rival_deployment.capacity.keys()
        and _may_replace(other.variant, option.variant, deployment.capacity, rules)
        and _no_dearer(other, option, copies)
        and (covers or all(_sustains(rival_deployment, deployment, name, engines, rules) for name in deployment.capacity))
    )


def _counts_no_more(other: PoolOption, option: PoolOption, copies: int, rules: Rules) -> bool:
    """Return whether ``copies`` of the other count no more towards any quota than one of mine does."""
    theirs, mine = (rules.limited & {one.machine.family, one.machine.name} for one in (other, option))
    return not theirs or (copies == 1 and theirs <= mine)


def _no_dearer(other: PoolOption, option: PoolOption, copies: int) -> bool:
    """Return whether ``copies`` of the other cost no more, on the offer and on the plan; at equal cost, interruptions decide.

    What a plan covers is beaten by what it covers too: a commitment is there in quiet hours as well, on-demand is paid.
    """
    price, plan = copies * other.terms.usd_per_hour, copies * other.plan_usd_per_hour
    covered, others = (one.plan_usd_per_hour < one.terms.usd_per_hour for one in (option, other))
    if price > option.terms.usd_per_hour or plan > option.plan_usd_per_hour or covered > others:
        return False
    return price < option.terms.usd_per_hour or other.terms.interruptions_per_hour <= option.terms.interruptions_per_hour


def _may_replace(other: ModelVariant, mine: ModelVariant, classes: dict[str, Capacity], rules: Rules) -> bool:
    """Return whether the other variant may answer in the place of mine, for every class that mine serves, beside its own share."""
    if other.name == mine.name:
        return True
    equal = all(other.serves.get(name, 0.0) >= 1.0 for name in classes)
    return equal and (other.quality >= mine.quality or classes.keys() <= rules.any_quality)


def _one_covers(option: tuple[Deployment, PoolOption], rules: Rules) -> bool:
    """Return whether one machine carries the whole peak of the only class it serves: a larger one is then of no more use."""
    deployment, pool = option
    if len(deployment.capacity) != 1:
        return False
    ((name, capacity),) = deployment.capacity.items()
    needed_per_s = float(rules.planned_per_s[name].max()) * pool.variant.serves[name]
    return capacity.single_per_s * pool.profile.replicas_per_machine >= needed_per_s


def _sustains(rival: Deployment, mine: Deployment, name: str, engines: float, rules: Rules) -> bool:
    """Return whether ``engines`` engines of the rival sustain as much of a class as one of mine, in every block and flat out."""
    theirs, own, planned = rival.capacity[name], mine.capacity[name], rules.planned_per_s[name]
    return engines * theirs.raw_per_s >= own.raw_per_s and bool((engines * theirs.at(planned) >= own.at(planned)).all())


def _arrays(
    workload: Workload,
    book: PriceBook,
    sized: tuple[Sized, ...],
    options: list[tuple[Deployment, PoolOption]],
    refusals: tuple[Refusal, ...],
) -> Problem:
    """Lay everything out."""
    interactive = [item for item in sized if item.traffic_class.deferral is None]
    deferrable = [item for item in sized if item.traffic_class.deferral is not None]
    variants = [variant.name for variant in workload.variants]
    disk = _disk_usd_per_hour(workload, book)
    rate = np.stack([item.planned for item in interactive]) if interactive else np.zeros((0, HOURS_PER_WEEK))
    own = np.array([option.terms.usd_per_hour for _, option in options])
    plan = np.array([option.plan_usd_per_hour for _, option in options])
    return Problem(
        options=tuple(option for _, option in options),
        interactive=tuple(item.traffic_class.name for item in interactive),
        deferrable=tuple(item.traffic_class.name for item in deferrable),
        rate=rate,
        mean_rate=np.stack([item.expected for item in interactive]) if interactive else rate,
        mu=_mu(interactive, options),
        work_per_s=_work_per_s(deferrable, options),
        share_cap=np.array(
            [[v.serves.get(item.traffic_class.name, 0.0) for v in workload.variants] for item in interactive]
        ).reshape(len(interactive), len(variants)),
        quality=np.array([variant.quality for variant in workload.variants]),
        quality_floor=np.array([item.traffic_class.quality_floor for item in interactive]),
        variant_of=np.array([variants.index(option.variant.name) for _, option in options]),
        usd_per_hour=own + disk,
        covered_usd_per_hour=np.where(plan < own, plan, np.inf),
        disk_usd_per_hour=disk,
        zones=np.array([option.terms.zones for _, option in options]),
        interruptible=np.array([option.interruptible for _, option in options]),
        windows=tuple(window for c, item in enumerate(deferrable) for window in _windows(c, item)),
        quotas=_quotas(workload, options),
        max_spot_share=workload.purchase.max_spot_share,
        spot_zone_loss_share=workload.purchase.spot_zone_loss_share,
        max_pools=workload.purchase.max_pools,
        refusals=refusals,
    )


def _disk_usd_per_hour(workload: Workload, book: PriceBook) -> float:
    """Return what a machine's root volume costs an hour: the dearest of the allowed regions, so that no plan is short."""
    pairs = [(cloud, region) for cloud, regions in workload.where.regions.items() for region in regions]
    return max(disk_usd_per_hour(book, *pair) for pair in pairs)


def _mu(interactive: list[Sized], options: list[tuple[Deployment, PoolOption]]) -> FloatArray:
    """Return requests/s of one machine per class, option and block, at the fleet size the block would need; float64[C, P, B]."""
    mu = np.zeros((len(interactive), len(options), HOURS_PER_WEEK))
    for c, item in enumerate(interactive):
        for p, (deployment, option) in enumerate(options):
            capacity = deployment.capacity.get(item.traffic_class.name)
            if capacity is not None:
                mu[c, p] = capacity.at(item.planned) * option.profile.replicas_per_machine
    return mu


def _work_per_s(deferrable: list[Sized], options: list[tuple[Deployment, PoolOption]]) -> FloatArray:
    """Return the deferrable throughput of one machine, float64[deferrable classes, P]."""
    rates = np.zeros((len(deferrable), len(options)))
    for c, item in enumerate(deferrable):
        for p, (deployment, option) in enumerate(options):
            capacity = deployment.capacity.get(item.traffic_class.name)
            rates[c, p] = capacity.raw_per_s * option.profile.replicas_per_machine if capacity else 0.0
    return rates


def _windows(index: int, item: Sized) -> list[Window]:
    """Return the week's windows of one deferrable class: what arrives within a day of each release is due by the next deadline."""
    deferral = item.traffic_class.deferral
    assert deferral is not None  # noqa: S101 - the caller chose deferrable classes
    first = int(np.ceil(deferral.release_h - 1e-9))
    span = int(deferral.release_h + deferral.window_h + 1e-9) - first
    if span < 1:
        msg = (
            f"deadline: the window of {item.traffic_class.name!r}, {deferral.window_h:g} h long, holds no whole hour to plan with"
        )
        raise InfeasibleError(msg, resolve=f"release traffic.{item.traffic_class.name} earlier or let it be done later")
    windows = []
    for day in range(HOURS_PER_WEEK // 24):
        hours = (24 * day + int(deferral.release_h) + np.arange(24)) % HOURS_PER_WEEK
        requests = float(item.work[hours].sum() * SECONDS_PER_HOUR)
        if requests > 0.0:
            windows.append(Window(index, (24 * day + first + np.arange(span)) % HOURS_PER_WEEK, requests))
    return windows


def _quotas(workload: Workload, options: list[tuple[Deployment, PoolOption]]) -> tuple[Quota, ...]:
    """Return the account's limits by machine family or type."""
    return tuple(
        Quota(name, np.array([name in (option.machine.family, option.machine.name) for _, option in options]), machines)
        for name, machines in workload.where.quotas.items()
    )
