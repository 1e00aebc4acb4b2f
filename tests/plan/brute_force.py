"""A second road to the decision: tiny problems made by hand, solved by trying everything, and a checker of every promise.

It shares the records of ``plan.problem`` with the planner and nothing else but HiGHS's thin layer, for the few linear programs that
say whether shares exist at all. Formulas are written again from ``constraints.FAMILIES``.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np
from hypothesis import strategies as st

from tightrope.base.catalogue import CommitmentRule, MachineType, PriceRow
from tightrope.base.plan import OfferTerms
from tightrope.base.records import FloatArray, IntArray, ModelVariant, Profile, Provenance, RequestEngine
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.plan.problem.arrays import CommitmentOption, PoolOption, Problem, Quota, WorkWindow
from tightrope.plan.solve.decomposition import Solution
from tightrope.plan.solve.linear_model import LinearModel

DAY = date(2026, 1, 1)
DISK_USD_PER_HOUR = 0.01
TOLERANCE = 1e-6
RESERVED, FAMILY_PLAN, PLAN = (f"{name}-1y-no-upfront" for name in ("reserved", "instance-savings-plan", "compute-savings-plan"))
RULES = {
    offer: CommitmentRule(
        "aws", offer, scope, 1, Decimal(0), order, "*" if scope == "machine" else "", "", "fixed", "by hand", DAY
    )
    for offer, scope, order in ((RESERVED, "machine", 1), (FAMILY_PLAN, "family", 2), (PLAN, "any", 3))
}
"""What can be committed to by hand: whole machines of one type, a family, everything; applied in this order, as AWS does."""


@dataclass(frozen=True)
class Sold:
    """One option by hand: machine ``name``, US dollars an hour, requests/s per class, work/s.

    ``plan``, ``family_plan`` and ``reserved`` are what a covered machine-hour takes from a commitment to everything, to the family
    (the name up to its point) and to the machine type; None where it is not covered. ``usd_per_request`` is by class, beside the
    machines; ``metered`` has no machines.
    """

    name: str
    usd: str
    mu: tuple[float, ...] = ()
    plan: str | None = None
    spot: bool = False
    zones: int = 3
    variant: int = 0
    work: float = 0.0
    replicas: int = 1
    family_plan: str | None = None
    reserved: str | None = None
    usd_per_request: tuple[float, ...] = ()
    metered: bool = False
    only_covered: bool = False

    @property
    def offer(self) -> str:
        """The offer it runs under."""
        return "spot" if self.spot else "on-demand"

    @property
    def family(self) -> str:
        """The name up to its point."""
        return self.name.partition(".")[0]

    @property
    def commitments(self) -> dict[tuple[str, str], str]:
        """Return what may cover it: offer and scope → what a covered hour takes; a rate that saves nothing covers nothing."""
        rates = (
            (RESERVED, f"r/{self.name}", self.reserved),
            (FAMILY_PLAN, f"r/{self.family}", self.family_plan),
            (PLAN, "", self.plan),
        )
        return {
            (offer, scope): rate
            for offer, scope, rate in rates
            if rate is not None and not self.spot and (self.only_covered or Decimal(rate) < Decimal(self.usd))
        }


def price_row(sold: Sold, offer: str, usd: str) -> PriceRow:
    """Return a price as a catalogue would hold it."""
    return PriceRow("aws", "r", sold.name, offer, Decimal(usd), sold.zones, 0.2 if sold.spot else None, "list", "by hand", DAY)


def machine_type(name: str) -> MachineType:
    """Return the machine of a name."""
    return MachineType("aws", name, name.partition(".")[0], 2, 4.0, "amd64", "", 0, 0.0, "by hand", DAY)


class HandPrices:
    """``contracts.Prices`` of a problem made by hand."""

    def __init__(self, sold: tuple[Sold, ...]) -> None:
        self.rows = {(one.name, one.offer): price_row(one, one.offer, one.usd) for one in sold}
        for one in sold:
            self.rows |= {(one.name, offer): price_row(one, offer, rate) for (offer, _), rate in one.commitments.items()}

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:  # noqa: ARG002 - one region
        """Return the row."""
        return self.rows.get((machine, offer))

    def machine(self, name: str) -> MachineType:
        """Return the machine."""
        return machine_type(name)

    def machines(self, families: Iterable[str] = ()) -> tuple[MachineType, ...]:
        """Return the machines of these families or names."""
        known = [machine_type(name) for name in dict.fromkeys(machine for machine, _ in self.rows)]
        wanted = set(families)
        return tuple(item for item in known if not wanted or wanted & {item.family, item.name})

    def commitment(self, cloud: str, offer: str) -> CommitmentRule:  # noqa: ARG002 - one cloud
        """Return the rule."""
        return RULES[offer]


def pool_option(sold: Sold, variant: ModelVariant) -> PoolOption:
    """Return the option that a workload would have given."""
    engine = RequestEngine((1.0,), 0.0)
    profile = Profile(variant.name, sold.name, engine, sold.replicas, Provenance("measured", "by hand", 0.25))
    hazard = 0.001 if sold.spot else 0.0
    terms = OfferTerms(sold.offer, sold.name, "r", float(sold.usd), hazard, sold.zones, price_row(sold, sold.offer, sold.usd))
    return PoolOption(variant, machine_type(sold.name), "r", profile, terms)


def covers_of(
    sold: tuple[Sold, ...], existing: dict[tuple[str, str], float], *, closed: bool = False
) -> tuple[CommitmentOption, ...]:
    """Return every commitment that covers some option, those that exist in full; in the sellers' order.

    ``closed``: of what exists, no more can be had.
    """
    keys = dict.fromkeys([*(key for one in sold for key in one.commitments), *existing])
    found = []
    for offer, scope in sorted(keys, key=lambda key: (RULES[key[0]].order, key)):
        rates = [float(one.commitments.get((offer, scope), "inf")) for one in sold]
        step = min(rates) if offer == RESERVED and np.isfinite(min(rates)) else 0.0
        made = existing.get((offer, scope), 0.0)
        order, may_grow = RULES[offer].order, not (closed and made > 0.0)
        found.append(CommitmentOption("aws", offer, scope, order, 1, np.array(rates), step, made, may_grow))
    return tuple(found)


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
    zone_loss_share: float = 0.0
    n_plus_one_share: float = 0.0
    max_pools: int = 9
    existing: dict[tuple[str, str], float] = field(default_factory=dict)
    """Offer and scope → US dollars an hour committed already."""
    closed: bool = False
    """Of what is committed already no more can be had."""
    block_hours: tuple[float, ...] = ()
    """Hours of a month that each block stands for; the month in equal parts where left out."""

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
            disk_usd_per_hour=np.full(len(self.sold), DISK_USD_PER_HOUR),
            usd_per_request=np.array(
                [[dict(enumerate(one.usd_per_request)).get(c, 0.0) for one in self.sold] for c in range(classes)]
            ),
            usd_per_work=np.zeros((1 if self.windows else 0, len(self.sold))),
            metered=np.array([one.metered for one in self.sold]),
            only_covered=np.array([one.only_covered for one in self.sold]),
            covers=covers_of(self.sold, self.existing, closed=self.closed),
            block_hours=np.array(self.block_hours or (HOURS_PER_MONTH / blocks,) * blocks),
            zones=np.array([one.zones for one in self.sold]),
            interruptible=np.array([one.spot for one in self.sold]),
            windows=tuple(WorkWindow(0, np.array(blocks), requests) for blocks, requests in self.windows),
            quotas=tuple(
                Quota(name, np.array([name in {one.name, one.name.partition(".")[0]} for one in self.sold]), most)
                for name, most in self.quotas.items()
            ),
            max_spot_share=self.max_spot_share,
            spot_zone_loss_share=self.spot_zone_loss_share,
            max_pools=self.max_pools,
            pool_worth=0.02,
            zone_loss_share=self.zone_loss_share,
            n_plus_one_share=self.n_plus_one_share,
            refusals=(),
        )


# ---------------------------------------------------------------------------------------------------------- trying everything


def spare_zone(problem: Problem, p: int, machines: int) -> float:
    """Return the machines of an option that its largest zone leaves behind when it goes."""
    return machines - -(-machines // max(int(problem.zones[p]), 1))


def zone_share(problem: Problem, p: int) -> float:
    """Return which part of an option's interactive load must survive the loss of its largest zone."""
    return max(problem.zone_loss_share, problem.spot_zone_loss_share if problem.interruptible[p] else 0.0)


