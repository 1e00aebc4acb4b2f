"""A cascade on 20 Newsgroups: MiniLM at a sixth of its work answers first, what it is unsure of goes on to the whole model."""

from dataclasses import replace

from benchmarks.compress_int8 import LENGTH, compressed, outcome
from benchmarks.minilm import NEWS, minilm
from tightrope.perf.compress.cascade import CalibratedCascade
from tightrope.perf.compress.distil import Lessons
from tightrope.perf.compress.prune import PruningCut
from tightrope.perf.compress.variant_search import ORIGINAL, SearchLimits

NAME = "cascade"
DOC = "cascade small to whole MiniLM-L6 beside the whole one alone, 20 Newsgroups, at parity; reference: parity at 24.5-31 % gone on"
CUT = PruningCut(layers=3, neurons=0.5)
SMALL = f"{CUT.name}-int8"
CORPUS = replace(NEWS, fit=3200, held=3400)
"""A quarter of what is held chooses thresholds, the rest states the curve."""


def run() -> dict:
    """Return the rate of the cascade where it is as good as the whole model, beside that model's, and what words alone reach."""
    graph, tokenizer = minilm()
    asked = SearchLimits(kinds=("int8",), cuts=(CUT,), lessons=Lessons(steps=150, rate=8e-4), method="minmax", own_head=True)
    found = compressed(graph, tokenizer, CORPUS, asked)
    cascades = {item.small: item for item in found.cascades}
    ours, words = cascades[SMALL], cascades["tf-idf"]
    speeds = {name: found.speeds[name].items_per_s for name in (SMALL, ORIGINAL)}
    parity = 0.0 if ours.small_metric >= ours.large_metric else ours.parity
    rate = speeds[ORIGINAL] if parity is None else 1.0 / (1.0 / speeds[SMALL] + parity / speeds[ORIGINAL])
    return {
        "name": NAME,
        "value": rate,
        "unit": "texts/s",
        "peer": "the whole model alone, float32",
        "peer_value": speeds[ORIGINAL],
        "ratio": rate / speeds[ORIGINAL],
        "detail": {
            "target": "parity at 24.5-31 % gone on (the reference's two cascades), and a notice that words alone are better",
            "tokens": LENGTH,
            "lessons": asked.lessons.steps if asked.lessons else 0,
            "parity_escalated": ours.parity,
            "parity_accuracy": ours.parity_metric,
            SMALL: curve(ours),
            "words": {"alone": round(words.small_metric, 4), "whole_model": round(words.large_metric, 4), "notice": words.notice},
            "variants": {trial.name: outcome(found, trial.name) for trial in found.trials},
        },
    }


def curve(cascade: CalibratedCascade) -> dict:
    """Return what a cascade reaches at each threshold."""
    steps = [(round(100 * step.escalated, 1), round(step.metric, 4)) for step in cascade.steps]
    return {"notice": cascade.notice, "percent_escalated_and_accuracy": steps}
