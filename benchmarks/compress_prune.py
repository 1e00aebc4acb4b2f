"""MiniLM with layers and neurons taken out, re-fitted, distilled and in int8: how much faster, and what it loses on 20 Newsgroups."""

import time
from dataclasses import asdict, replace

from benchmarks.compress_int8 import LENGTH, compressed, outcome
from benchmarks.minilm import NEWS, minilm
from tightrope.perf.compress.distil import Lessons
from tightrope.perf.compress.prune import PruningCut
from tightrope.perf.compress.variant_search import SearchLimits

NAME = "compress-prune"
DOC = "MiniLM-L6 pruned, distilled and in int8 beside float32, 20 Newsgroups; targets 3.5 × at parity, 6 × at its stated loss"
CUTS = (PruningCut(layers=2), PruningCut(layers=3, neurons=0.5))
LESSONS = Lessons(steps=150, rate=8e-4)
CORPUS = replace(NEWS, length=64, fit=1200, held=800)


def run() -> dict:
    """Return the rate without two layers in int8, each variant with a head of its own, and the rest beside it."""
    graph, tokenizer = minilm()
    began = time.process_time()
    found = compressed(
        graph, tokenizer, CORPUS, SearchLimits(kinds=("int8",), cuts=CUTS, lessons=LESSONS, method="minmax", own_head=True)
    )
    used_s = time.process_time() - began
    name = f"{CUTS[0].name}-int8"
    speed = found.speeds[name]
    figures = {trial.name: outcome(found, trial.name) for trial in found.trials}
    cascades = {
        item.small: {"notice": item.notice, "alone": round(item.small_metric, 4), "parity": item.parity}
        for item in found.cascades
    }
    return {
        "name": NAME,
        "value": speed.items_per_s,
        "unit": "texts/s",
        "peer": "the same model, whole and in float32",
        "peer_value": found.speeds["fp32"].items_per_s,
        "ratio": speed.items_per_s / found.speeds["fp32"].items_per_s,
        "detail": {
            "accuracy_drop_points": figures[name]["drop_points"],
            "target": "3.5 × at parity; 6 × at its stated loss",
            "tokens": LENGTH,
            "compress_processor_s": round(used_s),
            "lessons": asdict(LESSONS),
            "variants": figures,
            "cascades": cascades,
        },
    }
