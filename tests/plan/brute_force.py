"""A second road to the decision: tiny problems made by hand, solved by trying everything, and a checker of every promise.

It shares the records of ``plan.problem`` with the planner and nothing else but HiGHS's thin layer, for the few linear programs that
say whether shares exist at all. Formulas are written again from ``constraints.FAMILIES``.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np
from hypothesis import strategies as st

from tightrope.base.catalogue import MachineType, PriceRow
from tightrope.base.plan import OfferTerms
from tightrope.base.records import FloatArray, IntArray, ModelVariant, Profile, Provenance, RequestEngine
from tightrope.offers.compute_savings_plan import NAME as PLAN
from tightrope.plan.model import Model
from tightrope.plan.problem import PoolOption, Problem, Quota, Window
from tightrope.plan.solve import Solution

DAY = date(2026, 1, 1)
DISK_USD_PER_HOUR = 0.01
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Sold:
    """One option by hand: machine ``name``, US dollars an hour (plan None: not covered), requests/s per class, work/s."""

    name: str
    usd: str
    mu: tuple[float, ...] = ()
    plan: str | None = None
    spot: bool = False
    zones: int = 3
    variant: int = 0
    work: float = 0.0
    replicas: int = 1

    @property
    def offer(self) -> str:
        """The offer it runs under."""
        return "spot" if self.spot else "on-demand"


def price_row(sold: Sold, offer: str, usd: str) -> PriceRow:
    """Return a price as a catalogue would hold it."""
    return PriceRow("aws", "r", sold.name, offer, Decimal(usd), sold.zones, 0.2 if sold.spot else None, "list", "by hand", DAY)


class HandPrices:
    """``contracts.Prices`` of a problem made by hand."""

    def __init__(self, sold: tuple[Sold, ...]) -> None:
        self.rows = {(one.name, one.offer): price_row(one, one.offer, one.usd) for one in sold}
        self.rows |= {(one.name, PLAN): price_row(one, PLAN, one.plan) for one in sold if one.plan}

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:  # noqa: ARG002 - one region
        """Return the row."""
        return self.rows.get((machine, offer))


def pool_option(sold: Sold, variant: ModelVariant) -> PoolOption:
    """Return the option that a workload would have given."""
    machine = MachineType("aws", sold.name, sold.name.partition(".")[0], 2, 4.0, "amd64", "", 0, 0.0, "by hand", DAY)
    engine = RequestEngine((1.0,), 0.0)
    profile = Profile(variant.name, sold.name, engine, sold.replicas, Provenance("measured", "by hand", 0.25))
    hazard = 0.001 if sold.spot else 0.0
    terms = OfferTerms(sold.offer, sold.name, "r", float(sold.usd), hazard, sold.zones, price_row(sold, sold.offer, sold.usd))
    return PoolOption(variant, machine, "r", profile, terms, float(sold.plan or sold.usd))


@dataclass(frozen=True)
class Case:
    """A problem by hand: rates per class and block, what is sold, and the limits; shapes as in ``Problem``."""

    sold: tuple[Sold, ...]
    rate: tuple[tuple[float, ...], ...]
    share_cap: tuple[tuple[float, ...], ...] = ()
    quality: tuple[float, ...] = (1.0,)
    quality_floor: tuple[float, ...] = ()
    windows: tuple[tuple[tuple[int, ...], float], ...] = ()
    """(blocks, requests) each, all of one deferrable class."""
    quotas: dict[str, int] = field(default_factory=dict)
    max_spot_share: float = 1.0
    spot_zone_loss_share: float = 0.0
    max_pools: int = 9

    @property
    def prices(self) -> HandPrices:
        """The prices of what is sold."""
        return HandPrices(self.sold)

    @property
    def problem(self) -> Problem:
        """The arrays."""
        rate = np.array(self.rate, dtype=np.float64)
        classes, blocks = rate.shape
        variants = [
            ModelVariant(f"model/v{v}", "model", "request", "int8", quality, 0.0, {}) for v, quality in enumerate(self.quality)
        ]
        mu = np.array([[one.mu[c] for one in self.sold] for c in range(classes)]).reshape(classes, len(self.sold))
        return Problem(
            options=tuple(pool_option(one, variants[one.variant]) for one in self.sold),
            interactive=tuple(f"class-{c}" for c in range(classes)),
            deferrable=("night",) if self.windows else (),
            rate=rate,
            mean_rate=rate,
            mu=np.repeat(mu[:, :, None], blocks, axis=2),
            work_per_s=np.array([[one.work for one in self.sold]] if self.windows else np.zeros((0, len(self.sold)))),
            share_cap=np.array(self.share_cap or np.ones((classes, len(variants)))),
            quality=np.array(self.quality),
            quality_floor=np.array(self.quality_floor or (0.0,) * classes),
            variant_of=np.array([one.variant for one in self.sold]),
            usd_per_hour=np.array([float(one.usd) for one in self.sold]) + DISK_USD_PER_HOUR,
            covered_usd_per_hour=np.array([float(one.plan) if one.plan else np.inf for one in self.sold]),
            disk_usd_per_hour=DISK_USD_PER_HOUR,
            zones=np.array([one.zones for one in self.sold]),
            interruptible=np.array([one.spot for one in self.sold]),
            windows=tuple(Window(0, np.array(blocks), requests) for blocks, requests in self.windows),
            quotas=tuple(
                Quota(name, np.array([name in {one.name, one.name.partition(".")[0]} for one in self.sold]), most)
                for name, most in self.quotas.items()
            ),
            max_spot_share=self.max_spot_share,
            spot_zone_loss_share=self.spot_zone_loss_share,
            max_pools=self.max_pools,
            refusals=(),
        )


# ---------------------------------------------------------------------------------------------------------- trying everything


def spare_zone(problem: Problem, p: int, machines: int) -> float:
    """Return the machines of an option that its largest zone leaves behind when it goes."""
    return machines - -(-machines // max(int(problem.zones[p]), 1)) if problem.interruptible[p] else np.inf


def interactive_room(problem: Problem, p: int, machines: int) -> float:
    """Return the machines that interactive load may keep busy: those there are, and what a lost zone leaves."""
    if problem.spot_zone_loss_share <= 0.0:
        return float(machines)
    return min(float(machines), spare_zone(problem, p, machines) / problem.spot_zone_loss_share)


def within_quotas(problem: Problem, machines: IntArray) -> bool:
    """Return whether the account may run int64[P] machines."""
    return all(int(machines[quota.mask].sum()) <= quota.machines for quota in problem.quotas)


def may_serve(problem: Problem, block: int, machines: IntArray) -> bool:
    """Return whether shares exist with which int64[P] machines serve the block."""
    if not within_quotas(problem, machines):
        return False
    if len(problem.interactive) == 1 and len(problem.quality) == 1:
        return greedy_serves(problem, block, machines)
    return linear_serves(problem, block, machines)


def greedy_serves(problem: Problem, block: int, machines: IntArray) -> bool:
    """Decide one class of one variant without a solver: fill what can not be taken away, then spot up to its share."""
    if problem.rate[0, block] == 0.0:
        return True
    if problem.quality[0] < problem.quality_floor[0]:
        return False
    fixed = spot = 0.0
    for p in range(len(problem.options)):
        part = interactive_room(problem, p, int(machines[p])) * problem.mu[0, p, block] / problem.rate[0, block]
        if problem.interruptible[p]:
            spot += part
        else:
            fixed += part
    return min(problem.share_cap[0, 0], fixed + min(spot, problem.max_spot_share)) >= 1.0 - 1e-9


def linear_serves(problem: Problem, block: int, machines: IntArray) -> bool:
    """Decide several classes and variants by one small linear program in the shares f[c, p]."""
    model, infinity = Model(), np.inf
    count, active = len(problem.options), [c for c in range(len(problem.interactive)) if problem.rate[c, block] > 0.0]
    columns = {c: model.add_columns(np.zeros(count), (problem.mu[c, :, block] > 0.0).astype(float)) for c in active}
    for c, share in columns.items():
        model.add_row("", share, np.ones(count), 1.0, 1.0)
        model.add_row("", share, problem.quality[problem.variant_of], problem.quality_floor[c], infinity)
        model.add_row("", share, problem.interruptible.astype(float), -infinity, problem.max_spot_share)
        for v in range(len(problem.quality)):
            model.add_row("", share, (problem.variant_of == v).astype(float), -infinity, float(problem.share_cap[c, v]))
    for p in range(count):
        loads = [problem.rate[c, block] / problem.mu[c, p, block] if problem.mu[c, p, block] > 0.0 else 0.0 for c in active]
        indices = np.array([columns[c][p] for c in active], dtype=np.int64)
        model.add_row("", indices, np.array(loads), -infinity, interactive_room(problem, p, int(machines[p])))
    return not active or model.solve(relaxed=True).status == "optimal"


def candidates(problem: Problem, block: int, most: int) -> IntArray:
    """Return every vector of up to ``most`` machines an option that serves the block, int64[vectors, P]."""
    vectors = (np.array(v) for v in itertools.product(range(most + 1), repeat=len(problem.options)))
    return np.array([v for v in vectors if may_serve(problem, block, v)], dtype=np.int64).reshape(-1, len(problem.options))


def cover_orders(problem: Problem) -> Iterator[tuple[int, ...]]:
    """Yield every order in which a plan could cover the options: the best of them is the best there is."""
    return itertools.permutations(np.flatnonzero(np.isfinite(problem.covered_usd_per_hour)).tolist())


def hourly_usd(problem: Problem, vectors: IntArray, commitment_usd_per_hour: float) -> FloatArray:
    """Return what vectors of machines cost an hour beside the commitment, covered as well as can be, float64[vectors]."""
    on_demand = problem.usd_per_hour - problem.disk_usd_per_hour
    best = np.zeros(len(vectors))
    for order in cover_orders(problem):
        left, saved = np.full(len(vectors), commitment_usd_per_hour), np.zeros(len(vectors))
        for p in order:
            spent = np.minimum(left, vectors[:, p] * problem.covered_usd_per_hour[p])
            left, saved = left - spent, saved + spent / problem.covered_usd_per_hour[p] * on_demand[p]
        best = np.maximum(best, saved)
    return vectors @ problem.usd_per_hour - best


def kinks(problem: Problem, vectors: IntArray) -> FloatArray:
    """Return every commitment at which some vector's cost changes slope, 0 included: the cheapest commitment is one of them."""
    found = {0.0}
    for order in cover_orders(problem):
        sums = np.cumsum(vectors[:, list(order)] * problem.covered_usd_per_hour[list(order)], axis=1)
        found |= set(np.unique(sums.round(9)).tolist())
    return np.array(sorted(found))


