"""The parts of a pool by themselves: the service curve, what is chosen, the queue, and where engines stand."""

import math
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.serve.local.batch_choice import BatchRules, choose
from tightrope.serve.local.batch_curve import HAND_OVER_S, Curve
from tightrope.serve.local.core_placement import held_to, places, real_cores, usable_cores
from tightrope.serve.local.output_heads import OutputHead
from tightrope.serve.local.sessions import _glibc
from tightrope.serve.local.wait_queue import WaitQueue, WorkItem


def truth(size: int, length: int) -> float:
    """Return the time of a batch of a made-up engine, with what it takes to hand it over."""
    return 1e-3 + size * length * 1e-4


def measured(most: int = 8, knots: tuple[int, ...] = (8, 16, 32, 64)) -> Curve:
    """Return a curve that has been measured everywhere."""
    curve = Curve(most, knots)
    for size in curve.sizes:
        for length in knots:
            curve.put(size, length, truth(size, length) - HAND_OVER_S)
    curve.complete()
    return curve


# --------------------------------------------------------------------------------------------------------------------- curve


@given(st.integers(1, 8), st.integers(8, 64))
def test_a_measured_curve_is_right_between_its_points(size: int, length: int) -> None:
    assert math.isclose(measured().seconds(size, length), truth(size, length), rel_tol=0.02)


def test_it_learns_an_engine_that_it_was_wrong_about() -> None:
    curve, random = measured(), np.random.default_rng(0)
    for _ in range(3000):
        size, length = int(random.integers(1, 9)), int(random.integers(8, 65))
        busy_s = truth(size, length) * (1.0 + 0.6 * size / 8)
        curve.learn(size, length, busy_s * float(random.lognormal(0, 0.2)), busy_s)
    for size in (1, 3, 8):
        for length in (10, 40, 64):
            assert math.isclose(curve.seconds(size, length), truth(size, length) * (1.0 + 0.6 * size / 8), rel_tol=0.12)


def test_a_busy_machine_makes_all_batches_slower_and_leaves_what_pays_as_it_is() -> None:
    curve = measured()
    gain = 4 * curve.seconds(1, 32) / curve.seconds(4, 32)
    for _ in range(200):
        curve.learn(4, 32, 1.5 * truth(4, 32), truth(4, 32))
    assert math.isclose(curve.seconds(4, 32), 1.5 * truth(4, 32), rel_tol=0.03)
    assert math.isclose(curve.seconds(1, 8), 1.5 * truth(1, 8), rel_tol=0.03)
    assert math.isclose(4 * curve.seconds(1, 32) / curve.seconds(4, 32), gain, rel_tol=0.03)


def test_one_batch_that_was_stopped_says_little() -> None:
    curve = measured()
    curve.learn(4, 32, 100.0)
    for _ in range(7):
        curve.learn(1, 8, truth(1, 8))
    assert curve.seconds(4, 32) < 1.1 * truth(4, 32)


def test_what_was_seen_slow_and_is_avoided_is_tried_again() -> None:
    curve = measured()
    for _ in range(100):
        curve.learn(8, 32, 4.0 * truth(8, 32), 4.0 * truth(8, 32))
    slow = curve.seconds(8, 32)
    assert slow > 2.0 * truth(8, 32)
    for _ in range(10_000):
        curve.learn(1, 32, truth(1, 32), truth(1, 32))
    assert curve.seconds(8, 32) < 1.3 * truth(8, 32)


def test_nothing_known_is_learned_from_the_first_batch_and_batches_are_tried() -> None:
    curve = Curve(8, (1, 4, 16, 64))
    assert not curve.known
    curve.learn(1, 16, 0.01 - HAND_OVER_S)
    assert math.isclose(curve.seconds(1, 16), 0.01, rel_tol=1e-6)
    assert curve.seconds(1, 64) > 0.02
    assert 0.01 < curve.seconds(8, 16) < 0.08
    assert curve.known


def test_a_planned_curve_is_never_changed_and_has_one_time_for_all_lengths() -> None:
    curve = Curve(4, (8, 16), (1.0, 1.5))
    curve.learn(1, 8, 99.0, 99.0)
    assert [curve.seconds(size, length) for size, length in ((1, 8), (2, 999), (4, 1))] == [1.0, 1.5, 1.5]


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 100), st.floats(1e-6, 10.0)), max_size=40))
def test_a_larger_or_longer_batch_never_takes_less(batches: list[tuple[int, int, float]]) -> None:
    curve = Curve(8, (8, 16, 32))
    for size, length, seconds in batches:
        curve.learn(size, length, seconds)
    grid = np.array(curve.service_s)
    assert np.isfinite(grid).all()
    assert (np.diff(grid, axis=0) >= 0).all()
    assert (np.diff(grid, axis=1) >= 0).all()


