"""The next batch of a pool: ``policy/batching.py`` asked about what waits there."""

import math
from dataclasses import dataclass

from tightrope.policy.admission import may_start_deferrable
from tightrope.policy.batching import WINDOW, batch_due_s, batch_size, choose_batch, may_fill, worth_waiting
from tightrope.serve.local.batch_curve import Curve
from tightrope.serve.local.wait_queue import WaitQueue, WorkItem


@dataclass(slots=True)
class BatchRules:
    """What the pool's settings, and its model, say of batches."""

    curve: Curve
    most: int
    """Largest batch; 1 where each is to go alone."""
    max_wait_s: float
    deferrable_limit: int
    room_s: float
    """Longest that a batch of deferrable work takes an engine from those that cannot; a single item may take longer."""


def choose(waiting: WaitQueue, rules: BatchRules, now_s: float, free: int, rate_per_s: float) -> list[WorkItem] | float | None:
    """Return what goes together now on one of ``free`` engines and take it off the queue; or when to ask again; None if nothing waits.

    Interactive items go first; what can wait joins them only where no other interactive one waits.
    """
    count = waiting.interactive
    if count == 0:
        return _choose_deferrable(waiting, rules, now_s, free) if waiting.deferrable else None
    if rules.max_wait_s > 0.0 and count < rules.most:
        due_s = _due_s(waiting, rules, rate_per_s)
        if batch_size(count, rules.most, now_s, due_s) == 0:
            return due_s
    most = min(rules.most, -(-count // free))  # several free engines share what waits
    window = waiting.window(1 if most == 1 else max(most, WINDOW))
    first = [item for item in window if item.level == window[0].level]
    chosen = _together(
        first if len(first) >= most else window, rules, most, now_s, math.inf
    )  # who may wait joins what is not full
    for item in chosen:
        waiting.remove(item)
    if waiting.interactive == 0 and waiting.deferrable:
        _fill(chosen, waiting, rules, now_s)
    return chosen


def _due_s(waiting: WaitQueue, rules: BatchRules, rate_per_s: float) -> float:
    """Return when the partial batch that waits must go: at once where it is not worth waiting for one more, unless it is planned."""
    window = waiting.window(rules.most)
    first, size = window[0], len(window)
    longest = max(item.length for item in window)
    one_more_s = rules.curve.seconds(size + 1, longest)
    wait_s = rules.max_wait_s
    if not rules.curve.planned:
        saved_s = rules.curve.seconds(1, longest) + rules.curve.seconds(size, longest) - one_more_s
        wait_s = wait_s if worth_waiting(rate_per_s, saved_s) else 0.0
    return batch_due_s(first.entered_s, wait_s, first.due_s - first.entered_s, one_more_s)


def _together(window: list[WorkItem], rules: BatchRules, most: int, now_s: float, room_s: float) -> list[WorkItem]:
    """Return those of the window that go together, its first among them."""
    first = window[0]
    if any(item.group != first.group for item in window):
        window = [item for item in window if item.group == first.group]
    lengths = [item.length for item in window]
    slack_s = [min(item.due_s - now_s, room_s) for item in window]
    order = sorted(range(len(window)), key=lengths.__getitem__)
    chosen = [0] * most
    curve = rules.curve
    size = choose_batch(lengths, slack_s, order, most, curve.planned, curve.service_s, curve.knots, chosen)
    return [window[place] for place in chosen[:size]]


def _choose_deferrable(waiting: WaitQueue, rules: BatchRules, now_s: float, free: int) -> list[WorkItem]:
    """Return what can wait and goes together on an engine that nobody else wants: so little that who comes meanwhile is in time."""
    window = waiting.window_deferrable(WINDOW)
    most = min(rules.most, rules.deferrable_limit or rules.most, -(-waiting.deferrable // free))
    if rules.curve.seconds(1, window[0].length) > rules.room_s:
        most = 1
    chosen = _together(window, rules, most, now_s, rules.room_s)
    for item in chosen:
        waiting.remove(item)
    return chosen


def _fill(chosen: list[WorkItem], waiting: WaitQueue, rules: BatchRules, now_s: float) -> None:
    """Fill a batch up with what can wait."""
    curve, longest = rules.curve, max(item.length for item in chosen)
    slacks_s = [(item.due_s - now_s, curve.seconds(1, item.length)) for item in chosen]
    limit_s = min((slack_s for slack_s, alone_s in slacks_s if slack_s >= alone_s), default=math.inf)
    for item in waiting.window_deferrable(WINDOW):
        if len(chosen) >= rules.most or not may_start_deferrable(len(chosen), rules.deferrable_limit):
            return
        fits = may_fill(len(chosen), longest, limit_s, item.length, curve.planned, curve.service_s, curve.knots)
        if fits and item.group == chosen[0].group:
            waiting.remove(item)
            chosen.append(item)
