"""The main job: workload and prices in, proven plan out."""

from collections.abc import Callable, Sized
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from tightrope.base.catalogue import ON_DEMAND, CommitmentRule, PriceRow, UnitPrice
from tightrope.base.plan import BillLine, Commitment, Node, Plan, Pool, RoutingRule
from tightrope.base.records import Workload
from tightrope.base.units import HOURS_PER_WEEK
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import DAY_S
from tightrope.offers.bill import used_shares
from tightrope.offers.commitment import upfront_usd
from tightrope.perf.profile_search import describe
from tightrope.plan.bill.plan_bill import measure_planned_usage, plan_lines, replay_usd
from tightrope.plan.bill.transfer_bill import TransferBill, around_as_ran_usd
from tightrope.plan.commit.decision import Decision
from tightrope.plan.commit.future_costs import break_evens, commit_on_futures, list_future_costs
from tightrope.plan.explain.baseline import build_baseline, build_whole_problem
from tightrope.plan.explain.explanation import explain
from tightrope.plan.explain.risk_warnings import find_warnings
from tightrope.plan.fleet.plan_fleet import OpenPool, find_heldout_stretch, open_pools
from tightrope.plan.plan_json import build_answer_cache, build_served_classes, build_serving, variant_shares
from tightrope.plan.problem.arrays import Infeasible, PoolOption, Problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.problem.demand_week import lead_seconds, size_classes
from tightrope.plan.problem.network import Place, around, find_tiers, items_of
from tightrope.plan.problem.placement import find_variants_by_place, get_place, plan_around, split_by_machines
from tightrope.plan.problem.response_cache import build_cache_lines
from tightrope.plan.problem.services.service_pools import describe_settings
from tightrope.plan.problem.sustained_use import apply_full_discount
from tightrope.plan.prove.choices import take_choices
from tightrope.plan.prove.drills import find_robustness
from tightrope.plan.prove.proof import Bench, Proof, prove
from tightrope.plan.prove.today import build_today_lines, today_evidence
from tightrope.plan.prove.tuning import tune
from tightrope.plan.solve.bound import find_lower_bound
from tightrope.plan.solve.decomposition import Solution
from tightrope.plan.solve.relaxation import relax

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PlanDecision:
    """What is planned, proven and billed, before anything of it is explained."""

    bench: Bench
    """With the choices taken that are none of the solver's."""
    rejected: tuple[Problem, ...]
    """Problems of the choices not taken."""
    proof: Proof
    whole: Problem
    """The decision in the plan's regions with every option that there is."""
    decision: Decision | None
    pools: tuple[OpenPool, ...]
    lines: tuple[BillLine, ...]
    unpriced: list[str]
    """Prices that are missing from the bill."""
    replayed_usd_per_month: float


def decide_plan(workload: Workload, book: PriceBook, table: CapacityTable, progress: Progress = lambda _: None) -> PlanDecision:
    """Return the cheapest plan found that the replay proves, with its bill; raise ``InfeasibleError`` where there is none."""
    chosen, rejected = take_choices(workload, book, table, progress)
    bench = Bench(chosen, book, table)
    proof = prove(bench, tune(bench, progress), progress)
    whole = build_whole_problem(bench, proof)
    solution, decision = commit_on_futures(chosen, proof.solution, whole)
    proof = replace(proof, solution=solution)
    pools = open_pools(solution)
    constant, unpriced = plan_around(chosen, book, proof.problem, solution.machines, solution.share, solution.work)
    constant += build_cache_lines(chosen, book, proof.problem)
    lines = plan_lines(solution, pools, book) + constant
    replayed_usd = replay_usd(solution, proof.fleet, pools, book, proof.stretch, proof.outcomes)
    replayed_usd += around_as_ran_usd(constant, _bill_moved(chosen, proof, pools, book))
    return PlanDecision(bench, rejected, proof, whole, decision, pools, lines, unpriced, replayed_usd)


def _bill_moved(workload: Workload, proof: Proof, pools: tuple[OpenPool, ...], book: PriceBook) -> tuple[BillLine, ...] | None:
    """Return what moves and stands around the machines in a month like the days that prove; None where they are less than one."""
    length_s = proof.stretch.end_s - proof.stretch.start_s
    if length_s < DAY_S:
        return None
    places = tuple(get_place(proof.problem, pool.index) for pool in pools)
    machines = frozenset(find_variants_by_place(proof.solution.problem, proof.solution.machines))
    names = tuple(item.name for item in proof.fleet.classes)
    return TransferBill(workload, names, places, machines, book).in_month(proof.outcomes, length_s)


