"""Engines side by side, each a process with its own cores: started, told what to run, and always ended."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightrope.base.errors import InputError, MissingExtraError, Where
from tightrope.perf.measure.cpu_noise import Moment, look

START_LIMIT_S = 600.0
"""A model that has not loaded by then never will."""
EXPLAINED = {
    "InvalidProtobuf": ("this is not an ONNX model, or not all of one", "give the file that the export wrote, whole"),
    "NoSuchFile": (
        "a file of the model is missing",
        "keep the external data beside the model, under the name that it was exported with",
    ),
    "NotImplemented": (
        "an operator of the model has no implementation on this runtime",
        "export it with another opset, or install a newer onnxruntime",
    ),
    "TypeError": ("an input of the model cannot be made up", "measure the part of the model that takes numbers"),
    "MemoryError": ("the model does not fit this machine's memory", "measure it on a machine with more, or a smaller variant"),
}
"""Kind of a runtime's error → what it means, and what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One running process; ``inputs`` are the model's: name, type, and a shape with numbers, names or None."""

    process: "subprocess.Popen[str]"
    load_s: float
    start_s: float
    """From asking for the process to its model being loaded."""
    inputs: tuple[dict[str, Any], ...]
    rss_mib: float


@contextmanager
def engines(model: Path, count: int, threads: int, cores: Sequence[int] = ()) -> Iterator[list[Engine]]:
    """Start engines side by side, each on its own part of the numbered ``cores``, or on any where there are none.

    Raises ``InputError`` where the model cannot be loaded.
    """
    check_runtime()
    processes: list[subprocess.Popen[str]] = []
    try:
        began = time.monotonic()
        for place in range(count):
            mine = ",".join(map(str, cores[place * threads : (place + 1) * threads]))
            command = [sys.executable, "-m", "tightrope.perf.measure.worker", str(model), str(threads), mine]
            processes.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
            )
        yield [_started(process, model, began) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def check_runtime() -> None:
    """Raise ``MissingExtraError`` where the runtime is not installed."""
    from importlib.util import find_spec

    if find_spec("onnxruntime") is None:
        msg = "measuring an ONNX model needs onnxruntime, which is not installed"
        raise MissingExtraError(msg, resolve="pip install 'tightrope[measure]'")


def run_all(running: list[Engine], job: dict[str, Any], model: Path) -> tuple[list[dict[str, Any]], Moment, Moment]:
    """Let all engines do one job at a time and return their answers, with the processor's time before and after."""
    pids = [engine.process.pid for engine in running]
    before = look(pids)
    for engine in running:
        assert engine.process.stdin is not None  # noqa: S101 - it is a pipe
        engine.process.stdin.write(json.dumps(job) + "\n")
        engine.process.stdin.flush()
    answers = [_answer(engine.process, model) for engine in running]
    return answers, before, look(pids)


def _started(process: "subprocess.Popen[str]", model: Path, began: float) -> Engine:
    """Return an engine once it has loaded its model."""
    said = _answer(process, model)
    return Engine(process, said["load_s"], time.monotonic() - began, tuple(said["inputs"]), said["rss_mib"])


def _answer(process: "subprocess.Popen[str]", model: Path) -> dict[str, Any]:
    """Return the next line of an engine; raise ``InputError`` where it failed."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    line = process.stdout.readline()
    if not line:
        msg = f"the engine ended with code {process.wait()} before it answered: often for want of memory"
        raise InputError(msg, resolve="measure smaller batches (--batch), or on a machine with more memory", where=Where(model))
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        first = next((text for text in str(said["what"]).splitlines() if text.strip()), "")[:300]
        meaning, resolve = EXPLAINED.get(said["error"], ("the runtime refuses the model", _remedy(first)))
        msg = f"{meaning} ({said['error']}: {first})"
        raise InputError(msg, resolve=resolve, where=Where(model))
    return said


def _remedy(text: str) -> str:
    """Return what to do about a message of the runtime."""
    if "opset" in text or "IR version" in text:
        return "export the model with an older opset, or install a newer onnxruntime"
    if "external" in text.lower():
        return "keep the external data beside the model, under the name that it was exported with"
    return "check the model with onnx.checker, and its inputs with --input NAME=2x3x224x224"
