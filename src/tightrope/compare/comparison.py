"""Our plan beside what people use: sized on the same traffic, replayed on the same held-out traffic, at the same prices."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.errors import InfeasibleError, build_unknown_name_error
from tightrope.base.plan import Evidence
from tightrope.base.records import FloatArray, IntArray, Workload
from tightrope.clouds.book import PriceBook
from tightrope.compare.demand_buckets import draft_buckets_mean, draft_buckets_peak
from tightrope.compare.hpa import draft_hpa
from tightrope.compare.lookback import describe_committed, draft_look_back
from tightrope.compare.peak import draft_peak
from tightrope.compare.peer_draft import HPA_TARGET, Draft, Setting, scheduled_usd
from tightrope.compare.single_type import draft_single_type
from tightrope.compare.spot_fallback import draft_spot_fallback
from tightrope.demand.blocks import DAY_S
from tightrope.plan.bill.replay_bill import ReplayUsage, month_usd
from tightrope.plan.bill.transfer_bill import TransferBill, around_as_ran_usd
from tightrope.plan.fleet.plan_fleet import Stretch, draw_traffic
from tightrope.plan.make import Progress, decide_plan
from tightrope.plan.problem.arrays import PoolOption, Problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cascade import asked_as
from tightrope.plan.problem.cost_lines import FIXED_DRIVERS, total_usd
from tightrope.plan.problem.network import Place
from tightrope.plan.prove.choices import take_choices
from tightrope.plan.prove.proof import Bench, Draw, choose_proof_stretch, gather_evidence, gather_surge_evidence, replay_seeds
from tightrope.plan.prove.tuning import MAX_ROUNDS, RAISE
from tightrope.replay.records import Outcome, Traffic

OURS = "tightrope"
OUR_WORDS = "every lever together"


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to decide."""

    name: str
    words: str
    draft: Callable[[Setting], Draft]
    raised: bool = True
    """Whether it is sized up, as our own plan is, until it keeps its promises: a second row beside the rule as it stands."""


PEERS = (
    Peer("peak", "one type for the peak, on demand, around the clock", draft_peak),
    Peer("hpa", "an autoscaler on one type, on demand", draft_hpa),
    Peer("single-type", "our schedules and offers on one type, without commitments", draft_single_type),
    Peer("buckets", "Mélange's fleet for sizes of requests at the mean rate, on demand", draft_buckets_mean, raised=False),
    Peer("buckets-at-peak", "the same at the peak", draft_buckets_peak),
    Peer("spot-fallback", "spot of one type and one more, on demand while it is missing, as SkyServe", draft_spot_fallback),
    Peer("look-back", "the autoscaler, with the commitment of its last 60 days", draft_look_back),
)
NAMES = (*(peer.name for peer in PEERS), OURS)


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What one pool of a plan runs: its fewest and most machines in any hour of the planned week."""

    least: int
    most: int
    machine: str
    region: str
    variant: str
    offer: str


@dataclass(frozen=True, slots=True)
class Row:
    """One plan beside the others; amounts are US dollars a month, egress and storage included, None where the rule has no plan."""

    plan: str
    words: str
    sized: float
    """Largest factor by which it is sized above what its rule says; our own plan finds its own."""
    pools: tuple[PoolUse, ...] = ()
    planned_usd_per_month: float | None = None
    replayed_usd_per_month: float | None = None
    """What really ran on the held-out traffic, at the scale of a month."""
    evidence: tuple[Evidence, ...] = ()
    breaks: str = ""
    """What the workload states beside its promises that the plan does not keep to."""
    note: str = ""
    around_usd_per_month: float | None = None
    """Part of what was planned that no machine costs: what is sent, what stands around the machines, storage."""

    @property
    def proven(self) -> bool:
        """Whether every promise was kept on the held-out traffic."""
        return bool(self.evidence) and all(item.verdict == "proven" for item in self.evidence)

    @property
    def meets_all(self) -> bool:
        """Whether it is a plan that may stand for ours: every promise kept, and all else that the workload states."""
        return self.proven and not self.breaks


@dataclass(frozen=True, slots=True)
class Comparison:
    """All plans of a workload, ours last."""

    workload: str
    window: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    schema_version: int = field(default=1, kw_only=True)

    @property
    def ours(self) -> Row | None:
        """Return our row, where it was asked for."""
        return next((row for row in self.rows if row.plan == OURS), None)

    @property
    def cheapest_peer(self) -> Row | None:
        """Return the peer that meets all and was cheapest as replayed; None where none meets all."""
        able = [row for row in self.rows if row.plan != OURS and row.meets_all and row.replayed_usd_per_month is not None]
        return min(able, key=lambda row: row.replayed_usd_per_month or 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        """Return our cost over the cheapest peer's, both as replayed; None where either does not meet all."""
        ours, peer = self.ours, self.cheapest_peer
        if ours is None or peer is None or not ours.meets_all or not peer.replayed_usd_per_month:
            return None
        return (ours.replayed_usd_per_month or 0.0) / peer.replayed_usd_per_month


