"""What-if sweeps: many replays, one process a core. In: cases. Out: their outcomes (or summaries), in the order of the cases.

Processes are spawned, never forked: a fork of a process with threads, as numba and duckdb start, may hang. Each is given one case at
a time. Requests that cases share are written to a temporary folder once and mapped by every process, so that they are in memory once
and never travel; a case that names a function instead has its requests drawn where it is replayed.
"""

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np

from tightrope.base.errors import InputError
from tightrope.replay.records import Drill, Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

Summary = TypeVar("Summary")
Progress: TypeAlias = Callable[[int, int], None]
"""Called with the cases done and all there are."""
MAPPED_AT_ONCE = 4
"""Shared traffics that a process keeps mapped; mapping one again costs a millisecond."""


@dataclass(frozen=True, slots=True)
class Case:
    """One replay of a sweep: a name for people, and what ``replay_fleet`` takes."""

    name: str
    fleet: Fleet
    traffic: Traffic | Callable[[], Traffic]
    """The requests, or a function that returns them; it is pickled, so it stands in a module (``functools.partial`` is fine)."""
    duration_s: float
    block_offset_s: float = 0.0
    seed: int = 0
    drill: Drill | None = None


@overload
def replay_sweep(cases: Sequence[Case], processes: int | None = None, *, progress: Progress | None = None) -> list[Outcome]: ...
@overload
def replay_sweep(
    cases: Sequence[Case],
    processes: int | None = None,
    *,
    summarise: Callable[[Outcome], Summary],
    progress: Progress | None = None,
) -> list[Summary]: ...
def replay_sweep(
    cases: Sequence[Case],
    processes: int | None = None,
    *,
    summarise: Callable[[Outcome], Any] | None = None,
    progress: Progress | None = None,
) -> list[Any]:
    """Return each case's outcome, or what ``summarise`` makes of it, in order: the same bytes as one replay after another.

    ``summarise`` runs where the case is replayed, and only what it returns travels; like a case's function it is pickled.
    ``processes`` is by default the number of cores this process may use; with one, or one case, everything runs here.

    Raises what a case raises, with the case's name as a note (PEP 678); ``ChildProcessError`` where a process is killed, as by a
    machine out of memory; ``InputError`` for fewer than one process. Whatever is raised here, ``KeyboardInterrupt`` too, ends
    all processes at once. Scripts call this under ``if __name__ == "__main__"``, as spawning demands.
    """
    if processes is not None and processes < 1:
        msg = f"{processes} processes asked for, at least 1 expected"
        raise InputError(msg, resolve="leave it out to use every core")
    count = min(usable_cores() if processes is None else processes, len(cases))
    if count > 1:
        return _by_processes(cases, count, summarise, progress)
    answers = []
    for done, case in enumerate(cases, start=1):
        answers.append(_answer(case, summarise))
        _report(progress, done, len(cases))
    return answers


def usable_cores() -> int:
    """Return how many cores this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def replay_case(case: Case) -> Outcome:
    """Return the outcome of one case."""
    return replay_fleet(
        case.fleet,
        case.traffic if isinstance(case.traffic, Traffic) else case.traffic(),
        duration_s=case.duration_s,
        block_offset_s=case.block_offset_s,
        seed=case.seed,
        drill=case.drill,
    )


def _answer(case: Case, summarise: Callable[[Outcome], Any] | None) -> Any:  # noqa: ANN401 - whatever the caller's summary is
    """Return the case's outcome or summary; what it raises carries the case's name."""
    try:
        outcome = replay_case(case)
        return outcome if summarise is None else summarise(outcome)
    except Exception as error:
        error.add_note(_note(case))
        raise


def _note(case: Case) -> str:
    """Return what an error says about where it came from."""
    return f"in case {case.name!r} of the sweep (seed {case.seed})"


def _report(progress: Progress | None, done: int, cases: int) -> None:
    """Tell whoever wants to know."""
    if progress is not None:
        progress(done, cases)


# ------------------------------------------------------------------------------------------------------- shared traffic


@dataclass(frozen=True, slots=True)
class _Stored:
    """A traffic written to a folder, one file an array: calling it maps them."""

    folder: Path

    def __call__(self) -> Traffic:
        """Return the traffic; its arrays share memory with every process that maps them."""
        return _mapped(self.folder)


@lru_cache(maxsize=MAPPED_AT_ONCE)
def _mapped(folder: Path) -> Traffic:
    """Map a stored traffic: pages are copied where somebody writes, and the arrays look like any others to compiled code."""
    names = (field.name for field in fields(Traffic))
    paths = {name: folder / f"{name}.npy" for name in names}
    arrays: dict[str, Any] = {name: np.asarray(np.load(path, mmap_mode="c")) for name, path in paths.items() if path.exists()}
    return Traffic(**arrays)


def _store(traffic: Traffic, folder: Path) -> _Stored:
    """Write a traffic's arrays; those it has not are left out."""
    folder.mkdir()
    for name in (field.name for field in fields(traffic)):
        array = getattr(traffic, name)
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    return _Stored(folder)


class _Shelf:
    """The traffics of a sweep, each written when the first case with it is given out."""

    def __init__(self, folder: Path) -> None:
        """Write under ``folder``."""
        self._folder = folder
        self._stored: dict[int, _Stored] = {}

    def light(self, case: Case) -> Case:
        """Return the case with its requests on the shelf, where it holds any itself."""
        traffic = case.traffic
        if not isinstance(traffic, Traffic):
            return case
        if id(traffic) not in self._stored:
            self._stored[id(traffic)] = _store(traffic, self._folder / str(len(self._stored)))
        return replace(case, traffic=self._stored[id(traffic)])


