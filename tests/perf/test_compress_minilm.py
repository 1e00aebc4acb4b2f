"""Compression of a real encoder whose weights lie in a file beside it; skipped where the package index can not be reached."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.errors import UnreachableError
from tightrope.perf.compress.examples import Examples
from tightrope.perf.compress.graph import Graph, as_bytes
from tightrope.perf.compress.judge import cosine
from tightrope.perf.compress.prune import Cut, prune
from tightrope.perf.compress.quantize import dynamic_int8, matrices_of, small_tables, static_int8
from tightrope.perf.compress.ranges import observe
from tightrope.perf.compress.run import answers, open_session
from tightrope.perf.compress.structure import find_heads, find_layers, find_neurons

ROOT = Path(__file__).parents[2]
TEXTS = 48


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Examples]:
    """Return MiniLM and a few texts of Reuters R8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        minilm: ModuleType = __import__("benchmarks.minilm", fromlist=["minilm"])
    try:
        graph, tokenizer = minilm.minilm()
        fit, _ = minilm.texts_of(minilm.R8, tokenizer, tmp_path_factory.mktemp("r8"))
    except UnreachableError as error:
        pytest.skip(str(error))
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


def test_it_is_shorter_narrower_and_still_runs(real: tuple[Graph, Examples]) -> None:
    graph, examples = real
    few = examples.take(np.arange(16))
    made = prune(graph, Cut(layers=1, neurons=0.25, heads=0.25), few)
    assert (len(find_layers(made)), find_heads(made)[0].count, find_neurons(made)[0].count) == (5, 288, 1152)
    assert cosine(answers(open_session(as_bytes(made)), few), answers(open_session(as_bytes(graph)), few)).mean() > 0.5