def make_plan(
    workload: Workload,
    book: PriceBook,
    today: date,
    progress: Progress = lambda _: None,
    table: CapacityTable | None = None,
    *,
    full: bool = False,
) -> Plan:
    """Return the cheapest plan found that the replay proves, with its bound, evidence and explanation.

    ``today`` dates the warnings about old prices; ``table`` is what was measured already; ``full`` explains all that takes planning many
    times over. Raises ``InfeasibleError`` where no plan keeps the promises; a plan that is not proven is returned with that status.
    """
    stated, found = workload, decide_plan(workload, book, table or CapacityTable(), progress)
    bench, proof, pools, lines = found.bench, found.proof, found.pools, found.lines
    workload, solution, problem = bench.workload, proof.solution, proof.problem
    progress("today's fleet")
    now = build_today_lines(stated, book, bench.table)
    now_evidence = today_evidence(stated, book)
    progress("lower bound")
    bound = _find_bound(replace(proof, others=proof.others + found.rejected))
    cost, before = total_usd(lines), total_usd(now)
    ground = build_baseline(bench, proof, found.whole, cost - solution.usd_per_month)
    why = explain(ground, now, progress, full=full)
    replayed = found.replayed_usd_per_month
    rows = _list_priced_rows(workload, solution, pools, book)
    return Plan(
        workload=workload.name,
        horizon=_describe_horizon(stated),
        status="proven" if proof.proven else "not proven",
        monthly_cost_usd=cost,
        today_monthly_cost_usd=before,
        saving_fraction=1.0 - max(cost, replayed) / before if before > 0.0 else 0.0,
        lower_bound_monthly_usd=bound,
        gap_fraction=max(0.0, 1.0 - bound / cost) if cost > 0.0 else 0.0,
        cost_lines=lines,
        today_cost_lines=now,
        pools=tuple(_record_pool(proof, pool) for pool in pools),
        routing=_build_routing(solution, pools),
        commitments=_record_commitments(solution, pools, book),
        levers=why.levers,
        evidence=proof.evidence,
        robustness=find_robustness(workload, proof, pools, book),
        tuned=proof.tuned,
        replay_monthly_cost_usd=replayed,
        today_evidence=now_evidence,
        provenance=tuple(dict.fromkeys(describe(pool.option.profile) for pool in pools)),
        price_sources=book.sources(rows),
        binding=why.binding,
        sensitivities=why.sensitivities,
        refusals=problem.refusals,
        warnings=(*find_warnings(workload, proof, pools, rows, cost, replayed, today, now_evidence, book), *found.unpriced),
        classes=build_served_classes(workload, proof.fleet),
        variant_shares=variant_shares(proof.fleet),
        scaling=proof.fleet.scaling,
        cache=build_answer_cache(proof.fleet),
        cost_range=why.cost_range,
        alternatives=why.alternatives,
        break_evens=why.break_evens,
        futures=list_future_costs(workload, found.decision),
        explained=full,
        charts=_build_charts(workload, solution, pools, proof.headroom),
        disk_gb=workload.infrastructure.disk_gb,
        infrastructure=workload.infrastructure,
        regions=workload.where.regions,
        prices_as_of=book.as_of.isoformat() if book.as_of else "",
        egress_usd_per_gb=_egress_usd_per_gb(workload, {get_place(problem, pool.index) for pool in pools}, book),
        first_day=_find_first_day(stated),
    )


def _egress_usd_per_gb(workload: Workload, places: set[Place], book: PriceBook) -> dict[str, float]:
    """Return place → what a GB of answers costs that leaves for the internet there, where that is known."""
    moving = around(workload, book)
    found = {f"{place.cloud}/{place.region}": moving.egress_usd_per_gb(place) for place in sorted(places)}
    return {name: usd for name, usd in found.items() if usd is not None}


