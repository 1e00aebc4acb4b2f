"""The decision as arrays: who may serve what, where, for how much, in every block of the week.

Letters of shapes: P pool options (deployment × pay-as-you-go offer), C interactive classes, D windows of deferrable work, B blocks
(168 hours of the week), V variants.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import OfferTerms, Refusal, Usage, UsageLine
from tightrope.base.records import FloatArray, IntArray, ModelVariant, Profile
from tightrope.base.units import HOURS_PER_MONTH, HOURS_PER_WEEK

HOURS_PER_BLOCK = HOURS_PER_MONTH / HOURS_PER_WEEK
"""Hours of an average month that each hour of the week stands for."""


@dataclass(frozen=True, slots=True)
class PoolOption:
    """Machines of one type running one variant under one pay-as-you-go offer: a pool that the plan may open."""

    variant: ModelVariant
    machine: MachineType
    region: str
    profile: Profile
    terms: OfferTerms
    plan_usd_per_hour: float
    """Rate under the savings plan; the offer's own rate where no plan covers it."""

    @property
    def label(self) -> str:
        """Name it for people: ``g6e.xlarge us-east-1 spot, assistant-7b/int8``."""
        return f"{self.machine.name} {self.region} {self.terms.offer}, {self.variant.name}"

    @property
    def interruptible(self) -> bool:
        """Whether the seller may take the machine back."""
        return self.terms.interruptions_per_hour > 0.0


@dataclass(frozen=True, slots=True)
class Window:
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
    covered_usd_per_hour: FloatArray
    """float64[P]: what a covered machine-hour takes from the savings plan's commitment; inf where none covers it."""
    disk_usd_per_hour: float
    zones: IntArray
    """int64[P]."""
    interruptible: NDArray[np.bool_]
    """bool[P]."""
    windows: tuple[Window, ...]
    quotas: tuple[Quota, ...]
    max_spot_share: float
    spot_zone_loss_share: float
    max_pools: int
    refusals: tuple[Refusal, ...]

    @property
    def blocks(self) -> int:
        """Number of blocks: 168, or 1 for a fleet that never changes."""
        return self.rate.shape[1]

    @property
    def block_hours(self) -> FloatArray:
        """Hours of a month per block, float64[B]."""
        return np.full(self.blocks, HOURS_PER_MONTH / self.blocks)


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
        covered_usd_per_hour=problem.covered_usd_per_hour[keep],
        zones=problem.zones[keep],
        interruptible=problem.interruptible[keep],
        quotas=tuple(replace(quota, mask=quota.mask[keep]) for quota in problem.quotas),
    )


def take_blocks(problem: Problem, blocks: IntArray) -> Problem:
    """Return the problem of some blocks only, in the order given; windows of deferrable work are left out."""
    return replace(
        problem, rate=problem.rate[:, blocks], mean_rate=problem.mean_rate[:, blocks], mu=problem.mu[:, :, blocks], windows=()
    )


def without_commitment(problem: Problem) -> Problem:
    """Return the problem where nothing can be covered by a commitment."""
    return replace(problem, covered_usd_per_hour=np.full(len(problem.options), np.inf))


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
    windows = tuple(Window(c, np.zeros(1, dtype=np.int64), per_hour) for c, per_hour in sorted(nightly.items()))
    return replace(
        problem, rate=peak, mean_rate=problem.mean_rate.mean(axis=1, keepdims=True), mu=mu[:, :, None], windows=windows
    )


def usage_of(problem: Problem, counts: IntArray, names: list[str]) -> Usage:
    """Return the machine-hours of ``counts`` (int64[P, B]) as the offers charge them, one line per option in ``names``' order."""
    lines = tuple(
        UsageLine(name, option.machine.cloud, option.region, option.machine.name, option.terms.offer)
        for name, option in zip(names, problem.options, strict=True)
    )
    return Usage(lines, np.asarray(counts, dtype=np.float64), problem.block_hours)