def interactive_room(problem: Problem, p: int, machines: int) -> float:
    """Return the machines that interactive load may keep busy: those there are, and what a lost zone or machine leaves."""
    room = float(machines)
    if zone_share(problem, p) > 0.0:
        room = min(room, spare_zone(problem, p, machines) / zone_share(problem, p))
    if problem.n_plus_one_share > 0.0:
        room = min(room, max(machines - 1, 0) / problem.n_plus_one_share)
    return room


def within_quotas(problem: Problem, machines: IntArray) -> bool:
    """Return whether the account may run int64[P] machines."""
    return all(int(machines[quota.mask].sum()) <= quota.machines for quota in problem.quotas)


def may_serve(problem: Problem, block: int, machines: IntArray) -> bool:
    """Return whether shares exist with which int64[P] machines serve the block."""
    return bool(np.isfinite(requests_usd(problem, block, machines)))


def requests_usd(problem: Problem, block: int, machines: IntArray) -> float:
    """Return what the requests cost an hour beside int64[P] machines, shared out at best; infinite where they cannot serve."""
    if not within_quotas(problem, machines) or (machines * problem.metered).any():
        return np.inf
    plain = not problem.usd_per_request.any() and not problem.metered.any()
    if plain and len(problem.interactive) == 1 and len(problem.quality) == 1:
        return 0.0 if greedy_serves(problem, block, machines) else np.inf
    return linear_usd(problem, block, machines)


