"""Whether a measurement can be repeated: the same model measured twice, and how far apart that is beside the band that was stated."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.minilm import minilm
from tightrope.perf.compress.graph import as_bytes
from tightrope.perf.measure.entry import error_band
from tightrope.perf.measure.sweep import Asked, measure_onnx

NAME = "measure-repeat"
DOC = "two runs of `perf measure` on MiniLM-L6: largest difference of a mean beside the stated band; target within it"


def run() -> dict:
    """Return the largest difference between two runs beside the wider of their bands."""
    graph, _ = minilm()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        path.write_bytes(as_bytes(graph))
        asked = Asked(path, batches=(1, 8), lengths=(32,), threads=(1,), most_noise_cores=float(cores), precision=0.2)
        first, second = (measure_onnx(replace(asked, seed=seed)) for seed in (1, 2))
    pairs = list(zip(first.points, second.points, strict=True))
    apart = max(abs(a.mean_s - b.mean_s) / min(a.mean_s, b.mean_s) for a, b in pairs)
    band = max(error_band(run.points, run.cores) for run in (first, second))
    return {
        "name": NAME,
        "value": 100 * apart,
        "unit": "%",
        "peer": "the stated error band",
        "peer_value": 100 * band,
        "ratio": apart / band,
        "detail": {
            "target": "at most 1: within the band",
            "noise_cores": max(point.noise_cores or 0.0 for run in (first, second) for point in run.points),
            "means_ms": [[round(1e3 * a.mean_s, 3), round(1e3 * b.mean_s, 3)] for a, b in pairs],
        },
    }
