"""How many items may be in flight, as rates and refusals are learned."""

from dataclasses import replace

import pytest
from queue_bench import NOW, Told, batch_of, file_of

from tightrope.serve.jobs import pacing as module
from tightrope.serve.jobs.pacing import FIRST_LIMIT, BatchPace, TenantFlow
from tightrope.serve.jobs.records import Batch


class Clock:
    """Stands for ``time``."""

    now_s = 1000.0

    def monotonic(self) -> float:
        """Return what it was set to."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def batch(items: int, done: int = 0, due_s: float = NOW + 1000.0, tenant: str = "acme") -> Batch:
    made = replace(batch_of(file_of(1, tenant), due_s), status="in_progress", total=items, completed=done)
    return replace(made, id=f"batch {tenant}")


def going(clock: Clock, waits: int, left: int, per_s: int, due_s: float = NOW + 1000.0) -> BatchPace:
    """Return a pace that has seen ``per_s`` items done each second, with ``left`` to do."""
    pace = BatchPace(lambda: waits, lambda: 64)
    for second in range(50):
        pace.look([batch(left + 50 * per_s, second * per_s, due_s)])
        pace.answered(pace.batches["batch acme"], 200, 0.5, 0)
        clock.now_s += 1.0
    pace.look([batch(left + 50 * per_s, 50 * per_s, due_s)])
    return pace


def test_what_was_not_seen_yet_is_tried_one_at_a_time(clock: Clock) -> None:
    pace = BatchPace(lambda: 1, lambda: 64)
    pace.look([batch(100)])
    assert pace.limit(NOW) == 1
    assert BatchPace(lambda: 1, lambda: 0).limit(NOW) == 0
    pace = BatchPace(lambda: 0, lambda: 64)
    pace.look([batch(100)])
    assert pace.limit(NOW) == FIRST_LIMIT


def test_work_gives_way_until_it_is_urgent(clock: Clock) -> None:
    assert going(clock, 1, left=1000, per_s=10).limit(NOW) == 0  # a hundred seconds of a thousand
    assert going(clock, 0, left=1000, per_s=10).limit(NOW) == FIRST_LIMIT
    some = going(clock, 1, left=9000, per_s=10).limit(NOW)
    more = going(clock, 1, left=9500, per_s=10).limit(NOW)
    assert 0 < some < more
    assert going(clock, 1, left=11_000, per_s=10).limit(NOW) == 6  # eleven a second that take half a second each


def test_what_other_gateways_do_counts(clock: Clock) -> None:
    pace, told = going(clock, 0, left=100, per_s=20), Told()
    assert pace.per_s == pytest.approx(20.0)
    pace.show(told, ["night", "bulk"], NOW)
    assert told.said["night"] == (100, pytest.approx(995.0, abs=0.5))
    assert told.said["bulk"] == (0, None)
    pace.look([])  # all of it is done
    pace.show(told, ["night", "bulk"], NOW)
    assert told.said["night"] == (0, None)


def test_a_flow_finds_what_is_taken(clock: Clock) -> None:
    flow, capacity = TenantFlow(), 30
    for _ in range(200):
        clock.now_s += 1.0
        begun = int(flow.learned)
        for index in range(begun):
            flow.answered(200 if index < capacity else 429, 0.5, begun, 256)
    assert capacity / 2 <= flow.learned <= capacity + 1


def test_a_flow_that_is_always_refused_pauses_ever_longer(clock: Clock) -> None:
    flow, pauses = TenantFlow(), []
    for _ in range(20):
        clock.now_s = max(clock.now_s + 1.0, flow.again_s)
        flow.answered(429, 0.01, int(flow.learned), 64)
        pauses.append(max(0.0, flow.again_s - clock.now_s))
    assert pauses[:3] == [0.0, 0.0, 0.0]
    assert pauses == sorted(pauses)
    assert (flow.learned, pauses[-1]) == (1.0, 30.0)
    flow.answered(200, 0.01, 1, 64)
    clock.now_s += 60.0
    flow.answered(429, 0.01, 1, 64)
    assert flow.again_s <= clock.now_s + 1.0


def test_a_flow_is_cut_once_a_round(clock: Clock) -> None:
    flow = TenantFlow(learned=64.0)
    for _ in range(40):
        clock.now_s += 0.01
        flow.answered(503, 0.5, 64, 64)
    assert flow.learned == 32.0
