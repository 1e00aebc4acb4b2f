"""One engine in a process of its own: it loads a model, says how long that took, and runs the batches it is told to.

Run as ``python -m tightrope.perf.measure.worker MODEL THREADS CORES``; one JSON object a line comes in and goes out. What goes wrong is
said as ``{"error": kind, "what": message}``.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_TIMES = 20_000
"""Runs of one job: enough for any interval, few enough to send."""
INTEGERS = {f"tensor({kind})": np.dtype(kind) for kind in ("int64", "int32", "int16", "int8", "uint8", "bool")}
FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
MOST_ID = 100
"""Token ids are drawn below this: every vocabulary has them, and their values do not change the work."""


def main() -> None:
    """Load, say so, then answer jobs until the input ends."""
    began = time.perf_counter()
    path, threads, cores = sys.argv[1], int(sys.argv[2]), [int(core) for core in sys.argv[3].split(",") if core]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    try:
        session = _open(Path(path), threads)
    except Exception as error:  # noqa: BLE001 - every failure to load is for the parent to explain
        _say({"error": type(error).__name__, "what": str(error)})
        return
    inputs = [{"name": item.name, "type": item.type, "shape": list(item.shape)} for item in session.get_inputs()]
    _say({"load_s": time.perf_counter() - began, "inputs": inputs, "rss_mib": _rss_mib()})
    for line in sys.stdin:
        try:
            _say(_run(session, json.loads(line)))
        except Exception as error:  # noqa: BLE001 - as above
            _say({"error": type(error).__name__, "what": str(error)})


def _open(path: Path, threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Return a session of so many threads, which do not spin while they wait: idle engines leave the cores to the others."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: Any, job: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - see above
    """Return the times of so many seconds of batches of one shape, and the processor time of all threads together."""
    feeds = {item["name"]: _values(item["name"], item["type"], item["shape"], job["seed"]) for item in job["inputs"]}
    times: list[float] = []
    began_s = time.process_time()
    end = time.perf_counter() + job["seconds"]
    now = time.perf_counter()
    while not times or (now < end and len(times) < MOST_TIMES):
        session.run(None, feeds)
        before, now = now, time.perf_counter()
        times.append(now - before)
    return {"times_s": times, "processor_s": time.process_time() - began_s, "rss_mib": _rss_mib()}


def _values(name: str, kind: str, shape: list[int], seed: int) -> NDArray[Any]:
    """Return an input of a shape: a mask that hides nothing, segments that are all the first, ids, or a normal sample."""
    random = np.random.default_rng(seed)
    if kind in INTEGERS and ("mask" in name or "token_type" in name):
        return np.full(shape, "mask" in name, INTEGERS[kind])
    if kind in FLOATS:
        return random.standard_normal(shape).astype(FLOATS[kind])
    if kind not in INTEGERS:
        msg = f"an input of {kind} cannot be made up"
        raise TypeError(msg)
    return random.integers(1, MOST_ID, shape).astype(INTEGERS[kind])


def _rss_mib() -> float:
    """Return the most memory that this process has had, MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _say(answer: dict[str, Any]) -> None:
    """Send one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