def cheapest_hour_usd(problem: Problem, block: int, commitment_usd_per_hour: float, most: int = 4) -> float:
    """Return the cheapest cost of one block, US dollars an hour; infinite where ``most`` machines an option do not serve it."""
    return float(hourly_usd(problem, candidates(problem, block, most), commitment_usd_per_hour).min(initial=np.inf))


def cheapest_month_usd(problem: Problem, most: int = 4) -> float:
    """Return the cheapest month over all machines in all blocks and all commitments (no deferrable work), exactly."""
    vectors = [candidates(problem, block, most) for block in range(problem.blocks)]
    if any(len(found) == 0 for found in vectors):
        return np.inf
    hours = problem.block_hours
    totals = [
        commitment * hours.sum() + sum(hours[b] * hourly_usd(problem, found, commitment).min() for b, found in enumerate(vectors))
        for commitment in kinks(problem, np.concatenate(vectors))
    ]
    return float(min(totals))


def cheapest_with_work_usd(problem: Problem, most: int) -> float:
    """Return the cheapest month with one option and one class (perhaps of no traffic) and windows of work, without commitments.

    With a single option, work fits where the idle machine-hours of each set of windows' blocks hold it (Hall's condition).
    """
    (mu,), (work,) = problem.mu[:, 0, :], problem.work_per_s[:, 0]
    load = problem.rate[0] / mu
    need = [window.requests / (3600.0 * work) for window in problem.windows]
    costs = []
    for machines in itertools.product(range(most + 1), repeat=problem.blocks):
        if all(n >= busy - 1e-9 and within_quotas(problem, np.array([n])) for n, busy in zip(machines, load, strict=True)):
            free = np.array(machines) - load
            sets = itertools.chain.from_iterable(
                itertools.combinations(range(len(need)), size) for size in range(1, len(need) + 1)
            )
            unions = [(s, sorted({int(b) for w in s for b in problem.windows[w].blocks})) for s in sets]
            if all(sum(need[w] for w in s) <= free[blocks].sum() + 1e-9 for s, blocks in unions):
                costs.append(float(problem.usd_per_hour[0] * np.array(machines) @ problem.block_hours))
    return min(costs, default=np.inf)