# ------------------------------------------------------------------------------------------------------------------ choosing


class Nobody:
    """Stands for the ticket of an item that nobody waits for."""


def queue(*items: tuple[int, float], deferrable: tuple[int, ...] = (), within_s: float = math.inf) -> WaitQueue:
    """Return a queue with items of a length that came at a time, and others that can wait."""
    waiting = WaitQueue(1)
    for place, (length, entered_s) in enumerate(items):
        item = WorkItem(Nobody(), place, f"{length}", length, 0, 0)  # type: ignore[arg-type]
        item.entered_s, item.due_s = entered_s, entered_s + within_s
        waiting.push([item], None)
    for place, length in enumerate(deferrable):
        item = WorkItem(Nobody(), place, f"later {length}", length, 0, 0)  # type: ignore[arg-type]
        item.due_s = 1e9 - place
        waiting.push([item], item.due_s)
    return waiting


def rules(curve: Curve | None = None, **more: float) -> BatchRules:
    """Return rules that nothing is said by."""
    given = {"most": 8, "max_wait_s": 0.0, "deferrable_limit": 0, "room_s": math.inf} | more
    return BatchRules(curve or measured(), **given)  # type: ignore[arg-type]


def test_a_partial_batch_waits_until_the_replay_says_that_it_is_due() -> None:
    planned = rules(Curve(4, (1,), (1.0, 1.1, 1.2, 1.3)), most=4, max_wait_s=0.5)
    assert choose(queue((1, 10.0), (1, 10.2)), planned, 10.3, 1, 0.0) == 10.5
    assert len(choose(queue((1, 10.0), (1, 10.2)), planned, 10.5, 1, 0.0)) == 2  # type: ignore[arg-type]
    assert len(choose(queue(*[(1, 10.0)] * 4), planned, 10.0, 1, 0.0)) == 4  # type: ignore[arg-type]
    assert choose(queue((1, 10.0), within_s=1.25), planned, 10.0, 1, 0.0) == pytest.approx(10.15)  # two take 1.1 s
    assert choose(queue(), planned, 10.0, 1, 0.0) is None


def test_a_measured_pool_waits_only_where_the_next_comes_sooner_than_it_saves() -> None:
    waits = rules(max_wait_s=0.5)
    assert choose(queue((8, 10.0)), waits, 10.0, 1, 1e4) == 10.5
    assert isinstance(choose(queue((8, 10.0)), waits, 10.0, 1, 100.0), list)


def test_several_free_engines_share_what_waits() -> None:
    waiting = queue(*[(8, 0.0)] * 6)
    assert [len(choose(waiting, rules(), 0.0, free, 0.0)) for free in (3, 2, 1)] == [2, 2, 2]  # type: ignore[arg-type]


def test_what_can_wait_fills_up_to_the_limit_where_nothing_else_waits() -> None:
    waiting = queue((16, 0.0), (16, 0.0), deferrable=(16, 64, 16, 16, 16))
    chosen = choose(waiting, rules(deferrable_limit=4), 0.0, 1, 0.0)
    assert [item.payload for item in chosen] == ["16", "16", "later 16", "later 16"]  # type: ignore[union-attr]
    assert waiting.deferrable == 3
    none = choose(queue((16, 0.0), deferrable=(16, 16)), rules(deferrable_limit=0), 0.0, 1, 0.0)
    assert len(none) == 1  # type: ignore[arg-type]


def test_alone_it_takes_no_longer_than_there_is_room_and_goes_by_its_deadline() -> None:
    waiting = queue(deferrable=(16,) * 8)
    room = rules(room_s=truth(3, 16) * 1.001)
    chosen = choose(waiting, room, 0.0, 1, 0.0)
    assert len(chosen) == 3  # type: ignore[arg-type]
    assert chosen[0].due_s == 1e9 - 7  # type: ignore[index]
    assert len(choose(queue(deferrable=(64, 64)), rules(room_s=1e-4), 0.0, 1, 0.0)) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(("high", "chosen"), [(4, [0, 1, 2, 3]), (3, [0, 3, 4, 5])])
