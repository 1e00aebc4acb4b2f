"""MiniLM in static int8: how much faster, and what it loses on two sets of texts."""

import tempfile
from pathlib import Path

from benchmarks.minilm import NEWS, R8, Corpus, minilm, texts_of
from tightrope.perf.compress.examples import split
from tightrope.perf.compress.graph import Graph
from tightrope.perf.compress.quality import accuracy
from tightrope.perf.compress.task import Splits
from tightrope.perf.compress.variant_search import CompressionResult, SearchLimits, compress

NAME = "compress-int8"
DOC = (
    "MiniLM-L6 in static int8 beside float32, one thread, by processor time; targets 2.2 × at 0.5 points on R8 and 20 Newsgroups"
)
TARGET, TARGET_POINTS = 2.2, 0.5
LENGTH = 32
"""Tokens of the texts that speed is measured on."""


def run() -> dict:
    """Return int8's rate beside float32's, and the loss of accuracy on both sets, with float32's head."""
    graph, tokenizer = minilm()
    found = {
        corpus.name: compressed(graph, tokenizer, corpus, SearchLimits(kinds=("int8", "int8-dynamic"), tries=0))
        for corpus in (R8, NEWS)
    }
    last = found[NEWS.name]
    speed, original = last.speeds["int8"], last.speeds["fp32"]
    detail = {name: {trial.name: outcome(one, trial.name) for trial in one.trials} for name, one in found.items()}
    drops = [detail[name]["int8"]["drop_points"] for name in detail]
    return {
        "name": NAME,
        "value": speed.items_per_s,
        "unit": "texts/s",
        "peer": "the same model in float32",
        "peer_value": original.items_per_s,
        "ratio": speed.items_per_s / original.items_per_s,
        "detail": {
            "accuracy_drop_points": max(drops),
            "target": f"{TARGET} × at {TARGET_POINTS} points",
            "tokens": LENGTH,
            "ratio_half_width": round(speed.ratio_half_width, 3),
            **detail,
        },
    }


def compressed(graph: Graph, tokenizer: Path, corpus: Corpus, asked: SearchLimits) -> CompressionResult:
    """Return what was found on one set of texts."""
    with tempfile.TemporaryDirectory() as folder:
        fit, held = texts_of(corpus, tokenizer, Path(folder))
    splits = Splits(fit, *split(held, (0.25, 0.75), asked.seed))
    shapes = dict.fromkeys(splits.fit.inputs, (LENGTH,))
    return compress(graph, splits, accuracy, asked, shapes, lambda _: None)


def outcome(found: CompressionResult, name: str) -> dict:
    """Return the figures of one variant."""
    trial, speed = next(item for item in found.trials if item.name == name), found.speeds[name]
    return {
        "accuracy": round(trial.test.metric, 4),
        "drop_points": round(100 * trial.test.drop, 2),
        "drop_interval_points": [round(100 * trial.test.drop_low, 2), round(100 * trial.test.drop_high, 2)],
        "agreement": round(trial.test.agreement, 4),
        "cosine": round(trial.test.cosine, 4),
        "examples": trial.test.examples,
        "ratio": round(speed.ratio, 2),
        "mb": round(len(trial.model) / 1e6, 1),
        "batch_variant": trial.batch_variant,
        "least_cosine_alone": round(trial.alone, 4),
    }
