"""Whose turn it is, and what rates are learned."""

from collections import Counter
from dataclasses import replace

import pytest
from queue_bench import NOW, batch_of, file_of

from tightrope.serve.jobs.records import Batch
from tightrope.serve.jobs.schedule import ItemRate, next_batch, slack_s


def batch(tenant: str, left_s: float, items: int) -> Batch:
    return replace(batch_of(file_of(1, tenant), NOW + left_s), status="in_progress", total=items)


def test_the_earliest_deadline_first_within_a_tenant() -> None:
    late, soon, later = batch("a", 500.0, 10), batch("a", 100.0, 10), batch("a", 600.0, 10)
    assert next_batch([late, soon, later], {}, NOW, 0.0) is soon
    assert next_batch([], {}, NOW, 0.0) is None


def simulate(batches: list[Batch], per_s: float, slots: int = 10) -> dict[str, float]:
    """Return when each batch was done that was done in time, with ``slots`` items at a time that take ``slots / per_s`` seconds each."""
    left, running, ends, tick, done = {b.id: b.total for b in batches}, Counter(), [], 0, {}
    while any(left[b.id] and b.due_s > NOW + tick / per_s for b in batches) or ends:
        while ends and ends[0][0] <= tick:
            _, tenant, name = ends.pop(0)
            running[tenant] -= 1
            if left[name] == 0 and not any(other == name for _, _, other in ends):
                done[name] = tick / per_s
        ready = [replace(b, total=left[b.id]) for b in batches if left[b.id] and b.due_s > NOW + tick / per_s]
        if ready and sum(running.values()) < slots:
            found = next_batch(ready, running, NOW + tick / per_s, per_s)
            left[found.id] -= 1
            running[found.tenant] += 1
            ends.append((tick + slots, found.tenant, found.id))
        tick += 1
    return done


def test_a_tenant_with_much_work_does_not_hold_up_another() -> None:
    flood, small = [batch("flood", 86_000.0, 500) for _ in range(4)], batch("small", 86_400.0, 50)
    done = simulate([*flood, small], per_s=10.0)
    assert done[small.id] < 15.0  # half of ten a second, and what was in flight
    assert done[flood[-1].id] == pytest.approx(205.0, abs=5.0)


def test_a_short_window_takes_no_more_than_its_share_where_others_need_theirs() -> None:
    greedy, honest = batch("greedy", 60.0, 2000), batch("honest", 100.0, 450)
    done = simulate([greedy, honest], per_s=10.0)
    assert done[honest.id] <= 100.0


def test_who_is_in_a_hurry_goes_first_while_others_have_time() -> None:
    hurried, patient = batch("hurried", 30.0, 250), batch("patient", 86_400.0, 1000)
    done = simulate([hurried, patient], per_s=10.0)
    assert done[hurried.id] <= 30.0


def test_a_rate_is_learned_over_the_time_that_there_was_work() -> None:
    rate = ItemRate()
    assert (rate.per_s, rate.answer_s) == (0.0, 0.0)
    for _ in range(100):
        rate.answered(0.2)
        rate.passed(1.0, 5)
    assert rate.per_s == pytest.approx(5.0, rel=0.02)
    assert rate.answer_s == pytest.approx(0.2)
    for _ in range(300):
        rate.passed(1.0, 0)  # work, and none of it was let in
    assert rate.per_s == pytest.approx(0.71, abs=0.05)


def test_slack_is_not_said_where_it_is_not_known() -> None:
    assert slack_s([batch("a", 100.0, 50)], NOW, 0.0) is None
    assert slack_s([batch("a", 100.0, 0)], NOW, 5.0) is None
    assert slack_s([batch("a", 100.0, 50), batch("b", 10.0, 40)], NOW, 5.0) == pytest.approx(2.0)
