"""How much of the machine other programs take while something is measured, read from Linux's ``/proc``."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


@dataclass(frozen=True, slots=True)
class Moment:
    """Processor time used up to a moment, in seconds of one core; None where the system does not tell."""

    wall_s: float
    busy_s: float | None
    """Of all programs, and of other guests of the same host."""
    ours_s: float


def look(pids: Iterable[int]) -> Moment:
    """Return the processor time that all programs, and those of ``pids``, have used so far."""
    return Moment(time.monotonic(), _busy_s(), sum(_own_s(pid) for pid in pids))


def others(before: Moment, after: Moment) -> float | None:
    """Return the cores that others took between two moments; None where the system does not tell.

    >>> others(Moment(0.0, 10.0, 2.0), Moment(2.0, 13.0, 4.5))
    0.25
    """
    if before.busy_s is None or after.busy_s is None or after.wall_s <= before.wall_s:
        return None
    theirs_s = (after.busy_s - before.busy_s) - (after.ours_s - before.ours_s)
    return max(0.0, theirs_s / (after.wall_s - before.wall_s))


def _busy_s(stat: Path = Path("/proc/stat")) -> float | None:
    """Return the seconds that all cores have worked, or were withheld by the host."""
    try:
        cells = stat.read_text(encoding="ascii").splitlines()[0].split()[1:]
        user, nice, system, _idle, _wait, irq, soft, steal = map(int, cells[:8])
    except (OSError, ValueError, IndexError):
        return None
    return TICK_S * (user + nice + system + irq + soft + steal)


def _own_s(pid: int) -> float:
    """Return the processor seconds of one process and all its threads; 0 where it is gone."""
    try:
        cells = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return TICK_S * (int(cells[11]) + int(cells[12]))
    except (OSError, ValueError, IndexError):
        return 0.0
