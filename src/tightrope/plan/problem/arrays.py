"""The decision as arrays: who may serve what, where, for how much, in every block of the week.

Letters of shapes: P pool options (deployment × pay-as-you-go offer), C interactive classes, D windows of deferrable work, B blocks
(168 hours of the week), V variants, K commitments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Committed, OfferTerms, Refusal, Usage, UsageLine
from tightrope.base.records import FloatArray, IntArray, ModelVariant, Profile


@dataclass(frozen=True, slots=True)
class PoolOption:
    """Machines of one type running one variant under one pay-as-you-go offer: a pool that the plan may open."""

    variant: ModelVariant
    machine: MachineType
    region: str
    profile: Profile
    terms: OfferTerms
    taken: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    """Of metered ones: traffic class → unit → how much of it one request takes, on average."""

    @property
    def label(self) -> str:
        """Name it for people: ``g6e.xlarge us-east-1 spot, assistant-7b/int8``."""
        return f"{self.machine.name} {self.region} {self.terms.offer}, {self.variant.name}"

    def to_usage_line(self, pool: str) -> UsageLine:
        """Return whose machine-hours those of a pool of it are."""
        return UsageLine(pool, self.machine.cloud, self.region, self.machine.name, self.terms.offer)

    @property
    def interruptible(self) -> bool:
        """Whether the seller may take the machine back."""
        return self.terms.interruptions_per_hour > 0.0


@dataclass(frozen=True, slots=True)
class WorkWindow:
    """One night's deferrable work: ``requests`` of class ``traffic_class`` (an index of ``Problem.deferrable``) due within ``blocks``."""

    traffic_class: int
    blocks: IntArray
    requests: float


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``machines`` of the options in ``mask`` (bool[P]) at one time."""

    name: str
    mask: NDArray[np.bool_]
    machines: int


@dataclass(frozen=True, slots=True)
class CommitmentOption:
    """A commitment that may be made, as the options see it: so many dollars an hour, spent at its own rates, used or not."""

    cloud: str
    offer: str
    scope: str
    order: int
    """Of one cloud, those of a lower order are applied first, those of one order together."""
    term_years: int
    usd_per_hour: FloatArray
    """float64[P]: what a covered machine-hour takes from it; inf where it does not cover the option."""
    step_usd_per_hour: float = 0.0
    """It is made in multiples of this; 0 where any amount can be."""
    existing_usd_per_hour: float = 0.0
    """What is committed already: paid whatever is decided."""
    may_grow: bool = True
    """Whether more of it can be committed to."""

    @property
    def covers(self) -> NDArray[np.bool_]:
        """Return which options it covers, bool[P]."""
        return np.isfinite(self.usd_per_hour)


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything the solver knows; see the letters above. Rates are requests/s, money US dollars per machine-hour."""

    options: tuple[PoolOption, ...]
    interactive: tuple[str, ...]
    deferrable: tuple[str, ...]
    rate: FloatArray
    """float64[C, B]: planned demand, the rise before new machines are ready and the headroom included."""
    mean_rate: FloatArray
    """float64[C, B]: expected demand, for bills by request and for utilisation."""
    mu: FloatArray
    """float64[C, P, B]: what one machine sustains at the fleet size that the block would need; 0 where it may not serve."""
    work_per_s: FloatArray
    """float64[deferrable classes, P]: throughput of one machine on deferrable work."""
    share_cap: FloatArray
    """float64[C, V]: largest share of the class that the variant may answer."""
    quality: FloatArray
    """float64[V]."""
    quality_floor: FloatArray
    """float64[C]."""
    variant_of: IntArray
    """int64[P]: index of the option's variant."""
    usd_per_hour: FloatArray
    """float64[P]: the offer's rate, disk included."""
    disk_usd_per_hour: FloatArray
    """float64[P]: what no commitment covers: a machine's root volume."""
    usd_per_request: FloatArray
    """float64[C, P]: what one request costs beside machine-hours: metered services, traffic between regions."""
    usd_per_work: FloatArray
    """float64[deferrable classes, P]: the same of a request that waits."""
    metered: NDArray[np.bool_]
    """bool[P]: paid by the request alone, so that no machines are counted."""
    only_covered: NDArray[np.bool_]
    """bool[P]: runs only as far as a commitment covers it: machines of one's own."""
    covers: tuple[CommitmentOption, ...]
    block_hours: FloatArray
    """float64[B]: hours of a month that each block stands for."""
    zones: IntArray
    """int64[P]."""
    interruptible: NDArray[np.bool_]
    """bool[P]."""
    windows: tuple[WorkWindow, ...]
    quotas: tuple[Quota, ...]
    max_spot_share: float
    spot_zone_loss_share: float
    max_pools: int
    pool_worth: float
    """A pool stays open only where the plan without it costs more by this share."""
    refusals: tuple[Refusal, ...]
    zone_loss_share: float = 0.0
    n_plus_one_share: float = 0.0
    constant_usd_per_month: float = 0.0
    """What every plan of this problem costs besides, whatever it decides: what stands in its regions, traffic at the cheapest."""
    standing_usd_per_month: float = 0.0
    """What stands beside machines, paid where any runs at all: a plan of services alone does without."""

    @property
    def blocks(self) -> int:
        """Number of blocks: 168, or 1 for a fleet that never changes."""
        return self.rate.shape[1]

    @property
    def zone_share(self) -> FloatArray:
        """Share of an option's interactive load that must survive the loss of its largest zone, float64[P]; 0 where none need."""
        share = np.where(self.interruptible, max(self.spot_zone_loss_share, self.zone_loss_share), self.zone_loss_share)
        return np.where(self.metered, 0.0, share)

    def load(self, rate: FloatArray) -> FloatArray:
        """Return the machines that whole classes would keep busy at a rate (float64[C, B]), float64[C, P, B]; 0 where not served."""
        return np.divide(rate[:, None, :], self.mu, out=np.zeros_like(self.mu), where=self.mu > 0.0)

    def committed(self, amounts: FloatArray) -> tuple[Committed, ...]:
        """Return what is committed at these amounts, float64[K] US dollars an hour, as a bill needs to know of it."""
        return tuple(
            Committed(cover.cloud, cover.offer, cover.scope, float(usd))
            for cover, usd in zip(self.covers, amounts, strict=True)
            if usd > 0.0
        )

    @property
    def existing_usd_per_hour(self) -> FloatArray:
        """What is committed already, float64[K] US dollars an hour."""
        return np.array([cover.existing_usd_per_hour for cover in self.covers])

    @property
    def may_grow(self) -> NDArray[np.bool_]:
        """Return which commitments more can be made of, bool[K]."""
        return np.array([cover.may_grow for cover in self.covers], dtype=np.bool_)

    @property
    def cover_rates(self) -> FloatArray:
        """What a covered machine-hour takes from each commitment, float64[K, P] US dollars; inf where it is not covered."""
        return np.stack([cover.usd_per_hour for cover in self.covers]) if self.covers else np.zeros((0, len(self.options)))


