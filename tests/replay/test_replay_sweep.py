"""A sweep gives what one replay after another gives, whatever runs where, and leaves nothing behind when it fails."""

import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import fleets
import numpy as np
import pytest

from tightrope.base.errors import InputError
from tightrope.replay.records import Fleet, Outcome, Traffic
from tightrope.replay.sweep import Case, _mapped, _store, replay_case, replay_sweep, usable_cores

HANG_S = 120.0
"""No test takes so long unless a process that should have ended did not."""


def spot_fleet(machines: int = 3) -> Fleet:
    """Return a fleet in which the seed matters: machines live for about twenty minutes."""
    return fleets.fleet(fleets.pool(fleets.engine(0.4, 0.5), machines, zones=3, interruptions_per_hour=3.0, start_s=60.0))


def requests(seed: int = 1) -> Traffic:
    return fleets.traffic(fleets.poisson(2.0, 5000, seed))


def cases(traffic: Traffic | None = None) -> list[Case]:
    """Return cases that differ in fleet, seed and traffic; most share one traffic."""
    shared = traffic or requests()
    found = [Case(f"{n} machines, seed {s}", spot_fleet(n), shared, 3600.0, seed=s) for n in (2, 3) for s in (1, 2)]
    drawn = partial(fleets.traffic, np.arange(100.0))
    return [*found, Case("other traffic", spot_fleet(), requests(2), 3600.0), Case("drawn there", spot_fleet(), drawn, 3600.0)]


def contents(record: object) -> bytes:
    """Return a record's bytes, its arrays' types and shapes included."""
    parts = []
    for field in fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        if isinstance(value, Traffic):
            parts.append(contents(value))
        else:
            parts.append(pickle.dumps(np.asarray(value)))
    return b"".join(parts)


@pytest.fixture(scope="module")
def in_turn() -> list[Outcome]:
    return [replay_case(case) for case in cases()]


@pytest.mark.parametrize("processes", [1, 2, 9])
def test_a_sweep_gives_the_bytes_of_one_replay_after_another(in_turn: list[Outcome], processes: int) -> None:
    swept = replay_sweep(cases(), processes)
    assert [contents(outcome) for outcome in swept] == [contents(outcome) for outcome in in_turn]
    assert len({contents(outcome) for outcome in swept}) == len(swept), "cases that differ in nothing would hide a mix-up"


def test_an_outcome_of_a_process_keeps_the_callers_own_traffic() -> None:
    shared = requests()
    swept = replay_sweep(cases(shared), 2)
    assert all(outcome.traffic is shared for outcome in swept[:4])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_summary_is_made_where_the_case_is_replayed(in_turn: list[Outcome], processes: int) -> None:
    counts = replay_sweep(cases(), processes, summarise=operator.attrgetter("interruptions"))
    assert counts == [outcome.interruptions for outcome in in_turn]
    assert len(set(counts)) > 2


@pytest.mark.parametrize("processes", [1, 2])
def test_progress_is_told_after_every_case(processes: int) -> None:
    told: list[tuple[int, int]] = []
    replay_sweep(cases(), processes, progress=lambda done, of: told.append((done, of)))
    assert told == [(n, 6) for n in range(1, 7)]


def test_no_cases_are_no_outcomes_and_no_process() -> None:
    assert replay_sweep([], 8) == []


def test_one_case_is_replayed_here() -> None:
    here = Case("here", spot_fleet(), partial(fleets.traffic, [1.0]), 60.0)
    assert replay_sweep([here], 8, summarise=lambda _: os.getpid()) == [os.getpid()]


@pytest.mark.parametrize("processes", [0, -3])
def test_fewer_processes_than_one_are_refused(processes: int) -> None:
    with pytest.raises(InputError, match=f"{processes} processes asked for"):
        replay_sweep(cases(), processes)


def test_no_more_cores_are_used_than_there_are() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


# ------------------------------------------------------------------------------------------------------------- failures


def failing(name: str, recipe: partial) -> list[Case]:
    """Return good cases around one whose requests can not be drawn."""
    good = cases()
    return [*good[:3], replace(good[0], name=name, traffic=recipe), *good[3:]]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_the_cases_own_and_names_the_case(processes: int) -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        replay_sweep(failing("bad words", partial(int, "seven")), processes)
    assert "in case 'bad words' of the sweep (seed 1)" in caught.value.__notes__[0]


