"""Which cores engines run on: one thread on each real core, held to it where the machine shows its cores twice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = QUOTA, cpus: Path = CPUS) -> int:
    """Return how many engine threads are worth having: real cores that this process may use, no more than its container is given."""
    return max(1, min(len(real_cores(cpus)), round(_quota_cores(quota)) or 1))


def places(cores: int, cpus: Path = CPUS) -> tuple[frozenset[int] | None, ...]:
    """Return where each of ``cores`` engine threads is held to: a real core's threads where there are several, else None (anywhere).

    Two engines on one real core would halve each other while another idles. Where a core has one thread, the system's scheduler keeps
    engines apart by itself, and moves them out of the way of the event loop.
    """
    groups = real_cores(cpus)
    if all(len(group) == 1 for group in groups) or cores > len(groups):
        return (None,) * cores
    return tuple(groups[:cores])


def real_cores(cpus: Path = CPUS) -> tuple[frozenset[int], ...]:
    """Return the hardware threads of each real core, of those that this process may use."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    groups = {_siblings(cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list", cpu) & set(allowed) for cpu in allowed}
    return tuple(sorted(groups, key=min))


@contextmanager
def held_to(cpus: frozenset[int] | None) -> Iterator[None]:
    """Hold this thread, and those that it starts meanwhile, to some processors; None leaves it where it is."""
    if cpus is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def giving_way() -> Iterator[None]:
    """Let this thread, when it wakes, take no core from one that works, but wait for its next turn (SCHED_BATCH, sched(7)).

    So the event loop does not break an engine off for each request: it finds several, and its caches and the engine's stay warm. On two
    cores with both engines busy that gave 3 to 5 % more answers and a lower p95; where a core is idle nothing changes.
    """
    if not hasattr(os, "sched_setscheduler") or os.sched_getscheduler(0) != os.SCHED_OTHER:  # somebody chose another on purpose
        yield
        return
    _schedule(os.SCHED_BATCH)
    try:
        yield
    finally:
        take_turns()


def take_turns() -> None:
    """Undo in this thread, and for those that it starts, what it inherited from one that gives way."""
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) == os.SCHED_BATCH:
        _schedule(os.SCHED_OTHER)


def _schedule(policy: int) -> None:
    """Set this thread's scheduling policy, where that is allowed."""
    with suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(0))


def _siblings(path: Path, cpu: int) -> frozenset[int]:
    """Return the processors of one real core, such as those of ``0,4`` or ``0-1``."""
    try:
        parts = [part.partition("-") for part in path.read_text(encoding="ascii").strip().split(",")]
        return frozenset(cpu for low, _, high in parts for cpu in range(int(low), int(high or low) + 1)) | {cpu}
    except (OSError, ValueError):
        return frozenset({cpu})


def _quota_cores(path: Path) -> float:
    """Return the cores that the container may keep busy (cgroup v2: microseconds in each period); many where none are said."""
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return float(quota) / float(period)
    except (OSError, ValueError):
        return 1e6