def greedy_serves(problem: Problem, block: int, machines: IntArray) -> bool:
    """Decide one class of one variant without a solver: fill what cannot be taken away, then spot up to its share."""
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


def linear_usd(problem: Problem, block: int, machines: IntArray) -> float:
    """Share out several classes and variants by one small linear program in the shares f[c, p]; infinite where there is no way."""
    model, infinity = LinearModel(), np.inf
    count, active = len(problem.options), [c for c in range(len(problem.interactive)) if problem.rate[c, block] > 0.0]
    usd = 3600.0 * problem.mean_rate[:, block, None] * problem.usd_per_request
    columns = {c: model.add_columns(usd[c], (problem.mu[c, :, block] > 0.0).astype(float)) for c in active}
    for c, share in columns.items():
        model.add_row("", share, np.ones(count), 1.0, 1.0)
        model.add_row("", share, problem.quality[problem.variant_of], problem.quality_floor[c], infinity)
        model.add_row("", share, problem.interruptible.astype(float), -infinity, problem.max_spot_share)
        for v in range(len(problem.quality)):
            model.add_row("", share, (problem.variant_of == v).astype(float), -infinity, float(problem.share_cap[c, v]))
    for p in np.flatnonzero(~problem.metered):
        loads = [problem.rate[c, block] / problem.mu[c, p, block] if problem.mu[c, p, block] > 0.0 else 0.0 for c in active]
        indices = np.array([columns[c][p] for c in active], dtype=np.int64)
        model.add_row("", indices, np.array(loads), -infinity, interactive_room(problem, p, int(machines[p])))
    found = model.solve(relaxed=True) if active else None
    return 0.0 if found is None else (found.objective if found.status == "optimal" else np.inf)