# ------------------------------------------------------------------------------------------------------------ processes


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a case raised in its process, and the traceback there."""

    error: Exception
    trace: str


@dataclass(frozen=True, slots=True)
class _Hand:
    """One process, and our end of the pipe to it."""

    process: SpawnProcess
    pipe: Connection


def _by_processes(
    cases: Sequence[Case], count: int, summarise: Callable[[Outcome], Any] | None, progress: Progress | None
) -> list[Any]:
    """Replay on ``count`` processes; end them all, come what may, before the traffic they map is removed."""
    hands: list[_Hand] = []
    with TemporaryDirectory(prefix="tightrope-sweep-") as folder:
        try:
            hands.extend(_hire(summarise) for _ in range(count))
            return _share_out(cases, hands, _Shelf(Path(folder)), summarise, progress)
        finally:
            _dismiss(hands)


def _share_out(
    cases: Sequence[Case],
    hands: Sequence[_Hand],
    shelf: _Shelf,
    summarise: Callable[[Outcome], Any] | None,
    progress: Progress | None,
) -> list[Any]:
    """Give every process a case, and the next one when it answers; return the answers in the order of the cases."""
    answers: dict[int, Any] = {}
    waiting = iter(range(len(cases)))
    busy: dict[Connection, tuple[_Hand, int]] = {}

    def give_next(hand: _Hand) -> None:
        index = next(waiting, None)
        if index is not None:
            _give(hand, cases[index], shelf)
            busy[hand.pipe] = (hand, index)

    for hand in hands:
        give_next(hand)
    while busy:
        for pipe in _ready(busy):
            hand, index = busy.pop(pipe)
            answers[index] = _take(hand, cases[index], summarise)
            _report(progress, len(answers), len(cases))
            give_next(hand)
    return [answers[index] for index in range(len(cases))]


def _ready(pipes: Iterable[Connection]) -> list[Connection]:
    """Wait until a process answers or dies; return the pipes of those that did."""
    watched = list(pipes)
    found = wait(watched)
    return [pipe for pipe in watched if pipe in found]


def _hire(summarise: Callable[[Outcome], Any] | None) -> _Hand:
    """Start a process; it waits for cases."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, summarise), daemon=True)
    try:
        process.start()
    finally:
        theirs.close()
    return _Hand(process, ours)


def _give(hand: _Hand, case: Case, shelf: _Shelf) -> None:
    """Send a case to a process that waits for one."""
    light = shelf.light(case)
    try:
        hand.pipe.send(light)
    except BrokenPipeError as error:
        raise _gone(hand, case) from error


def _take(hand: _Hand, case: Case, summarise: Callable[[Outcome], Any] | None) -> Any:  # noqa: ANN401 - as above
    """Return what a process made of its case, raise what it raised; an outcome gets back the traffic that did not travel."""
    try:
        answer = hand.pipe.recv()
    except (EOFError, ConnectionError) as error:
        raise _gone(hand, case) from error
    if isinstance(answer, _Failed):
        answer.error.add_note(f"{_note(case)}, in a process of its own:\n{answer.trace}")
        raise answer.error
    if summarise is None and isinstance(case.traffic, Traffic):
        return replace(answer, traffic=case.traffic)
    return answer


def _gone(hand: _Hand, case: Case) -> ChildProcessError:
    """Return the error for a process that ended in the midst of a case."""
    hand.process.join()
    return ChildProcessError(
        f"the process that replayed case {case.name!r} ended with exit code {hand.process.exitcode} "
        "(negative: killed by that signal; -9 is often a machine out of memory)\n"
        "Resolve: use fewer processes, as each needs the memory of a whole replay, or fewer requests"
    )


def _dismiss(hands: Sequence[_Hand]) -> None:
    """End processes, whatever they do."""
    for hand in hands:
        hand.process.terminate()
    for hand in hands:
        hand.process.join()
        hand.process.close()
        hand.pipe.close()


# ------------------------------------------------------------------------------------------------- in a process of its own


def _work(pipe: Connection, summarise: Callable[[Outcome], Any] | None) -> None:
    """Answer cases until nobody asks any more; an interrupt from the keyboard is for the process that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    try:
        while True:
            pipe.send_bytes(_answered(pipe.recv_bytes(), summarise))
    except (EOFError, ConnectionError):
        return


def _follow() -> None:
    """End this process, in the midst of a replay, when the one that started it is gone: nobody would read the answer."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answered(message: bytes, summarise: Callable[[Outcome], Any] | None) -> bytes:
    """Return what travels back, pickled, for a pickled case: no traffic that is stored, and an error as a record."""
    try:
        case = pickle.loads(message)  # noqa: S301 - from the process that started this one
        outcome = replay_case(case)
        if summarise is not None:
            return pickle.dumps(summarise(outcome), protocol=pickle.HIGHEST_PROTOCOL)
        light = replace(outcome, traffic=_nothing()) if isinstance(case.traffic, _Stored) else outcome
        return pickle.dumps(light, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - it is raised again where the sweep was asked for
        return _failed(error)


def _failed(error: Exception) -> bytes:
    """Return an error as it travels; one that can not be pickled and rebuilt goes as its words."""
    trace = traceback.format_exc()
    try:
        record = pickle.dumps(_Failed(error, trace))
        pickle.loads(record)  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever the class of the error does when it is rebuilt
        return pickle.dumps(_Failed(RuntimeError(f"{type(error).__name__}: {error}"), trace))
    return record


def _nothing() -> Traffic:
    """Return what stands in for a traffic that the other side has."""
    none = np.zeros(0, dtype=np.int64)
    return Traffic(np.zeros(0), none, none, none)