def test_a_lower_priority_joins_only_where_the_higher_could_not_fill_the_batch(high: int, chosen: list[int]) -> None:
    """The first has length 20, the others of its priority 40, those of the lower one 20 too."""
    waiting = WaitQueue(2)
    for place in range(high + 4):
        item = WorkItem(Nobody(), place, None, 40 if 0 < place < high else 20, 0, 0)  # type: ignore[arg-type]
        item.level, item.due_s = int(place >= high), math.inf
        waiting.push([item], None)
    found = choose(waiting, rules(most=4), 0.0, 1, 0.0)
    assert [item.index for item in found] == chosen  # type: ignore[union-attr]


def test_items_of_another_group_are_left() -> None:
    waiting = queue((8, 0.0), (8, 0.0), (8, 0.0))
    waiting.window(3)[1].group = 7
    assert [item.index for item in choose(waiting, rules(), 0.0, 1, 0.0)] == [0, 2]  # type: ignore[union-attr]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_the_queue_holds_what_was_put_in_and_not_taken_out(steps: list[tuple[bool, bool]]) -> None:
    waiting, held = WaitQueue(2), []
    for place, (add, deferrable) in enumerate(steps):
        if add or not held:
            item = WorkItem(Nobody(), place, None, 1, 0, 0)  # type: ignore[arg-type]
            item.level, item.tenant = place % 2, "abc"[place % 3]
            waiting.push([item], float(place % 3) if deferrable else None)
            held.append(item)
        else:
            taken = held.pop(place % len(held))
            assert waiting.remove(taken)
            assert not waiting.remove(taken)
        assert len(waiting) == len(held)
        assert set(waiting.everything()) == set(held)
        shown = waiting.window(100)
        assert [item.level for item in shown] == sorted(item.level for item in shown)
        assert waiting.first() is (shown[0] if shown else None)
        for level, tenant in product((0, 1), "abc"):
            mine = [item.index for item in shown if (item.level, item.tenant) == (level, tenant)]
            assert mine == sorted(mine)


def test_halves_are_summed_in_full_precision_and_padding_has_no_part() -> None:
    """In float16 itself, 3,000 times 0.1 sums to 256 or so; what follows the text is ignored."""
    states = np.full((2, 4000, 3), np.float16(0.1))
    states[0, 3000:], states[1, 1:] = np.nan, np.inf
    long, short = OutputHead(("y",), "mean", normalize=False)(states, [3000, 1])
    assert np.allclose(long, np.float32(np.float16(0.1)), rtol=1e-5)
    assert np.array_equal(short, states[1, 0].astype(np.float32))
    assert long.dtype == short.dtype == np.float32


# ----------------------------------------------------------------------------------------------------------------- placement


def machine(folder: Path, siblings: dict[int, str]) -> Path:
    """Write what Linux says of a machine's cores."""
    for cpu, said in siblings.items():
        place = folder / f"cpu{cpu}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(said + "\n")
    return folder


def test_an_engine_has_a_real_core_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    twice = machine(tmp_path / "twice", {0: "0,2", 2: "0,2", 1: "1,3", 3: "1,3"})
    assert real_cores(twice) == (frozenset({0, 2}), frozenset({1, 3}))
    assert usable_cores(tmp_path / "none", twice) == 2
    assert places(2, twice) == (frozenset({0, 2}), frozenset({1, 3}))
    assert places(4, twice) == (None,) * 4
    once = machine(tmp_path / "once", {cpu: f"{cpu}-{cpu}" for cpu in range(4)})
    assert usable_cores(tmp_path / "none", once) == 4
    assert places(2, once) == (None, None)


def test_a_container_has_no_more_engines_than_it_is_given_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    quota = tmp_path / "cpu.max"
    for said, cores in (("200000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("", 8)):
        quota.write_text(said)
        assert usable_cores(quota, tmp_path) == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_thread_is_held_to_its_place_and_let_go_again() -> None:
    before = os.sched_getaffinity(0)
    with held_to(frozenset({min(before)})):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
    with held_to(None):
        assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(_glibc("malloc_trim") is None, reason="this C library has no malloc_trim")
def test_memory_that_is_kept_for_the_next_batch_goes_back_with_the_model() -> None:
    """In a process of its own: this one may hold free memory of earlier models, which arrays would fit into."""
    program = """
import pathlib
import numpy as np
from tightrope.serve.local.sessions import give_back_memory, keep_freed_memory

def resident_mib():
    lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024

keep_freed_memory()
before = resident_mib()
held = [np.ones(2**17) for _ in range(200)]  # a MiB each
del held
kept = resident_mib() - before
give_back_memory()
print(kept, resident_mib() - before)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120.0)  # noqa: S603 - Python
    kept_mib, left_mib = map(int, told.stdout.split())
    assert kept_mib > 150
    assert left_mib < 50
