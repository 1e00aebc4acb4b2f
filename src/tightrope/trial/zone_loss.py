"""What the loss of a zone did to a replay, so that the zone whose loss is worst can be found.

Which machine stands in which zone depends on every machine asked for before, so only replays of all the traffic tell.
"""

from dataclasses import dataclass

import numpy as np

from tightrope.base.plan import Plan
from tightrope.replay.records import Drill, Outcome
from tightrope.trial.outcome_figures import drill_evidence


@dataclass(frozen=True, slots=True)
class ZoneLoss:
    """How a replay with a zone lost compares with the same replay without."""

    changed: bool
    """Whether a machine was lost, or anything went differently."""
    machines: int
    """Machines that were ready, or finishing their work, and are gone when the drill has begun."""
    missed: int
    """Promises attained too rarely over all the traffic."""
    margin: float
    """By how much the promise that fares worst is kept over all the traffic, fraction of 1; below 0 it is missed."""
    drill_margin: float
    """The same for the requests that arrived during the drill."""
    retries: int

    @property
    def gravity(self) -> tuple[bool, int, float, float, int]:
        """Return what orders losses, the worst last: promises missed, then the margins, then requests begun again."""
        return self.changed, self.missed, -self.margin, -self.drill_margin, self.retries


def loss_of(plan: Plan, outcome: Outcome, without: Outcome, drill: Drill, start_s: float) -> ZoneLoss:
    """Return what a drill did to the replay ``without`` it, of the same traffic and seed; ``start_s`` is their time of the week."""
    always = Drill(drill.kind, 0.0, float("inf"), drill.zone)
    margins = [item.attainment - item.target for item in drill_evidence(plan, [outcome], always, start_s)]
    machines = _count_taken(outcome, without, drill)
    during = [item.attainment - item.target for item in drill_evidence(plan, [outcome], drill, start_s)]
    return ZoneLoss(
        changed=machines > 0 or _differ(outcome, without),
        machines=machines,
        missed=sum(margin < 0.0 for margin in margins),
        margin=min(margins, default=0.0),
        drill_margin=min(during, default=0.0),
        retries=outcome.retries,
    )


def _differ(outcome: Outcome, without: Outcome) -> bool:
    """Return whether two replays of the same traffic went differently."""
    pairs = ((outcome.machine_hours, without.machine_hours), (outcome.finish_s, without.finish_s), (outcome.pool, without.pool))
    return not all(np.array_equal(one, other) for one, other in pairs)


def _count_taken(outcome: Outcome, without: Outcome, drill: Drill) -> int:
    """Return by how many machines the fleet is smaller at the first sample of the drill."""
    if outcome.timeline is None or without.timeline is None:
        return 0
    at = int(np.searchsorted(outcome.timeline.time_s, drill.start_s))
    if at >= len(outcome.timeline.time_s):
        return 0
    had, has = (line.ready[at] + line.draining[at] for line in (without.timeline, outcome.timeline))
    return int(np.maximum(had - has, 0).sum())
