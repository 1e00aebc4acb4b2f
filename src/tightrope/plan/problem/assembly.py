"""From a workload and a price book to a ``Problem``: what may run where, and every way in which it may be paid."""

from dataclasses import replace

import numpy as np

from tightrope.base.catalogue import OWNED
from tightrope.base.contracts import Offer
from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.records import FloatArray, Workload
from tightrope.base.registry import find_offer
from tightrope.base.units import HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import PoolOption, Problem, Quota, WorkWindow
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.commitment_options import find_covers
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.problem.demand_week import ClassDemand, lead_seconds, size_classes
from tightrope.plan.problem.deployments import Deployment, check_served, find_deployments
from tightrope.plan.problem.distance import group_by_distance
from tightrope.plan.problem.dominance import drop_dominated
from tightrope.plan.problem.placement import add_traffic_costs
from tightrope.plan.problem.response_cache import build_cache_lines
from tightrope.plan.problem.services.functions import find_functions
from tightrope.plan.problem.services.metered_costs import apply_limits, beside_usd_per_hour, is_metered, request_usd
from tightrope.plan.problem.services.owned_machines import find_own, hold_own
from tightrope.plan.problem.services.service_options import OF_SERVICES
from tightrope.plan.problem.services.token_apis import find_apis


def build_problem(
    workload: Workload,
    book: PriceBook,
    table: CapacityTable,
    headroom: dict[str, float],
    max_batch: int = 0,
    *,
    whole: bool = False,
) -> Problem:
    """Return the decision as arrays, without what is never needed; raise ``InfeasibleError`` where nothing can serve a class.

    ``whole`` keeps what is never needed at these prices.
    """
    sized = size_classes(workload, headroom, lead_seconds(workload))
    deployments: list[Deployment] = []
    options: list[tuple[Deployment, PoolOption]] = []
    refusals: list[Refusal] = []
    unsold: list[Refusal] = []
    for near, seen, refused in group_by_distance(workload, sized):
        found, without = find_deployments(near, book, table, seen, max_batch)
        sold, not_sold = _find_options(near, book, found)
        served = find_functions(near, book, table, seen) + find_own(near, book, found)
        deployments += [*found, *(deployment for deployment, _ in served.options)]
        options, unsold = options + sold + list(served.options), unsold + not_sold + list(served.refusals)
        refusals += [item for item in (*refused, *without) if item not in refusals]
    apis = find_apis(workload, book, sized)
    deployments += [deployment for deployment, _ in apis.options]
    options, unsold = options + list(apis.options), unsold + list(apis.refusals)
    check_served(workload, book, table, sized, deployments, refusals + unsold)
    if not options:
        why = "".join(f"\n  {refusal.what}: {refusal.reason}" for refusal in unsold[:6])
        why = why or "\n  commitments cover machines that run on demand"
        msg = f"offers: none of {', '.join(workload.purchase.offers)} runs a machine that could serve here{why}"
        raise InfeasibleError(msg, resolve="allow on-demand in purchase.offers, or another region or cloud in where")
    problem = add_traffic_costs(_build_arrays(workload, book, sized, options, tuple(refusals + unsold)), workload, book)
    cache_usd = total_usd(build_cache_lines(workload, book, problem))
    problem = replace(problem, constant_usd_per_month=problem.constant_usd_per_month + cache_usd)
    return problem if whole else drop_dominated(problem)


def find_pay_as_you_go_offers(workload: Workload) -> list[Offer]:
    """Return the allowed offers that rented machines may run under."""
    allowed = (find_offer(name) for name in workload.purchase.offers if name not in OF_SERVICES)
    return [offer for offer in allowed if offer.kind == "pay-as-you-go"]


def _find_options(
    workload: Workload, book: PriceBook, deployments: list[Deployment]
) -> tuple[list[tuple[Deployment, PoolOption]], list[Refusal]]:
    """Return a pool option per deployment, region and allowed pay-as-you-go offer, and what is not sold."""
    options: list[tuple[Deployment, PoolOption]] = []
    refusals: list[Refusal] = []
    wanted = workload.purchase.min_spot_zones if workload.purchase.min_spot_zones > 1 else 0
    for deployment in deployments:
        machine = deployment.machine
        for region in workload.where.regions.get(machine.cloud, ()) if machine.cloud != OWNED else ():
            for offer in find_pay_as_you_go_offers(workload):
                terms = offer.terms(machine.name, region, book)
                if isinstance(terms, OfferTerms) and terms.interruptions_per_hour > 0.0 and terms.zones < wanted:
                    terms = Refusal(
                        f"{machine.name} {region} {offer.name}",
                        f"it is sold in {max(terms.zones, 1)} of the {wanted} zones of purchase.min_spot_zones",
                    )
                if isinstance(terms, Refusal):
                    refusals.append(terms)
                else:
                    options.append((deployment, PoolOption(deployment.variant, machine, region, deployment.profile, terms)))
    return options, sorted(set(refusals), key=lambda refusal: refusal.what)


