"""Whether a measurement can be repeated: the same model measured again and again, its differences beside the stated band."""

import os
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from benchmarks.minilm import minilm
from tightrope.perf.compress.graph import as_bytes
from tightrope.perf.measure.profile_entry import error_band
from tightrope.perf.measure.sweep import ModelMeasurement, SweepOptions, measure_onnx

NAME = "measure-repeat"
DOC = "runs of `perf measure` on MiniLM-L6, one after the other: largest difference of a mean beside the stated band; target within it"
RUNS = 5


def run() -> dict:
    """Return the largest difference between two runs in a row, beside the wider of their bands; every pair is in the detail."""
    graph, _ = minilm()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        path.write_bytes(as_bytes(graph))
        asked = SweepOptions(path, batches=(1, 8), lengths=(32,), threads=(1,), most_noise_cores=float(cores), precision=0.2)
        runs = [measure_onnx(replace(asked, seed=seed)) for seed in range(RUNS)]
    pairs = [(apart(*pair), max(error_band(run.points, run.cores) for run in pair)) for pair in pairwise(runs)]
    worst = max(pairs, key=lambda pair: pair[0] / pair[1])
    return {
        "name": NAME,
        "value": 100 * worst[0],
        "unit": "%",
        "peer": "the stated error band",
        "peer_value": 100 * worst[1],
        "ratio": worst[0] / worst[1],
        "detail": {
            "target": "at most 1: within the band",
            "ratios": [round(difference / band, 2) for difference, band in pairs],
            "bands_percent": [round(100 * band, 1) for _, band in pairs],
            "noise_cores": max(point.noise_cores or 0.0 for run in runs for point in run.points),
            "means_ms": [[round(1e3 * point.mean_s, 3) for point in run.points] for run in runs],
        },
    }


def apart(first: ModelMeasurement, second: ModelMeasurement) -> float:
    """Return the largest difference of a point's means, as a share."""
    pairs = zip(first.points, second.points, strict=True)
    return max(abs(a.mean_s - b.mean_s) / min(a.mean_s, b.mean_s) for a, b in pairs)