def _find_first_day(workload: Workload) -> str:
    """Return the day that block 0 begins, where the longest traffic is of the calendar."""
    first = max(workload.classes, key=lambda item: item.demand.duration_s).demand.first_day
    return first.isoformat() if first else ""


def _count_words(items: Sized, one: str, many: str) -> str:
    """Return how many there are, in words."""
    return f"{len(items)} {one if len(items) == 1 else many}"


def _describe_horizon(workload: Workload) -> str:
    """Say what was planned for, in a line: classes, variants, the trace and its parts, the regions allowed."""
    longest = max(workload.classes, key=lambda item: item.demand.duration_s)
    days, heldout = (longest.demand.duration_s / 86_400.0, find_heldout_stretch(workload))
    held = (heldout.end_s - heldout.start_s) / 86_400.0
    millions = sum(item.demand.requests for item in workload.classes) / 1e6
    requests = f"{millions:,.0f}" if millions >= 100.0 else f"{millions:.3g}"
    places = ", ".join(f"{cloud} {', '.join(regions)}" for cloud, regions in workload.where.regions.items())
    return (
        f"{_count_words(workload.classes, 'class', 'classes')} · {_count_words(workload.variants, 'variant', 'variants')} · "
        f"{days:.3g} days, "
        f"{requests} M requests, the last {held:.3g} held out · {places}"
    )


def _find_bound(proof: Proof) -> float:
    """Return what no plan of these promises can cost less than, in any allowed regions: US dollars a month.

    Regions whose relaxation alone costs more than the plan need no closer look.
    """
    bound = proof.solution.usd_per_month + proof.problem.constant_usd_per_month
    parts = (part for problem in (proof.problem, *proof.others) for part in split_by_machines(problem))
    for part, besides_usd in parts:
        problem = apply_full_discount(part)
        try:
            relaxation = relax(problem)
        except Infeasible:
            continue
        if relaxation.usd_per_month + besides_usd < bound:
            bound = min(bound, find_lower_bound(problem) + besides_usd)
    return bound


def _record_pool(proof: Proof, pool: OpenPool) -> Pool:
    """Return the pool as plan.json shows it."""
    option = pool.option
    place = next(at for at, item in enumerate(proof.fleet.pools) if item.name == pool.name)
    seen = proof.fleet.pools[place]
    batching, autoscaling = describe_settings(option, seen, proof.fleet.scaling)
    return Pool(
        name=pool.name,
        cloud=option.machine.cloud,
        region=option.region,
        zones=option.terms.zones,
        machine=option.machine.name,
        variant=option.variant.name,
        offer=option.terms.offer,
        min_replicas=int(seen.schedule.min()),
        max_replicas=max(seen.ceiling, int(seen.schedule.max())),
        schedule=tuple(int(count) for count in seen.schedule),
        batching=batching,
        autoscaling=autoscaling,
        serving=build_serving(proof.fleet, place),
        node=None if seen.metered else _record_node(option),
    )


def _record_node(option: PoolOption) -> Node:
    """Return what the pool's machine is, and what its hour costs."""
    machine = option.machine
    return Node(
        family=machine.family,
        vcpu=machine.vcpu,
        memory_gib=machine.memory_gib,
        arch=machine.arch,
        accelerator=machine.accelerator,
        accelerators=machine.accelerators,
        accelerator_memory_gib=machine.accelerator_memory_gib,
        usd_per_hour=option.terms.usd_per_hour,
    )


def _build_routing(solution: Solution, pools: tuple[OpenPool, ...]) -> tuple[RoutingRule, ...]:
    """Return who answers what: interactive shares weighted by demand, deferrable ones by work done."""
    problem = solution.problem
    rules: list[RoutingRule] = []
    for c, name in enumerate(problem.interactive):
        for pool in pools:
            by_block = solution.share[c, pool.index]
            mean = float(by_block @ problem.mean_rate[c]) / max(float(problem.mean_rate[c].sum()), 1e-12)
            if mean > 1e-9:
                rules.append(RoutingRule(name, pool.name, mean, tuple(by_block.tolist())))
    for d, name in enumerate(problem.deferrable):
        windows = [w for w, window in enumerate(problem.windows) if window.traffic_class == d]
        for pool in pools:
            done = solution.work[windows, pool.index].sum(axis=0) / max(len(windows), 1)
            if done.sum() > 1e-9:
                rules.append(RoutingRule(name, pool.name, float(done.sum()), tuple(done.tolist())))
    return tuple(rules)


