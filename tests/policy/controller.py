"""The Kubernetes HorizontalPodAutoscaler a second time: in plain Python, with clocks and lists of events instead of rings of rounds.

Written from the documentation ("Horizontal Pod Autoscaling") and, where it is silent, from what ``horizontal.go`` and
``replica_calculator.go`` of Kubernetes 1.34 do; shares nothing with ``tightrope.policy.scaling``.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

from tightrope.base.records import ScalingLimit


@dataclass(frozen=True)
class Behaviour:
    """What the HPA object states: limits and windows in seconds."""

    minimum: int
    maximum: int
    up: ScalingLimit
    down: ScalingLimit
    up_window_s: float
    down_window_s: float


@dataclass
class Controller:
    """One HPA object and the history that the controller keeps for it."""

    behaviour: Behaviour
    replicas: int
    recommended: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)
    """When, and how many were added (less than 0: removed)."""

    def reconcile(self, now_s: float, desired: int | None) -> int:
        """Take one round with what the metric asks for (None: no metric); return the replicas."""
        before = self.replicas
        if self.replicas > self.behaviour.maximum:
            self.replicas = self.behaviour.maximum
        elif self.replicas < self.behaviour.minimum:
            self.replicas = self.behaviour.minimum
        elif desired is not None:
            self.replicas = self.limit(now_s, self.stabilise(now_s, desired))
        if self.replicas != before:
            self.changes.append((now_s, self.replicas - before))
        return self.replicas

    def stabilise(self, now_s: float, desired: int) -> int:
        """Move no further up than the least, no further down than the most that was recommended in the windows."""
        up = min([desired, *(value for at_s, value in self.recommended if at_s > now_s - self.behaviour.up_window_s)])
        down = max([desired, *(value for at_s, value in self.recommended if at_s > now_s - self.behaviour.down_window_s)])
        self.recommended.append((now_s, desired))
        return min(max(self.replicas, up), down)

    def limit(self, now_s: float, desired: int) -> int:
        """Go only as far as the policies of the direction allow."""
        current, behaviour = self.replicas, self.behaviour
        if desired > current:
            most = max(self.allowed(now_s, behaviour.up, 1), current)
            return min(desired, most, behaviour.maximum)
        if desired < current:
            least = min(self.allowed(now_s, behaviour.down, -1), current)
            return max(desired, least, behaviour.minimum)
        return desired

    def allowed(self, now_s: float, limit: ScalingLimit, sign: int) -> int:
        """Return the number that the policies of one direction allow at most (up) or at least (down)."""
        if limit.select == "disabled":
            return self.replicas
        proposals = []
        for rule in limit.rules:
            start = self.replicas - sum(change for at_s, change in self.changes if at_s > now_s - rule.period_s)
            share = start * (1 + sign * Fraction(rule.value) / 100)
            rounded = ceil(share) if sign > 0 else max(floor(share), 0)
            proposals.append(start + sign * int(rule.value) if rule.kind == "pods" else rounded)
        furthest = (limit.select == "max") == (sign > 0)
        return max(proposals) if furthest else min(proposals)