def _build_arrays(
    workload: Workload,
    book: PriceBook,
    sized: tuple[ClassDemand, ...],
    options: list[tuple[Deployment, PoolOption]],
    refusals: tuple[Refusal, ...],
) -> Problem:
    """Lay everything out."""
    interactive = [item for item in sized if item.traffic_class.deferral is None]
    deferrable = [item for item in sized if item.traffic_class.deferral is not None]
    variants = [variant.name for variant in workload.variants]
    pools = tuple(option for _, option in options)
    disk = np.array([beside_usd_per_hour(book, option, workload.infrastructure.disk_gb) for option in pools])
    covers, without = find_covers(workload, book, pools)
    own = hold_own(workload, book, pools)
    interactive_names, deferrable_names = (
        tuple(item.traffic_class.name for item in items) for items in (interactive, deferrable)
    )
    rate = np.stack([item.planned for item in interactive]) if interactive else np.zeros((0, HOURS_PER_WEEK))
    return Problem(
        options=pools,
        interactive=interactive_names,
        deferrable=deferrable_names,
        rate=rate,
        mean_rate=np.stack([item.expected for item in interactive]) if interactive else rate,
        mu=apply_limits(_measure_mu(interactive, options), workload, interactive, pools),
        work_per_s=_measure_work_per_s(deferrable, options),
        share_cap=np.array(
            [[v.serves.get(item.traffic_class.name, 0.0) for v in workload.variants] for item in interactive]
        ).reshape(len(interactive), len(variants)),
        quality=np.array([variant.quality for variant in workload.variants]),
        quality_floor=np.array([item.traffic_class.quality_floor for item in interactive]),
        variant_of=np.array([variants.index(option.variant.name) for _, option in options]),
        usd_per_hour=np.array([option.terms.usd_per_hour for option in pools]) + disk,
        disk_usd_per_hour=disk,
        usd_per_request=request_usd(interactive_names, pools),
        usd_per_work=request_usd(deferrable_names, pools),
        metered=is_metered(pools),
        only_covered=np.array([option.terms.offer == OWNED for option in pools], dtype=bool),
        covers=covers + own.covers,
        block_hours=np.full(HOURS_PER_WEEK, HOURS_PER_MONTH / HOURS_PER_WEEK),
        zones=np.array([option.terms.zones for _, option in options]),
        interruptible=np.array([option.interruptible for _, option in options]),
        windows=tuple(window for c, item in enumerate(deferrable) for window in _build_windows(c, item)),
        quotas=_build_quotas(workload, options) + own.quotas,
        max_spot_share=workload.purchase.max_spot_share,
        spot_zone_loss_share=workload.purchase.spot_zone_loss_share,
        max_pools=workload.purchase.max_pools,
        pool_worth=workload.purchase.pool_worth,
        refusals=refusals + without,
        zone_loss_share=workload.purchase.zone_loss_share,
        n_plus_one_share=workload.purchase.n_plus_one_share,
    )


def _measure_mu(interactive: list[ClassDemand], options: list[tuple[Deployment, PoolOption]]) -> FloatArray:
    """Return requests/s of one machine per class, option and block, at the fleet size the block would need; float64[C, P, B]."""
    mu = np.zeros((len(interactive), len(options), HOURS_PER_WEEK))
    for c, item in enumerate(interactive):
        for p, (deployment, option) in enumerate(options):
            capacity = deployment.capacity.get(item.traffic_class.name)
            if capacity is not None:
                mu[c, p] = capacity.at(item.planned) * option.profile.replicas_per_machine
    return mu


def _measure_work_per_s(deferrable: list[ClassDemand], options: list[tuple[Deployment, PoolOption]]) -> FloatArray:
    """Return the deferrable throughput of one machine, float64[deferrable classes, P]."""
    rates = np.zeros((len(deferrable), len(options)))
    for c, item in enumerate(deferrable):
        for p, (deployment, option) in enumerate(options):
            capacity = deployment.capacity.get(item.traffic_class.name)
            rates[c, p] = capacity.raw_per_s * option.profile.replicas_per_machine if capacity else 0.0
    return rates


def _build_windows(index: int, item: ClassDemand) -> list[WorkWindow]:
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
            windows.append(WorkWindow(index, (24 * day + first + np.arange(span)) % HOURS_PER_WEEK, requests))
    return windows


def _build_quotas(workload: Workload, options: list[tuple[Deployment, PoolOption]]) -> tuple[Quota, ...]:
    """Return the account's limits by machine family or type."""
    return tuple(
        Quota(name, np.array([name in (option.machine.family, option.machine.name) for _, option in options]), machines)
        for name, machines in workload.where.quotas.items()
    )