def test_an_error_that_can_not_travel_arrives_in_words() -> None:
    """Its class is known only where it was raised."""
    recipe = partial(exec, "raise type('Local', (Exception,), {})('so it was')")
    with pytest.raises(RuntimeError, match=r"^Local: so it was") as caught:
        replay_sweep(failing("no trip home", recipe), 2)
    assert "no trip home" in caught.value.__notes__[0]


def test_a_process_that_dies_is_named_with_its_case() -> None:
    with pytest.raises(
        ChildProcessError, match=r"replayed case 'too large' ended with exit code 9 [\s\S]*Resolve: use fewer processes"
    ):
        replay_sweep(failing("too large", partial(os._exit, 9)), 2)


def test_a_summary_that_can_not_travel_is_an_error_of_its_case() -> None:
    with pytest.raises(TypeError, match="memoryview") as caught:
        replay_sweep(cases()[:2], 2, summarise=operator.attrgetter("finish_s.data"))
    assert "in case '2 machines, seed" in caught.value.__notes__[0]


INTERRUPTED = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
import fleets
from tightrope.replay.sweep import Case, replay_sweep

def sleep(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    # what a shell starts in the background ignores the keyboard, and so do its children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    fleet = fleets.fleet(fleets.pool(fleets.engine(1.0)))
    replay_sweep([Case(str(n), fleet, partial(sleep, sys.argv[1]), 1.0) for n in range(4)], 2)
"""


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that other processes do."""
    latest_s = time.monotonic() + HANG_S
    while not happened():
        assert time.monotonic() < latest_s
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that only nobody has buried yet does not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        state = stat.read_text() if Path("/proc/self/stat").exists() else "(python) R"
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize(("sent", "words"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGKILL, "")])
def test_the_end_of_a_sweep_is_the_end_of_its_processes(tmp_path: Path, sent: signal.Signals, words: str) -> None:
    script, pids = tmp_path / "sweep.py", tmp_path / "pids"
    script.write_text(INTERRUPTED)
    pids.mkdir()
    env = os.environ | {"PYTHONPATH": str(Path(fleets.__file__).parent)}
    command = [sys.executable, str(script), str(pids)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            until(lambda: len(list(pids.iterdir())) == 2)
            process.send_signal(sent)
            _, said = process.communicate(timeout=HANG_S)
        finally:
            process.kill()
    assert words in said
    assert process.returncode != 0
    children = [int(path.name) for path in pids.iterdir()]
    assert len(children) == 2
    until(lambda: not any(alive(pid) for pid in children))


# ------------------------------------------------------------------------------------------------------- shared traffic


def test_a_stored_traffic_is_the_same_but_for_where_it_is(tmp_path: Path) -> None:
    whole = replace(
        requests(),
        key=np.arange(5000) % 7,
        deadline_s=np.linspace(0.0, 1.0, 5000),
        block_start=np.zeros(5001, dtype=np.int64),
        blocks=np.zeros(0, dtype=np.int64),
        after=np.full(5000, -1),
    )
    again = _store(whole, tmp_path / "whole")()
    assert contents(again) == contents(whole)
    assert all(type(getattr(again, field.name)) is np.ndarray for field in fields(Traffic))


def test_what_a_traffic_has_not_it_has_not_when_it_is_mapped(tmp_path: Path) -> None:
    again = _store(requests(), tmp_path / "plain")()
    assert (again.key, again.deadline_s, again.block_start, again.blocks) == (None, None, None, None)


def test_writing_to_a_mapped_traffic_changes_nobody_elses(tmp_path: Path) -> None:
    stored = _store(requests(), tmp_path / "shared")
    mine = stored()
    mine.time_s[0] = -1.0
    _mapped.cache_clear()
    assert stored().time_s[0] == requests().time_s[0]


def test_a_mapped_traffic_is_mapped_once(tmp_path: Path) -> None:
    stored = _store(requests(), tmp_path / "once")
    assert stored() is stored()