def candidates(problem: Problem, block: int, most: int) -> tuple[IntArray, FloatArray]:
    """Return every vector of up to ``most`` machines an option that serves the block, int64[vectors, P], with what requests cost beside.

    Where machines are all that costs, a vector with more machines of some option and fewer of none is left out: it costs more.
    """
    vectors: list[IntArray] = []
    beside: list[float] = []
    for vector in (np.array(v) for v in itertools.product(range(most + 1), repeat=len(problem.options))):
        if not problem.usd_per_request.any() and any((smaller <= vector).all() for smaller in vectors):
            continue
        usd = requests_usd(problem, block, vector)
        if np.isfinite(usd):
            vectors.append(vector)
            beside.append(usd)
    return np.array(vectors, dtype=np.int64).reshape(-1, len(problem.options)), np.array(beside)


def add_covered(model: LinearModel, problem: Problem, vector: IntArray, weight: float) -> dict[int, IntArray]:
    """Add the machine-hours of a vector that each commitment may cover, int64[P] columns by commitment, each worth what it saves."""
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    columns = {
        k: model.add_columns(-weight * own, np.where(cover.covers, vector, 0).astype(float))
        for k, cover in enumerate(problem.covers)
    }
    for p in np.flatnonzero(vector):
        if columns:
            least = float(vector[p]) if problem.only_covered[p] else -np.inf
            model.add_row("", np.array([c[p] for c in columns.values()]), np.ones(len(columns)), least, float(vector[p]))
    return columns


def hourly_usd(problem: Problem, vectors: IntArray, commitments: FloatArray) -> FloatArray:
    """Return what vectors of machines cost an hour beside the commitments, covered as well as can be, float64[vectors].

    Infinite where a machine that runs only as far as it is covered is not.
    """
    found = []
    for vector in vectors:
        model = LinearModel()
        saved = add_covered(model, problem, vector, 1.0)
        for k, columns in saved.items():
            model.add_row("", columns, finite(problem.covers[k].usd_per_hour), -np.inf, float(commitments[k]))
        lost = float(problem.only_covered @ vector) if not saved else 0.0
        result = model.solve(relaxed=True) if saved else None
        covered = 0.0 if result is None else (result.objective if result.status == "optimal" else np.inf)
        found.append(float(vector @ problem.usd_per_hour) + covered if lost == 0.0 else np.inf)
    return np.array(found)


def finite(rates: FloatArray) -> FloatArray:
    """Return rates with 0 where there is none."""
    return np.where(np.isfinite(rates), rates, 0.0)


def cheapest_hour_usd(problem: Problem, block: int, commitments: FloatArray, most: int = 4) -> float:
    """Return the cheapest cost of one block, US dollars an hour; infinite where ``most`` machines an option do not serve it."""
    vectors, beside = candidates(problem, block, most)
    return float((hourly_usd(problem, vectors, commitments) + beside).min(initial=np.inf))


