"""The traffic of recorded requests, as a plan's fleet meets it: files in, one ``Traffic`` out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tightrope.base.errors import InputError, TraceError, Where, build_unknown_name_error
from tightrope.base.plan import Plan
from tightrope.base.records import IntArray, TokenEngine
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.demand.clock import DAY_S, NO_COLUMNS
from tightrope.demand.requests import TraceRequests, load_requests
from tightrope.replay.evidence import due_s
from tightrope.replay.records import Traffic
from tightrope.replay.traffic import starts_of, take_requests

MINUTE_S = 60.0
LEAST_HOLE_S = 3600.0
"""Files of one stretch may leave so much between them without a request, or as much as they hold together."""
ONE_ZERO = "times that are no dates are counted from one zero in all files: write dates where they are not"


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A trace as the command line names it: a file, and the class of its requests where it is stated."""

    path: Path
    traffic_class: str = ""


@dataclass(frozen=True, slots=True)
class RecordedTraffic:
    """Traffic from its first whole minute on; ``start_s`` is that minute in the plan's week, ``clock_s`` on the trace's clock."""

    traffic: Traffic
    start_s: float
    clock_s: float
    duration_s: float
    sources: tuple[str, ...]

    warnings: tuple[str, ...] = ()
    """What was assumed."""

    @property
    def window(self) -> str:
        """Say which part of the trace it is, such as ``day 1, 18:15–19:12``."""
        first, last = int(self.clock_s // DAY_S) + 1, int(np.ceil((self.clock_s + self.duration_s) / DAY_S))
        if first == last:
            return f"day {first}" if self.duration_s == DAY_S else self.clock(0.0, self.duration_s)
        return f"days {first}–{last}"

    def clock(self, from_s: float, to_s: float) -> str:
        """Say which part of a day of the trace lies between two times of the replay."""
        ends = (self.clock_s + from_s, self.clock_s + to_s)
        first, last = (f"{int(t % DAY_S // SECONDS_PER_HOUR):02d}:{int(t % SECONDS_PER_HOUR // MINUTE_S):02d}" for t in ends)
        return f"day {int(ends[0] // DAY_S) + 1}, {first}–{'24:00' if last == '00:00' else last}"


def map_asked_classes(plan: Plan) -> dict[str, int]:
    """Return the names that requests are asked under → the place of the plan's class; what goes on in a cascade is asked by nobody."""
    return {item.asked_as or item.name: place for place, item in enumerate(plan.classes) if not item.follows}


def parse_trace(text: str, plan: Plan) -> TraceFile:
    """Return the file and class of ``[CLASS=]FILE``; raise ``UnknownNameError`` for a class that the plan does not have."""
    name, mark, file = text.partition("=")
    names = list(map_asked_classes(plan))
    if mark and name in names:
        return TraceFile(Path(file), name)
    if mark and not Path(text).exists():
        raise build_unknown_name_error(name, kind="traffic class", known=names, where=Where(f"--trace {text}"))
    return TraceFile(Path(text))


def load_traffic(
    plan: Plan,
    traces: Sequence[TraceFile],
    *,
    columns: Mapping[str, str] = NO_COLUMNS,
    time_unit: str = "",
    week_hour: float = 0.0,
) -> RecordedTraffic:
    """Return the requests of all files, merged in time; ``week_hour`` is the hour of the plan's week at the traces' hour 0.

    Raises ``InputError`` for a file that cannot be read or trusted, that has no requests, that does not say whose requests they
    are, or that has no token counts where the plan's engines read tokens, and for several files whose times cannot be compared or
    lie too far apart to be one stretch.
    """
    files = [_load(plan, asked, columns, time_unit) for asked in traces]
    traffic = _merge(_align_clocks(traces, files), len(plan.classes))
    clock_s = float(np.floor(traffic.time_s[0] / MINUTE_S) * MINUTE_S)
    duration_s = max(MINUTE_S, float(np.ceil((traffic.time_s[-1] - clock_s) / MINUTE_S) * MINUTE_S))
    start_s = (clock_s + week_hour * SECONDS_PER_HOUR) % (HOURS_PER_WEEK * SECONDS_PER_HOUR)
    placed = replace(traffic, time_s=traffic.time_s - clock_s)
    deadline_s = due_s(placed.time_s, placed.traffic_class, start_s, [item.deferral for item in plan.classes])
    placed = replace(placed, deadline_s=deadline_s)
    warnings = (ONE_ZERO,) if len(files) > 1 and not files[0].found.calendar else ()
    return RecordedTraffic(placed, start_s, clock_s, duration_s, tuple(file.found.source for file in files), warnings)


class _File(NamedTuple):
    """A file as it was read, and its requests as the plan knows them, both on the file's own clock."""

    found: TraceRequests
    traffic: Traffic


def _load(plan: Plan, asked: TraceFile, columns: Mapping[str, str], time_unit: str) -> _File:
    """Return one file's requests, on the file's own clock."""
    places = np.array(list(map_asked_classes(plan).values()), dtype=np.int64)
    classes = () if asked.traffic_class else list(map_asked_classes(plan))
    found = load_requests(asked.path, columns=columns, time_unit=time_unit, classes=classes)
    if not len(found.time_s):
        what = "the trace has no requests: there is nothing to replay"
        raise TraceError(what, resolve="give a trace with at least one request", where=Where(asked.path))
    index = places[found.class_index] if found.class_index is not None else _choose_class(plan, asked, len(found.time_s))
    _check_tokens(plan, asked, found)
    key = None if found.key is None else np.where(found.key >= 0, found.key * len(plan.classes) + index, -1)
    traffic = Traffic(
        found.time_s, index, found.input_tokens, found.output_tokens, key=key, block_start=found.block_start, blocks=found.blocks
    )
    return _File(found, traffic)


def _choose_class(plan: Plan, asked: TraceFile, requests: int) -> IntArray:
    """Return the class of a file without a class column: the one stated, or the only interactive one."""
    places = map_asked_classes(plan)
    names = list(places)
    interactive = [name for name, place in places.items() if plan.classes[place].deferral is None]
    name = asked.traffic_class or (names[0] if len(names) == 1 else interactive[0] if len(interactive) == 1 else "")
    if not name:
        what = f"the trace does not say whose requests these are: it has no class column, and the plan has {', '.join(names)}"
        resolve = f"say it: --trace {names[0]}={asked.path}, or name the column: --column class=NAME"
        raise TraceError(what, resolve=resolve, where=Where(asked.path))
    return np.full(requests, places[name], dtype=np.int64)


def _check_tokens(plan: Plan, asked: TraceFile, found: TraceRequests) -> None:
    """Refuse a trace without sizes for engines that read and write tokens: every prompt would be one token long."""
    token_pools = [pool.name for pool in plan.pools if isinstance(pool.serving.engine, TokenEngine)]
    if token_pools and not found.sized:
        what = f"the trace has no columns of input and output tokens, and pool {token_pools[0]!r} of the plan reads tokens"
        resolve = "add them, or name them: --column input_tokens=NAME --column output_tokens=NAME"
        raise TraceError(what, resolve=resolve, where=Where(asked.path))


def parse_columns(stated: Sequence[str]) -> dict[str, str]:
    """Return role → column of ``ROLE=COLUMN`` entries."""
    for text in stated:
        if "=" not in text:
            msg = f"--column {text!r} says no column"
            raise InputError(msg, resolve="write it as role=column, such as --column time=started_at")
    return {role: column for role, _, column in (text.partition("=") for text in stated)}


# ------------------------------------------------------------------------------------------------------------ many requests


def _align_clocks(traces: Sequence[TraceFile], files: Sequence[_File]) -> list[Traffic]:
    """Return the files' requests from hour 0 of the earliest; refuse what cannot be one stretch of traffic."""
    _check_clocks(traces, files)
    zero_s = min(file.found.zero_s for file in files)
    parts = [replace(file.traffic, time_s=file.traffic.time_s + (file.found.zero_s - zero_s)) for file in files]
    _check_holes(traces, parts)
    return parts


def _check_clocks(traces: Sequence[TraceFile], files: Sequence[_File]) -> None:
    """Refuse dates beside times that are none: nobody knows when the one was on the other's clock."""
    for asked, file in zip(traces[1:], files[1:], strict=True):
        if file.found.calendar != files[0].found.calendar:
            dated, other = (asked, traces[0]) if file.found.calendar else (traces[0], asked)
            what = f"its times are no dates and those of {dated.path.name} are, so they cannot be put on one clock"
            raise TraceError(what, resolve="write dates in both, or replay one at a time", where=Where(other.path))


def _check_holes(traces: Sequence[TraceFile], parts: Sequence[Traffic]) -> None:
    """Refuse files with more time between them than they hold: most of what was replayed would be traffic that is not known."""
    held_s = sum(float(part.time_s[-1] - part.time_s[0]) for part in parts)
    order = sorted(range(len(parts)), key=lambda place: float(parts[place].time_s[0]))
    last = order[0]
    for place in order[1:]:
        hole_s = float(parts[place].time_s[0] - parts[last].time_s[-1])
        if hole_s > max(LEAST_HOLE_S, held_s):
            what = f"it begins {hole_s / SECONDS_PER_HOUR:,.1f} h after the end of {traces[last].path.name}: not one stretch of traffic"
            raise TraceError(
                what, resolve="replay one at a time, or give the traffic between them too", where=Where(traces[place].path)
            )
        last = max(last, place, key=lambda at: float(parts[at].time_s[-1]))


def _merge(parts: list[Traffic], classes: int) -> Traffic:
    """Return several files' requests in order of time; keys and blocks of different files are different."""
    if len(parts) == 1:
        return parts[0]
    block_start, blocks = _join_blocks(parts)
    joined = Traffic(
        time_s=np.concatenate([part.time_s for part in parts]),
        traffic_class=np.concatenate([part.traffic_class for part in parts]),
        input_tokens=np.concatenate([part.input_tokens for part in parts]),
        output_tokens=np.concatenate([part.output_tokens for part in parts]),
        key=_join_keys(parts, classes),
        block_start=block_start,
        blocks=blocks,
    )
    return take_requests(joined, np.argsort(joined.time_s, kind="stable"))


def _join_keys(parts: list[Traffic], classes: int) -> IntArray | None:
    """Return all keys, one file's beyond the last one's; a multiple of ``classes`` apart, so that they still tell the class."""
    if all(part.key is None for part in parts):
        return None
    keys: list[IntArray] = []
    first = 0
    for part in parts:
        key = np.full(len(part.time_s), -1, dtype=np.int64) if part.key is None else part.key
        keys.append(np.where(key >= 0, key + first, -1))
        first += (int(key.max(initial=-1)) // classes + 1) * classes
    return np.concatenate(keys)


def _join_blocks(parts: list[Traffic]) -> tuple[IntArray | None, IntArray | None]:
    """Return where each request's blocks begin and all blocks, one file's numbered beyond the last one's."""
    sizes: list[IntArray] = []
    blocks: list[IntArray] = []
    first = 0
    for part in parts:
        if part.blocks is None or part.block_start is None:
            sizes.append(np.zeros(len(part.time_s), dtype=np.int64))
            continue
        numbers = np.unique(part.blocks, return_inverse=True)[1].astype(np.int64)
        sizes.append(np.diff(part.block_start))
        blocks.append(numbers + first)
        first += int(numbers.max(initial=-1)) + 1
    if not blocks:
        return None, None
    return starts_of(np.concatenate(sizes)), np.concatenate(blocks)