class Infeasible(Exception):  # noqa: N818 - caught inside plan/, users see InfeasibleError
    """Some block has no solution, or none with so few pools as are allowed."""

    def __init__(self, block: int, pools: int = 0) -> None:
        """Name the block, and how many pools would do where their number is in the way."""
        self.block, self.pools = block, pools
        super().__init__(f"block {block}")


def restrict(problem: Problem, keep: NDArray[np.bool_]) -> Problem:
    """Return the problem with only the options of ``keep`` (bool[P])."""
    if keep.all():
        return problem
    return replace(
        problem,
        options=tuple(option for option, kept in zip(problem.options, keep, strict=True) if kept),
        mu=problem.mu[:, keep],
        work_per_s=problem.work_per_s[:, keep],
        variant_of=problem.variant_of[keep],
        usd_per_hour=problem.usd_per_hour[keep],
        disk_usd_per_hour=problem.disk_usd_per_hour[keep],
        usd_per_request=problem.usd_per_request[:, keep],
        usd_per_work=problem.usd_per_work[:, keep],
        metered=problem.metered[keep],
        only_covered=problem.only_covered[keep],
        covers=tuple(replace(cover, usd_per_hour=cover.usd_per_hour[keep]) for cover in problem.covers),
        zones=problem.zones[keep],
        interruptible=problem.interruptible[keep],
        quotas=tuple(replace(quota, mask=quota.mask[keep]) for quota in problem.quotas),
    )


def take_blocks(problem: Problem, blocks: IntArray) -> Problem:
    """Return the problem of some blocks only, in the order given; windows of deferrable work are left out."""
    return replace(
        problem,
        rate=problem.rate[:, blocks],
        mean_rate=problem.mean_rate[:, blocks],
        mu=problem.mu[:, :, blocks],
        block_hours=problem.block_hours[blocks],
        windows=(),
    )


def drop_commitments(problem: Problem) -> Problem:
    """Return the problem where nothing can be committed to; what is committed already stays."""
    return replace(
        problem, covers=tuple(replace(cover, may_grow=False) for cover in problem.covers if cover.existing_usd_per_hour > 0.0)
    )


def static(problem: Problem) -> Problem:
    """Return the problem of a fleet that never changes: one block, at the week's peak, deferrable work spread over its window."""
    peak = problem.rate.max(axis=1, keepdims=True)
    at = np.argmax(problem.rate, axis=1)
    mu = np.stack([problem.mu[c, :, at[c]] for c in range(len(at))]) if len(at) else problem.mu[:, :, 0]
    nightly = {}
    for window in problem.windows:
        per_hour = window.requests / len(window.blocks)
        if per_hour > nightly.get(window.traffic_class, 0.0):
            nightly[window.traffic_class] = per_hour
    windows = tuple(WorkWindow(c, np.zeros(1, dtype=np.int64), per_hour) for c, per_hour in sorted(nightly.items()))
    return replace(
        problem,
        rate=peak,
        mean_rate=problem.mean_rate.mean(axis=1, keepdims=True),
        mu=mu[:, :, None],
        block_hours=problem.block_hours.sum(keepdims=True),
        windows=windows,
    )


def usage_of(problem: Problem, counts: IntArray, names: list[str]) -> Usage:
    """Return the machine-hours of ``counts`` (int64[P, B]) as the offers charge them, one line per option in ``names``' order."""
    lines = tuple(option.to_usage_line(name) for name, option in zip(names, problem.options, strict=True))
    return Usage(lines, np.asarray(counts, dtype=np.float64), problem.block_hours)