# -------------------------------------------------------------------------------------------------------- checking a solution


def violations(solution: Solution) -> dict[str, float]:
    """Return constraint family → by how much the solution breaks it at worst; each formula as ``FAMILIES`` writes it."""
    problem, n, f, g = solution.problem, solution.machines, solution.share, solution.work
    serves, active = problem.mu > 0.0, problem.rate > 0.0
    load = np.where(serves, problem.rate[:, None, :] / np.where(serves, problem.mu, 1.0), 0.0)
    need = np.zeros((len(problem.windows), len(problem.options)))
    for w, window in enumerate(problem.windows):
        for p, per_s in enumerate(problem.work_per_s[window.traffic_class]):
            need[w, p] = window.requests / (3600.0 * per_s) if per_s > 0.0 else (np.inf if g[w, p].any() else 0.0)
    interactive = (f * load).sum(axis=0)
    done = np.array([g[w][:, np.unique(window.blocks)].sum() for w, window in enumerate(problem.windows)])
    spot = problem.interruptible
    left = np.array([[spare_zone(problem, p, int(k)) for k in row] for p, row in enumerate(n)])
    by_variant = np.stack([f[:, problem.variant_of == v].sum(axis=1) for v in range(len(problem.quality))], axis=1)
    quality = (f * problem.quality[problem.variant_of][None, :, None]).sum(axis=1)
    broken = {
        "demand": np.abs(f.sum(axis=1) - 1.0)[active],
        "capacity": interactive + np.einsum("wpb,wp->pb", g, need) - n,
        "routing-share": by_variant - problem.share_cap[:, :, None],
        "quality-floor": (problem.quality_floor[:, None] - quality)[active],
        "spot-share": f[:, spot].sum(axis=1) - problem.max_spot_share,
        "spot-zone-loss": np.where(spot[:, None], problem.spot_zone_loss_share * interactive - left, 0.0),
        "quota": np.array([n[quota.mask].sum(axis=0).max(initial=0) - quota.machines for quota in problem.quotas]),
        "commitment": np.array([-solution.commitment_usd_per_hour]),
        "deadline": np.abs(done - 1.0),
        "max_pools": np.array([int(n.any(axis=1).sum()) - problem.max_pools]),
        "serves": np.where(serves, 0.0, f),
    }
    return {name: float(np.max(by, initial=0.0)) for name, by in broken.items()}