def cheapest_month_usd(problem: Problem, most: int = 4) -> float:
    """Return the cheapest month over all machines in all blocks and all commitments (no deferrable work).

    Exact where blocks are mixtures of vectors: no plan costs less, and where one vector a block is best, one costs just this. One
    linear program over the share of each vector in each block (Dantzig and Wolfe, Operations Research 8(1), 1960) and the amounts.
    """
    model, hours = LinearModel(), problem.block_hours
    open_to_more = [np.inf if cover.may_grow else 0.0 for cover in problem.covers]
    amounts = model.add_columns(np.full(len(problem.covers), hours.sum()), np.array(open_to_more))
    for block in range(problem.blocks):
        vectors, beside = candidates(problem, block, most)
        if not len(vectors):
            return np.inf
        mix = model.add_columns(hours[block] * (vectors @ problem.usd_per_hour + beside))
        model.add_row("", mix, np.ones(len(mix)), 1.0, 1.0)
        own = problem.usd_per_hour - problem.disk_usd_per_hour
        covered = {
            k: model.add_columns(np.where(cover.covers, -hours[block] * own, 0.0)) for k, cover in enumerate(problem.covers)
        }
        for p in range(len(problem.options)):
            mine = np.array([columns[p] for k, columns in covered.items() if problem.covers[k].covers[p]], dtype=np.int64)
            least = 0.0 if problem.only_covered[p] else -np.inf
            model.add_row("", np.append(mine, mix), np.append(np.ones(len(mine)), -vectors[:, p].astype(float)), least, 0.0)
        for k, columns in covered.items():
            spend = np.append(finite(problem.covers[k].usd_per_hour), -1.0)
            model.add_row("", np.append(columns, amounts[k]), spend, -np.inf, problem.covers[k].existing_usd_per_hour)
    result = model.solve(relaxed=True)
    existing = sum(cover.existing_usd_per_hour for cover in problem.covers)
    return result.objective + existing * float(hours.sum()) if result.status == "optimal" else np.inf


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
        "capacity": (interactive + np.einsum("wpb,wp->pb", g, need) - n)[~problem.metered],
        "metered": n[problem.metered],
        "routing-share": by_variant - problem.share_cap[:, :, None],
        "quality-floor": (problem.quality_floor[:, None] - quality)[active],
        "spot-share": f[:, spot].sum(axis=1) - problem.max_spot_share,
        "spot-zone-loss": np.where(spot[:, None], problem.spot_zone_loss_share * interactive - left, 0.0),
        "zone-loss": (problem.zone_loss_share * interactive - left)[~problem.metered],
        "n-plus-one": (problem.n_plus_one_share * interactive - np.maximum(n - 1, 0))[~problem.metered],
        "quota": np.array([n[quota.mask].sum(axis=0).max(initial=0) - quota.machines for quota in problem.quotas]),
        "commitment": np.array([off_made(c, float(usd)) for c, usd in zip(problem.covers, solution.commitments, strict=True)]),
        "step": np.array([off_step(c, float(usd)) for c, usd in zip(problem.covers, solution.commitments, strict=True)]),
        "deadline": np.abs(done - 1.0),
        "max_pools": np.array([int(n.any(axis=1).sum()) - problem.max_pools]),
        "serves": np.where(serves, 0.0, f),
    }
    return {name: float(np.max(by, initial=0.0)) for name, by in broken.items()}


def off_made(cover: CommitmentOption, usd: float) -> float:
    """Return by how much an amount is below what exists already, or above it where no more can be had."""
    more = usd - cover.existing_usd_per_hour
    return -more if cover.may_grow else abs(more)


def off_step(cover: CommitmentOption, usd: float) -> float:
    """Return how far an amount beside what exists is from what can be bought."""
    step = cover.step_usd_per_hour
    more = usd - cover.existing_usd_per_hour
    return abs(more - round(more / step) * step) if step > 0.0 else 0.0


def slow_machines_usd(problem: Problem, machines: IntArray | FloatArray, commitments: FloatArray) -> float:
    """Return what machines [P, B] cost a month, block by block and pair by pair, each seller's order written again."""
    total, own = 0.0, [float(usd) for usd in problem.usd_per_hour - problem.disk_usd_per_hour]
    pairs = [
        (
            cover.order,
            0.0 if cover.step_usd_per_hour == 0.0 else own[p],
            cover.usd_per_hour[p] / own[p],
            cover.usd_per_hour[p],
            p,
            k,
        )
        for k, cover in enumerate(problem.covers)
        for p in np.flatnonzero(cover.covers)
    ]
    for b in range(problem.blocks):
        left, unspent = [float(n) for n in machines[:, b]], [float(usd) for usd in commitments]
        usd = sum(unspent) + sum(float(d) * n for d, n in zip(problem.disk_usd_per_hour, left, strict=True))
        for _, _, _, rate, p, k in sorted(pairs):
            covered = min(left[p], unspent[k] / rate) if rate > 0.0 else left[p]
            left[p] -= covered
            unspent[k] -= covered * rate
        total += float(problem.block_hours[b]) * (usd + sum(n * rate for n, rate in zip(left, own, strict=True)))
    return total


