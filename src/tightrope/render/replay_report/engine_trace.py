"""The first minutes of a replay in the Trace Event Format, which chrome://tracing and Perfetto open.

A process is a machine, a thread one of its engines, a slice one batch, one step or one run of steps; a counter shows the requests that
wait. Format: "Trace Event Format" (Google, 2016 onwards), times in microseconds.
"""

import json
from typing import Any, TypeAlias

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.replay.records import EngineWork, Outcome
from tightrope.trial.time_series import waiting

Event: TypeAlias = dict[str, Any]
MICROSECONDS = 1e6
WAITING = 0
"""The process that carries the counters."""


def engine_trace(outcome: Outcome, pools: tuple[str, ...], length_s: float) -> str:
    """Return the trace of the first ``length_s`` seconds as JSON text, one event a line; ``pools`` names the fleet's pools."""
    events = [_meta("process_name", WAITING, 0, "requests waiting"), *_waiting(outcome, length_s)]
    if outcome.work is not None:
        events += _slices(outcome.work, pools, length_s)
    if (full_s := full_after_s(outcome)) is not None:
        events.append(_instant(full_s, "the log of engines was full: no work of theirs from here on"))
    lines = ",\n".join(json.dumps(event, ensure_ascii=False, allow_nan=False) for event in events)
    return f'{{"displayTimeUnit": "ms", "traceEvents": [\n{lines}\n]}}\n'


def full_after_s(outcome: Outcome) -> float | None:
    """Return when the log of engines was full, None where it holds all that was asked for."""
    if outcome.work is None or outcome.work.complete:
        return None
    return float(outcome.work.end_s.max(initial=0.0))


def _instant(time_s: float, name: str) -> Event:
    """Return an event that marks one moment for all machines."""
    return {"name": name, "ph": "i", "s": "g", "ts": round(time_s * MICROSECONDS, 3), "pid": WAITING, "tid": 0, "args": {}}


def _meta(kind: str, process: int, thread: int, name: str) -> Event:
    """Return an event that names a process or a thread."""
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def _slices(work: EngineWork, pools: tuple[str, ...], length_s: float) -> list[Event]:
    """Return one complete event for each entry of work that begins in time, after the names of its machines and engines."""
    rows = np.flatnonzero(work.begin_s < length_s)
    columns = (work.pool, work.machine, work.engine)
    threads = sorted({(int(p), int(m), int(e)) for p, m, e in zip(*(column[rows] for column in columns), strict=True)})
    process = {
        machine: number for number, machine in enumerate(dict.fromkeys(thread[:2] for thread in threads), start=WAITING + 1)
    }
    events = [_meta("process_name", number, 0, f"{pools[pool]} {machine}") for (pool, machine), number in process.items()]
    events += [_meta("thread_name", process[pool, machine], engine, f"engine {engine}") for pool, machine, engine in threads]
    for row in rows:
        events.append(
            {
                "name": _name(int(work.steps[row]), int(work.prompt_tokens[row])),
                "ph": "X",
                "ts": round(float(work.begin_s[row]) * MICROSECONDS, 3),
                "dur": round(float(work.end_s[row] - work.begin_s[row]) * MICROSECONDS, 3),
                "pid": process[int(work.pool[row]), int(work.machine[row])],
                "tid": int(work.engine[row]),
                "args": {name: int(getattr(work, name)[row]) for name in ("steps", "prompt_tokens", "sequences")},
            }
        )
    return events


def _name(steps: int, prompt_tokens: int) -> str:
    """Return what a slice is called: prompts are read, or a run of steps only writes; a batch has no steps."""
    if steps == 0:
        return "batch"
    return "prompts" if prompt_tokens else "decode"


def _waiting(outcome: Outcome, length_s: float) -> list[Event]:
    """Return a counter event wherever the number of requests that wait for an engine changes."""
    arrived, begun = waiting(outcome)
    times = np.concatenate([arrived[arrived < length_s], begun[begun < length_s]])
    change = np.concatenate([np.ones(np.count_nonzero(arrived < length_s)), -np.ones(np.count_nonzero(begun < length_s))])
    order = np.argsort(times, kind="stable")
    at, first = np.unique(times[order], return_index=True)
    level = np.add.reduceat(change[order], first).cumsum() if len(at) else np.zeros(0)
    return [_count(float(time_s), int(requests)) for time_s, requests in _changes(at, level)]


def _changes(at: FloatArray, level: FloatArray) -> list[tuple[float, float]]:
    """Return the times at which the level is another than before."""
    keep = np.concatenate([[True], level[1:] != level[:-1]]) if len(level) else np.zeros(0, dtype=bool)
    return [*zip(at[keep].tolist(), level[keep].tolist(), strict=True)]


def _count(time_s: float, requests: int) -> Event:
    """Return one counter event."""
    return {
        "name": "waiting",
        "ph": "C",
        "ts": round(time_s * MICROSECONDS, 3),
        "pid": WAITING,
        "tid": 0,
        "args": {"requests": requests},
    }