def month_usd(solution: Solution) -> float:
    """Return what a solution costs a month, covered as well as can be."""
    problem, commitment = solution.problem, solution.commitment_usd_per_hour
    hourly = hourly_usd(problem, solution.machines.T, commitment)
    return float((hourly + commitment) @ problem.block_hours)


# ------------------------------------------------------------------------------------------------------------ random problems


@st.composite
def cases(draw: st.DrawFn, *, classes: int = 2, options: int = 3, blocks: int = 4) -> Case:
    """Draw tiny problems with every kind of limit; figures are coarse, so that ties and exact fits happen."""
    variants = draw(st.integers(1, 2))
    count, served = draw(st.integers(1, options)), draw(st.integers(1, classes))
    cents = st.integers(10, 60)
    sold = []
    for p in range(count):
        usd = draw(cents)
        spot = draw(st.booleans())
        plan = None if spot or draw(st.booleans()) else f"0.{draw(st.integers(5, usd - 1)):02d}"
        mu = tuple(draw(st.sampled_from([1.0, 2.0, 2.5, 4.0, 0.0])) for _ in range(served))
        zones, variant = draw(st.integers(1, 4)), draw(st.integers(0, variants - 1))
        sold.append(Sold(f"m{p % 2}.{p}", f"0.{usd:02d}", mu, plan, spot, zones, variant))
    rates = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])
    per_class = draw(st.integers(1, blocks))
    return Case(
        sold=tuple(sold),
        rate=tuple(tuple(draw(rates) for _ in range(per_class)) for _ in range(served)),
        share_cap=tuple(tuple(draw(st.sampled_from([1.0, 1.0, 0.5])) for _ in range(variants)) for _ in range(served)),
        quality=tuple(draw(st.sampled_from([1.0, 0.9])) for _ in range(variants)),
        quality_floor=tuple(draw(st.sampled_from([0.0, 0.95])) for _ in range(served)),
        quotas=draw(st.sampled_from([{}, {"m0": 2}, {"m0.0": 1, "m1": 3}])),
        max_spot_share=draw(st.sampled_from([1.0, 0.5, 0.0])),
        spot_zone_loss_share=draw(st.sampled_from([0.0, 0.7, 1.0])),
        max_pools=draw(st.integers(1, 3)),
    )