def month_usd(solution: Solution) -> float:
    """Return what a solution costs a month, its commitments applied as the sellers do, its requests by the piece."""
    problem = solution.problem
    requests = 0.0
    for c, b in itertools.product(range(len(problem.interactive)), range(problem.blocks)):
        each = float(problem.usd_per_request[c] @ solution.share[c, :, b])
        requests += 3600.0 * float(problem.mean_rate[c, b]) * each * float(problem.block_hours[b])
    return slow_machines_usd(problem, solution.machines, solution.commitments) + requests


# ------------------------------------------------------------------------------------------------------------ random problems


@st.composite
def machines_sold(draw: st.DrawFn, place: int, classes: int, variants: int) -> Sold:
    """Draw what is sold of one machine: some of the three commitments, or spot, or by the request."""
    usd, kind = draw(st.integers(10, 60)), draw(st.sampled_from(["on-demand", "on-demand", "spot", "metered"]))
    plain = kind == "on-demand"
    plan, family_plan, reserved = (
        f"0.{draw(st.integers(5, usd - 1)):02d}" if plain and draw(st.booleans()) else None for _ in range(3)
    )
    per_request = tuple(draw(st.sampled_from([1e-5, 5e-5, 1e-4])) for _ in range(classes)) if kind == "metered" else ()
    return Sold(
        name=f"m{place % 2}.{place}",
        usd=f"0.{usd:02d}",
        mu=tuple(draw(st.sampled_from([1.0, 2.0, 2.5, 4.0, 0.0])) for _ in range(classes)),
        spot=kind == "spot",
        zones=draw(st.integers(1, 4)),
        variant=draw(st.integers(0, variants - 1)),
        usd_per_request=per_request,
        metered=kind == "metered",
        plan=plan,
        family_plan=family_plan,
        reserved=reserved,
    )


@st.composite
def cases(draw: st.DrawFn, *, classes: int = 2, options: int = 3, blocks: int = 4) -> Case:
    """Draw tiny problems with every kind of limit; figures are coarse, so that ties and exact fits happen."""
    variants = draw(st.integers(1, 2))
    count, served = draw(st.integers(1, options)), draw(st.integers(1, classes))
    sold = tuple(draw(machines_sold(p, served, variants)) for p in range(count))
    rates = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])
    per_class = draw(st.integers(1, blocks))
    existing = draw(st.sampled_from([{}, {}, {(PLAN, ""): 0.3}, {(FAMILY_PLAN, "r/m0"): 0.25, (PLAN, ""): 0.1}]))
    return Case(
        sold=sold,
        existing=existing,
        closed=draw(st.booleans()),
        block_hours=tuple(draw(st.sampled_from([100.0, 182.5, 365.0])) for _ in range(per_class)),
        rate=tuple(tuple(draw(rates) for _ in range(per_class)) for _ in range(served)),
        share_cap=tuple(tuple(draw(st.sampled_from([1.0, 1.0, 0.5])) for _ in range(variants)) for _ in range(served)),
        quality=tuple(draw(st.sampled_from([1.0, 0.9])) for _ in range(variants)),
        quality_floor=tuple(draw(st.sampled_from([0.0, 0.95])) for _ in range(served)),
        quotas=draw(st.sampled_from([{}, {"m0": 2}, {"m0.0": 1, "m1": 3}])),
        max_spot_share=draw(st.sampled_from([1.0, 0.5, 0.0])),
        spot_zone_loss_share=draw(st.sampled_from([0.0, 0.7, 1.0])),
        zone_loss_share=draw(st.sampled_from([0.0, 0.0, 0.5])),
        n_plus_one_share=draw(st.sampled_from([0.0, 0.0, 0.8])),
        max_pools=draw(st.integers(1, 3)),
    )
