"""The autoscaler of the slow replay: one pool's HorizontalPodAutoscaler, round by round."""

import math
from dataclasses import dataclass, field

from tightrope.base.records import ScalingLimit, ScalingPolicy, ScalingRule
from tightrope.replay.records import FleetPool

GRACE = 1e-9
"""What rounding errors may add before a number of machines is rounded up (or take away before it is rounded down)."""


@dataclass(slots=True)
class Seen:
    """The machines of a pool as a metric of pods sees them: requests on those measured, and how many there are of the others."""

    requests: list[int] = field(default_factory=list)
    missing: int = 0
    unready: int = 0


class Autoscaler:
    """What one pool wants; ``changes`` and ``recommended`` hold each round's change, and its recommendation if there was one."""

    def __init__(self, pool: FleetPool, scaling: ScalingPolicy, wanted: int) -> None:
        """Begin with the schedule's machines, which count as the recommendation of the round before the first."""
        self.pool, self.scaling, self.wanted = pool, scaling, wanted
        self.round = 0
        self.changes: dict[int, int] = {}
        self.recommended: dict[int, int] = {-1: wanted}
        self.arrived: list[int] = [0]
        self.woken = False
        self.last_s = 0.0

    def rounds(self, seconds: float) -> int:
        """Return a length of time in whole rounds."""
        return round(seconds / self.scaling.sync_s)

    def recent(self, history: dict[int, int], seconds: float) -> list[int]:
        """Return what was noted in earlier rounds less than so long ago."""
        found, when = [], self.round - 1
        while (self.round - when) * self.scaling.sync_s < seconds:
            found += [history[when]] if when in history else []
            when -= 1
        return found

    def count_arrival(self) -> None:
        """Note that a request was routed to the pool as it arrived."""
        self.arrived[-1] += 1

    def next_round(self) -> None:
        """Go to the next round."""
        self.round += 1
        self.arrived.append(0)

    def decide(self, floor: int, seen: Seen | None) -> int:
        """Return how many machines the pool wants from this round on; ``seen`` is None where the autoscaler sees nothing."""
        before, most = self.wanted, max(self.pool.ceiling, floor)
        if not self.scaling.enabled or floor == 0:
            self.wanted = floor
        elif not floor <= self.wanted <= most:
            self.wanted = min(max(self.wanted, floor), most)
        else:
            desired = None if seen is None else self.desired(seen)
            if desired is not None:
                self.wanted = self.limited(self.stabilised(desired), floor, most)
        self.changes[self.round] = self.wanted - before
        return self.wanted

    # --------------------------------------------------------------------------------------------------------------- metrics

    def desired(self, seen: Seen) -> int | None:
        """Return what the metric asks for, None where there is no metric."""
        return self.by_concurrency(seen) if self.scaling.metric == "concurrency" else self.by_rate()

    def by_rate(self) -> int:
        """Follow the pool's request rate, an external metric."""
        newest, window = self.round - self.rounds(self.scaling.metric_lag_s), max(1, self.rounds(self.scaling.metric_window_s))
        arrived = sum(self.arrived[max(0, newest - window + 1) : max(0, newest + 1)])
        rate_per_s = arrived / (window * self.scaling.sync_s)
        target = self.scaling.target_utilisation * self.pool.requests_per_s
        if self.tolerates(rate_per_s / (self.wanted * target)):
            return self.wanted
        return math.ceil(rate_per_s / target - GRACE)

    def by_concurrency(self, seen: Seen) -> int | None:
        """Follow the requests on each machine, a metric of pods (``calcPlainMetricReplicas`` of Kubernetes)."""
        if not seen.requests:
            return None
        target = self.scaling.target_utilisation * self.pool.concurrency
        values = [float(number) for number in seen.requests]
        ratio = sum(values) / len(values) / target
        values += [target if ratio < 1.0 else 0.0] * seen.missing
        values += [0.0] * (seen.unready if ratio > 1.0 else 0)
        ratio_then = sum(values) / len(values) / target
        turned = (ratio - 1.0) * (ratio_then - 1.0) < 0.0
        desired = math.ceil(ratio_then * len(values) - GRACE)
        # With machines filled in, as many as are there may give a number on the other side of what is wanted.
        filled_in = len(values) > len(seen.requests)
        other_side = filled_in and (desired - self.wanted) * (ratio_then - 1.0) < 0.0
        return self.wanted if self.tolerates(ratio_then) or turned or other_side else desired

    def tolerates(self, ratio: float) -> bool:
        """Return whether a ratio is too near to 1 to change anything."""
        return 1.0 - self.scaling.tolerance <= ratio <= 1.0 + self.scaling.tolerance

    # ---------------------------------------------------------------------------------------------------------------- limits

    def stabilised(self, desired: int) -> int:
        """Note a recommendation; return what the recent ones allow."""
        lowest = min([desired, *self.recent(self.recommended, self.scaling.upscale_stabilization_s)])
        highest = max([desired, *self.recent(self.recommended, self.scaling.downscale_stabilization_s)])
        self.recommended[self.round] = desired
        return min(max(self.wanted, lowest), highest)

    def limited(self, desired: int, floor: int, most: int) -> int:
        """Return the number as far as the direction's rules, the floor and the most allow it."""
        if desired > self.wanted:
            limit = self.limit(self.scaling.scale_up, 1)
            return min(desired, max(limit, self.wanted), most)
        if desired < self.wanted:
            limit = self.limit(self.scaling.scale_down, -1)
            return max(desired, min(limit, self.wanted), floor)
        return desired

    def limit(self, limits: ScalingLimit, direction: int) -> int:
        """Return the number that the rules of one direction allow."""
        if limits.select == "disabled":
            return self.wanted
        numbers = [self.allowed(rule, direction) for rule in limits.rules]
        furthest = (limits.select == "max") == (direction > 0)
        return max(numbers) if furthest else min(numbers)

    def allowed(self, rule: ScalingRule, direction: int) -> int:
        """Return the number that one rule allows, from what was wanted at the beginning of its period."""
        start = self.wanted - sum(self.recent(self.changes, rule.period_s))
        if rule.kind == "pods":
            return start + direction * int(rule.value)
        number = start * (1.0 + direction * rule.value / 100.0)
        return math.ceil(number - GRACE) if direction > 0 else math.floor(number + GRACE)