@dataclass(slots=True)
class _Arena:
    """What stays the same for all plans: prices, capacities measured, traffic drawn, problems laid out."""

    stated: Workload
    bench: Bench
    """With the choices taken that are none of a fleet's: cascades and caches, the same for all."""
    hpa_target: float
    stretch: Stretch
    draw: Draw
    problems: Callable[[tuple[tuple[str, float], ...]], list[Problem]]


def compare_plans(
    workload: Workload,
    book: PriceBook,
    only: Iterable[str] = (),
    hpa_target: float = HPA_TARGET,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Return every plan's row, those named by ``only`` where it names any.

    Raises ``InputError`` for a name that there is not, and ``InfeasibleError`` where no plan whatever can serve the workload.
    """
    wanted = tuple(dict.fromkeys(only)) or NAMES
    for name in wanted:
        if name not in NAMES:
            raise build_unknown_name_error(name, kind="plan to compare with", known=NAMES)
    arena = _build_arena(workload, book, hpa_target)
    if not any(item.cascade for item in workload.classes):  # a cascade may serve where nothing does directly
        arena.problems(tuple((item.name, 1.0) for item in workload.classes))
    rows: list[Row] = []
    for peer in PEERS:
        if peer.name in wanted:
            rows += _build_rows(peer, arena, progress)
    if OURS in wanted:
        rows.append(_build_our_row(arena, lambda words: progress(f"{OURS}: {words}")))
    return Comparison(workload.name, arena.stretch.words, workload.seeds, tuple(rows))


def _build_arena(workload: Workload, book: PriceBook, hpa_target: float) -> _Arena:
    """Return what all plans share; peers may always pay on demand, as their rules do."""
    stated, table = workload, CapacityTable()
    try:
        workload, _ = take_choices(stated, book, table)
    except InfeasibleError:  # which is every plan's own to say
        workload = stated
    bench, stretch = Bench(workload, book, table), choose_proof_stretch(workload)
    offers = tuple(dict.fromkeys((ON_DEMAND, *workload.purchase.offers)))
    open_bench = Bench(replace(workload, purchase=replace(workload.purchase, offers=offers)), book, bench.table)
    drawn = {seed: draw_traffic(workload, stretch, seed) for seed in workload.seeds}

    def draw(_workload: Workload, _stretch: Stretch, seed: int) -> Traffic:
        """Return the traffic drawn before."""
        return drawn[seed]

    @cache
    def problems(headroom: tuple[tuple[str, float], ...]) -> list[Problem]:
        """Return every region's problem at a headroom, laid out once."""
        return open_bench.regions(dict(headroom))

    return _Arena(stated, bench, hpa_target, stretch, draw, problems)


def _build_rows(peer: Peer, arena: _Arena, progress: Progress) -> list[Row]:
    """Return the peer's row as its rule says, and where that misses a promise, the first of those sized up that keeps all.

    It is sized up as our own plan is: classes that miss, by the same factor, for as many rounds. Where none keeps all, the last stands.
    """
    headroom = {item.name: 1.0 for item in arena.bench.workload.classes}
    rows: list[Row] = []
    for number in range(MAX_ROUNDS if peer.raised else 1):
        words = f" ×{max(headroom.values()):.2f}" if number else ""
        progress(f"{peer.name}{words}")
        try:
            row = _judge_peer(peer, arena, headroom)
        except InfeasibleError as error:
            if not rows:
                rows.append(Row(peer.name, peer.words, 1.0, note=error.what.splitlines()[0]))
            break
        rows = [*rows[:1], row]
        if row.proven:
            break
        missed = {item.traffic_class for item in row.evidence if item.verdict != "proven"}
        raised = {item.name for item in arena.bench.workload.classes if asked_as(item) in missed}
        headroom = {name: value * (RAISE if name in raised else 1.0) for name, value in headroom.items()}
    return rows


def _judge_peer(peer: Peer, arena: _Arena, headroom: dict[str, float]) -> Row:
    """Return the row of the peer's cheapest plan in any region; raise ``InfeasibleError`` where it has none."""
    workload, book = arena.bench.workload, arena.bench.book
    drafts: list[tuple[float, Draft]] = []
    refused: list[InfeasibleError] = []
    for problem in arena.problems(tuple(headroom.items())):
        setting = Setting(workload, book, arena.bench.table, problem, headroom, arena.hpa_target)
        try:
            draft = peer.draft(setting)
        except InfeasibleError as error:
            refused.append(error)
            continue
        drafts.append((scheduled_usd(draft, book, problem.block_hours), draft))
    if not drafts:
        raise refused[0]
    planned_usd, draft = min(drafts, key=lambda item: item[0] + total_usd(item[1].around))
    outcomes = replay_seeds(draft.fleet, workload, arena.stretch, draw=arena.draw)
    evidence = gather_evidence(workload, draft.fleet, outcomes, arena.stretch)
    hours = np.mean([outcome.machine_hours for outcome in outcomes], axis=0)
    return Row(
        plan=peer.name,
        words=peer.words,
        sized=max(headroom.values(), default=1.0),
        pools=tuple(_count_in_use(option, machines) for option, machines in zip(draft.options, draft.machines, strict=True)),
        planned_usd_per_month=planned_usd + total_usd(draft.around),
        replayed_usd_per_month=month_usd(_measure_ran(draft, arena.stretch, hours, planned_usd), book)
        + _around_usd(draft, arena, outcomes),
        around_usd_per_month=total_usd(draft.around),
        evidence=evidence + gather_surge_evidence(workload, draft.fleet, arena.stretch),
        breaks=draft.breaks,
        note=draft.note,
    )


def _around_usd(draft: Draft, arena: _Arena, outcomes: list[Outcome]) -> float:
    """Return what did not depend on the machines, US dollars a month, as our own plan's is: what moved as it was answered."""
    length_s = arena.stretch.end_s - arena.stretch.start_s
    if length_s < DAY_S:
        return around_as_ran_usd(draft.around, None)
    places = tuple(Place(option.machine.cloud, option.region) for option in draft.options)
    names = tuple(item.name for item in draft.fleet.classes)
    answering = TransferBill(arena.bench.workload, names, places, frozenset(places), arena.bench.book)
    return around_as_ran_usd(draft.around, answering.in_month(outcomes, length_s))


def _measure_ran(draft: Draft, stretch: Stretch, machine_hours: np.ndarray, planned_usd: float) -> ReplayUsage:
    """Return what the replay ran, to be charged."""
    rate = np.array([option.terms.usd_per_hour for option in draft.options]) + draft.disk_usd_per_hour
    return ReplayUsage(
        lines=draft.lines,
        schedule=draft.machines,
        usd_per_hour=rate,
        machine_hours=machine_hours,
        start_s=stretch.start_s,
        duration_s=stretch.end_s - stretch.start_s,
        committed=draft.committed,
        disk_usd_per_hour=draft.disk_usd_per_hour,
        scheduled_usd_per_month=planned_usd,
    )


def _count_in_use(option: PoolOption, machines: FloatArray | IntArray) -> PoolUse:
    """Return what a pool of ``machines`` [B] runs; one that stands in for another has as many as may be missing."""
    least, most = int(np.floor(machines.min())), int(np.ceil(machines.max()))
    return PoolUse(least, most, option.machine.name, option.region, option.variant.name, option.terms.offer)


def _build_our_row(arena: _Arena, progress: Progress) -> Row:
    """Return our own plan's row."""
    bench = arena.bench
    try:
        found = decide_plan(arena.stated, bench.book, bench.table, progress)
    except InfeasibleError as error:
        return Row(OURS, OUR_WORDS, 1.0, note=error.what.splitlines()[0])
    solution = found.proof.solution
    return Row(
        plan=OURS,
        words=OUR_WORDS,
        sized=1.0,
        pools=tuple(_count_in_use(pool.option, solution.machines[pool.index]) for pool in found.pools),
        planned_usd_per_month=total_usd(found.lines),
        replayed_usd_per_month=found.replayed_usd_per_month,
        around_usd_per_month=total_usd(tuple(line for line in found.lines if not line.pool and line.driver in FIXED_DRIVERS)),
        evidence=found.proof.evidence,
        note=describe_committed(solution.committed),
    )