def _record_commitments(solution: Solution, pools: tuple[OpenPool, ...], book: PriceBook) -> tuple[Commitment, ...]:
    """Return what to commit to, with the share of it that the schedule uses; what exists already stands apart."""
    committed = solution.committed
    shares = used_shares(measure_planned_usage(solution, pools), book, committed)
    covers = {(cover.cloud, cover.offer, cover.scope): cover for cover in solution.problem.covers}
    pays = {key: float(value) for key, value in zip(covers, break_evens(solution), strict=True) if np.isfinite(value)}
    found: list[Commitment] = []
    for item, share in zip(committed, shares, strict=True):
        cover, rule = covers[item.cloud, item.offer, item.scope], book.commitment(item.cloud, item.offer)
        made = min(item.usd_per_hour, cover.existing_usd_per_hour)
        found += [
            Commitment(
                offer=item.offer,
                cloud=item.cloud,
                scope=item.scope,
                usd_per_hour=usd,
                term_years=rule.term_years,
                payment=_describe_payment(rule),
                utilisation=share,
                existing=existing,
                upfront_usd=0.0 if existing else upfront_usd(book, replace(item, usd_per_hour=usd)),
                break_even=pays.get((item.cloud, item.offer, item.scope)),
            )
            for usd, existing in ((made, True), (item.usd_per_hour - made, False))
            if usd > 0.0
        ]
    return tuple(found)


def _describe_payment(rule: CommitmentRule) -> str:
    """Return how much of a commitment is paid at its start, in words."""
    return {0.0: "nothing upfront", 1.0: "all upfront"}.get(float(rule.upfront_share), f"{float(rule.upfront_share):.0%} upfront")


def _list_priced_rows(
    workload: Workload, solution: Solution, pools: tuple[OpenPool, ...], book: PriceBook
) -> tuple[PriceRow | UnitPrice, ...]:
    """Return every price that either bill rests on."""
    rows: list[PriceRow | UnitPrice] = [pool.option.terms.row for pool in pools]
    found = (book.find(stated.machine, stated.region, stated.offer) for stated in workload.today)
    rows += [row for row in found if row is not None]
    places = {(pool.option.machine.cloud, pool.option.region) for pool in pools} | {(s.cloud, s.region) for s in workload.today}
    rows += [
        book.unit_price(*place, item)
        for place in sorted(place for place in places if place[0] in book.clouds)
        for item in ("block-storage", "object-storage", *items_of(workload.infrastructure))
        if find_tiers(book, Place(*place), item)
    ]
    committed = {item.offer for item in solution.committed}
    for pool in pools:
        covered = (book.find(pool.option.machine.name, pool.option.region, offer) for offer in sorted(committed))
        rows += [row for row in covered if row is not None and pool.option.terms.offer == ON_DEMAND]
    return tuple(rows)


def _build_charts(
    workload: Workload, solution: Solution, pools: tuple[OpenPool, ...], headroom: dict[str, float]
) -> dict[str, list[float]]:
    """Return demand per class and capacity per pool in each block of the week, in requests/s of the mix routed to the pool.

    A pool counts for no more than its variant may answer, so that the stack shows what can be used.
    """
    problem = solution.problem
    charts = {
        f"demand:{item.traffic_class.name}": item.planned.tolist()
        for item in size_classes(workload, headroom, lead_seconds(workload))
        if item.traffic_class.deferral is None
    }
    for pool in pools:
        routed = (solution.share[:, pool.index] * problem.rate).sum(axis=0)
        load = np.divide(
            solution.share[:, pool.index] * problem.rate,
            problem.mu[:, pool.index],
            out=np.zeros_like(problem.rate),
            where=problem.mu[:, pool.index] > 0.0,
        ).sum(axis=0)
        per_machine = np.divide(routed, load, out=np.zeros(HOURS_PER_WEEK), where=load > 0.0)
        most = (problem.share_cap[:, problem.variant_of[pool.index], None] * problem.rate).sum(axis=0)
        has = routed if problem.metered[pool.index] else per_machine * solution.machines[pool.index]
        charts[f"capacity:{pool.name}"] = np.minimum(has, most).tolist()
    return charts
