"""Shared by the benchmarks of whole commands: wall time and peak memory of a fresh process and all it starts."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

TIGHTROPE = str(Path(sys.executable).with_name("tightrope"))
SAMPLE_S = 0.02


def run_measured(command: list[str], env: dict[str, str] | None = None, *, accept: tuple[int, ...] = (0,)) -> tuple[float, float]:
    """Return (wall seconds, peak MiB) of a command; raise ``CalledProcessError`` with its output on an exit code not accepted.

    The peak is the larger of the kernel's figure for the largest single process (KiB, as Linux counts) and the sampled sum over
    the process tree, in which pages that processes share count once for each.
    """
    start = time.perf_counter()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        tree_kib: list[int] = [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, tree_kib), daemon=True)
        watcher.start()
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accept:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return wall_s, max(usage.ru_maxrss, *tree_kib) / 1024


def _watch(root: int, tree_kib: list[int]) -> None:
    """Keep the largest sum in ``tree_kib[0]`` until the root is gone; without a /proc file system nothing is sampled."""
    while size_kib := sum(_resident_kib(pid) for pid in _tree(root)):
        tree_kib[0] = max(tree_kib[0], size_kib)
        time.sleep(SAMPLE_S)


def _tree(root: int) -> list[int]:
    """Return a process and its descendants."""
    try:
        tasks = [path.read_text().split() for path in Path(f"/proc/{root}/task").glob("*/children")]
    except OSError:
        return [root]
    return [root, *(pid for task in tasks for child in task for pid in _tree(int(child)))]


def _resident_kib(pid: int) -> int:
    """Return a process's resident size; 0 once it is gone or a zombie."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
