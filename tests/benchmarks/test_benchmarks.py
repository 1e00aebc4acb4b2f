"""Every declared benchmark has the shape that the runner and its readers count on; nothing here asserts how fast anything is."""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PEAK_MIB = 300.0


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return __import__("benchmarks")


@pytest.fixture
def processes(benchmarks: ModuleType) -> ModuleType:
    return __import__("benchmarks.processes", fromlist=["run_measured"])


def of_commands(benchmarks: ModuleType) -> dict[str, ModuleType]:
    """Return the benchmarks that time whole commands: what they do with the figures can be tested without the commands."""
    found = {name: module for name, module in benchmarks.declared().items() if hasattr(module, "run_measured")}
    assert found
    return found


def stand_in(seen: list[list[str]]) -> Callable[..., tuple[float, float]]:
    """Return a ``run_measured`` that runs nothing: the first command takes 2 s, every later one half of the one before."""

    def measure(command: list[str], env: dict[str, str] | None = None, *, accept: tuple[int, ...] = (0,)) -> tuple[float, float]:
        seen.append(command)
        return 2.0 / 2 ** (len(seen) - 1), PEAK_MIB

    return measure


def check_result(benchmarks: ModuleType, name: str, result: dict) -> None:
    """Assert what the runner and its readers count on."""
    assert tuple(result) == benchmarks.FIELDS
    assert result["name"] == name
    assert result["ratio"] == result["value"] / result["peer_value"] > 0.0
    assert json.loads(json.dumps(result)) == result


def test_every_benchmark_is_named_and_says_what_it_measures(benchmarks: ModuleType) -> None:
    declared = benchmarks.declared()
    replays = {f"replay-{what}" for what in ("token", "request", "day")}
    assert {"help-start", "plan-chatgenius", *replays} <= set(declared)
    for name, module in declared.items():
        assert name == module.__name__.removeprefix("benchmarks.").replace("_", "-")
        assert module.DOC.strip()
        assert "\n" not in module.DOC
        assert callable(module.run)


def test_every_module_of_the_folder_declares_one_or_serves_them(benchmarks: ModuleType) -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")} - {
        "clients",
        "loads",
        "minilm",
        "planning_family",
        "processes",
        "serving",
        "static_instances",
    }
    assert {module.__name__.removeprefix("benchmarks.") for module in benchmarks.declared().values()} == modules


def test_a_result_has_every_field_and_a_true_ratio(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in of_commands(benchmarks).items():
        seen: list[list[str]] = []
        monkeypatch.setattr(module, "run_measured", stand_in(seen))
        check_result(benchmarks, name, module.run())
        assert len(seen) >= 2, "a peer is measured in the same run"


def test_the_price_book_is_timed_and_weighed(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    module = benchmarks.declared()["price-book"]
    monkeypatch.setattr(module, "REPEATS", 1)
    result = module.run()
    check_result(benchmarks, "price-book", result)
    assert 1000 <= result["detail"]["rows_in_force"] <= result["detail"]["rows_in_all"]
    assert 0 < result["detail"]["packed_mib"] <= module.TARGET_MIB


def test_the_warm_plan_is_the_second_run_into_the_same_cache(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    module = benchmarks.declared()["plan-chatgenius"]
    monkeypatch.setattr(module, "run_measured", stand_in(seen))
    result = module.run()
    assert (result["value"], result["peer_value"], result["detail"]["peak_mib"]) == (1.0, 2.0, PEAK_MIB)
    assert seen[0] == seen[1]
    assert Path(seen[0][2]) == ROOT / "examples" / "chatgenius" / "workload.yaml"


def test_a_command_is_measured_with_its_children(processes: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The child lives until both were seen, however seldom the watcher has a turn."""
    seen, watch = tmp_path / "seen", processes._watch

    def watched(root: int, tree_kib: list[int]) -> None:
        watcher = threading.Thread(target=watch, args=(root, tree_kib))
        watcher.start()
        while watcher.is_alive() and tree_kib[0] <= 128 << 10:
            time.sleep(0.01)
        seen.touch()
        watcher.join()

    monkeypatch.setattr(processes, "_watch", watched)
    wait = f"any(pathlib.Path({str(seen)!r}).exists() or time.sleep(0.01) for _ in range(3000))"
    hold = f"import pathlib, time; held = b'x' * (64 << 20); {wait}"
    parent = f"import subprocess, sys; held = b'x' * (64 << 20); subprocess.run([sys.executable, '-c', {hold!r}], check=True)"
    wall_s, peak_mib = processes.run_measured([sys.executable, "-c", parent])
    assert peak_mib > 128
    assert math.isfinite(wall_s)


def test_an_exit_code_may_be_expected(processes: ModuleType) -> None:
    wall_s, _ = processes.run_measured([sys.executable, "-c", "raise SystemExit(4)"], accept=(0, 4))
    assert wall_s > 0.0


def test_a_command_that_fails_is_no_measurement(processes: ModuleType) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        processes.run_measured([sys.executable, "-c", "print('why'); raise SystemExit(3)"])
    assert (caught.value.returncode, caught.value.output) == (3, b"why\n")


def runner(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)  # noqa: S603


def test_the_runner_lists_what_there_is() -> None:
    done = runner("--help")
    assert done.returncode == 0
    assert "help-start         wall time of `tightrope --help`" in done.stdout


def test_an_unknown_benchmark_is_bad_input() -> None:
    done = runner("plan-chatgenios", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown benchmark 'plan-chatgenios'\nResolve: use plan-chatgenius")
