"""Loading: bad files are refused in words, what is measured decides, and what was measured is not measured again."""

import asyncio
import math
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from local_models import FLOAT, INT64, affine, call, logits, pool_of, run, served, text, write, write_encoder
from onnx import helper

from tightrope.base.errors import InputError, MissingExtraError
from tightrope.serve.config.settings import LocalModel, ServedPool
from tightrope.serve.local import model_loading
from tightrope.serve.local.model_loading import best_threads, load, slots
from tightrope.serve.local.sessions import quantises_while_running


def cut(path: Path) -> None:
    """Leave the beginning."""
    path.write_bytes(path.read_bytes()[:2000])


def without_weights(path: Path) -> None:
    """Put the weights into a file of their own, and remove it."""
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0)
    (path.parent / "weights").unlink()


def from_the_future(path: Path) -> None:
    """Ask for operators that are not made yet."""
    model = onnx.load(path)
    model.opset_import[0].version = 99
    path.write_bytes(model.SerializeToString())


def flat(path: Path) -> None:
    """Take ids in one dimension."""
    ports = ({"input_ids": (INT64, [2])}, {"y": (FLOAT, [2])})
    write(path, [helper.make_node("Cast", ["input_ids"], ["y"], to=FLOAT)], *ports)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "no such file"),
    "text": (lambda path: path.write_text("this is not a model"), "not an ONNX model"),
    "empty": (lambda path: path.write_bytes(b""), "not an ONNX model"),
    "cut": (cut, "not an ONNX model"),
    "external data": (without_weights, "weights is missing"),
    "opset": (from_the_future, "newer than the runtime"),
    "no tokenizer": (lambda path: (path.parent / "tokenizer.json").unlink(), "no tokenizer"),
    "bad tokenizer": (lambda path: (path.parent / "tokenizer.json").write_text("{}"), "not a tokenizer"),
    "inputs": (affine, "not one that a text has"),
    "tensor": (flat, "expected [texts, tokens]"),
}
"""What is wrong → how it is made so, and what is said."""


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_words_at_the_start(tmp_path: Path, kind: str, keep: bool) -> None:
    spoil, says = BAD[kind]
    model = LocalModel(write_encoder(tmp_path), threads=1, keep_loaded=keep)
    spoil(model.path)
    with pytest.raises(InputError) as refused:
        asyncio.run(pool_of(model).start())
    assert says in str(refused.value)
    assert "Resolve:" in str(refused.value)


def test_tokens_that_the_model_does_not_have_are_refused_at_load(tmp_path: Path) -> None:
    path = write_encoder(tmp_path)
    logits(path, np.ones((3, 2)))
    with pytest.raises(InputError, match="does not run on tokens of its tokenizer"):
        asyncio.run(pool_of(path, "classify").start())


def test_more_tokens_than_the_model_has_places_for_are_refused_at_load(tmp_path: Path) -> None:
    tokenizer = write_encoder(tmp_path).with_name("tokenizer.json")
    nodes = [
        helper.make_node("CumSum", ["attention_mask", "one"], ["places"]),
        helper.make_node("Gather", ["table", "places"], ["vectors"]),
        helper.make_node("Cast", ["input_ids"], ["unused"], to=FLOAT),
    ]
    ids = {name: (INT64, ["texts", "tokens"]) for name in ("input_ids", "attention_mask")}
    outputs = {"vectors": (FLOAT, ["texts", "tokens", 2])}
    path = write(tmp_path / "places.onnx", nodes, ids, outputs, {"table": np.ones((513, 2), np.float32), "one": np.array(1)})
    run(pool_of(LocalModel(path, tokenizer=tokenizer, threads=1, max_tokens=512)), lambda pool: pool.answer(call(text(1))))
    for tokens, tried in ((513, "513"), (4096, "1,024")):
        with pytest.raises(InputError, match=f"does not run on a text of {tried} tokens"):
            asyncio.run(pool_of(LocalModel(path, tokenizer=tokenizer, threads=1, max_tokens=tokens)).start())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"labels": ("a", "b", "c")}, "3 labels and 2 classes"),
        ({"head": Path("none.npz")}, "cannot be read"),
        ({"head": Path("narrow.npz")}, "takes vectors of 3"),
        ({"head": Path("odd.npz")}, "expected finite"),
    ],
)
def test_a_head_or_labels_that_do_not_fit_are_refused(tmp_path: Path, more: dict, says: str) -> None:
    write_encoder(tmp_path)
    np.savez(tmp_path / "narrow.npz", weights=np.ones((3, 2)), bias=np.ones(2))
    np.savez(tmp_path / "odd.npz", weights=np.ones((16, 2)), bias=np.array([1.0, np.inf]))
    path = logits(tmp_path / "l.onnx", np.ones((128, 2))) if "labels" in more else tmp_path / "encoder.onnx"
    given = {name: tmp_path / value if isinstance(value, Path) else value for name, value in more.items()}
    with pytest.raises(InputError, match=says):
        asyncio.run(pool_of(LocalModel(path, threads=1, **given), "classify").start())


def test_a_model_of_numbers_that_are_none_and_one_that_chats_are_refused(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    with pytest.raises(InputError, match="numbers that are none"):
        asyncio.run(pool_of(logits(tmp_path / "l.onnx", np.full((128, 2), np.nan)), "classify").start())
    with pytest.raises(InputError, match="does not chat"):
        asyncio.run(pool_of(tmp_path / "encoder.onnx", "chat").start())
    with pytest.raises(InputError, match="expected a vector for each text"):
        asyncio.run(pool_of(LocalModel(tmp_path / "encoder.onnx", pooling="none", threads=1)).start())


def test_the_first_token_can_be_taken_and_the_length_left(tmp_path: Path) -> None:
    path = write_encoder(tmp_path)
    found = run(
        pool_of(LocalModel(path, pooling="first", normalize=False, threads=1)), lambda pool: pool.answer(call("w1 w2 w3"))
    )
    mean = run(pool_of(LocalModel(path, normalize=False, threads=1)), lambda pool: pool.answer(call("w1 w2 w3")))
    one = run(pool_of(LocalModel(path, normalize=False, threads=1)), lambda pool: pool.answer(call("w1")))
    assert not np.allclose(found.outputs[0], mean.outputs[0])
    assert not math.isclose(float(np.linalg.norm(one.outputs[0])), 1.0, rel_tol=1e-3)


@pytest.mark.parametrize("shape", [(1, 12), (4, 12), ("texts", 12)])
def test_models_of_fixed_shape_are_padded_to_it(tmp_path: Path, shape: tuple) -> None:
    """The same answers as with any shape: what fills a row or a batch has no part in them."""
    path = write_encoder(tmp_path)
    model = onnx.load(path)
    for port in (*model.graph.input, *model.graph.output):
        for dimension, size in zip(port.type.tensor_type.shape.dim, shape, strict=False):
            dimension.Clear()
            dimension.dim_param, dimension.dim_value = (size, 0) if isinstance(size, str) else ("", size)
            if isinstance(size, str):
                dimension.dim_param = size
    fixed = tmp_path / "fixed.onnx"
    fixed.write_bytes(model.SerializeToString())
    texts = tuple(text(*range(count)) for count in (1, 5, 12, 40, 3, 2))

    async def ask(pool: object) -> object:
        return await pool.answer(call(texts))  # type: ignore[attr-defined]

    found = run(pool_of(LocalModel(fixed, threads=1)), ask)
    free = run(pool_of(LocalModel(path, max_tokens=12, threads=1)), ask)
    assert found.input_tokens == free.input_tokens
    assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(found.outputs, free.outputs, strict=True))
    assert found.batch <= (shape[0] if isinstance(shape[0], int) else 8)


def test_threads_are_chosen_by_what_all_engines_answer_together() -> None:
    assert best_threads({1: 100.0, 2: 120.0, 4: 121.0}, {1: 0.01, 2: 0.006, 4: 0.004}, math.inf) == 2
    assert best_threads({1: 100.0, 2: 90.0}, {1: 0.01, 2: 0.006}, 0.02) == 1
    assert best_threads({1: 100.0, 2: 90.0}, {1: 0.01, 2: 0.006}, 0.015) == 2  # one thread answers too late
    assert best_threads({1: 100.0, 2: 90.0}, {1: 0.01, 2: 0.006}, 0.001) == 2  # all do: the quickest


def test_engines_of_several_threads_stand_on_neighbouring_cores() -> None:
    places = [frozenset({core, core + 4}) for core in range(4)]
    assert slots(places, 2) == [frozenset({0, 4, 1, 5}), frozenset({2, 6, 3, 7})]
    assert slots(places, 3) == [frozenset({0, 4, 1, 5, 2, 6})]
    assert slots([None, None], 1) == [None, None]


def test_what_was_measured_is_kept_for_the_next_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ServedPool("pool", "model", "variant", local=LocalModel(write_encoder(tmp_path)), max_batch=4)
    first = load(pool, "embed", (None, None), None, 10.0)
    assert first.found.threads in {1, 2}
    assert len(first.sessions) == 2 // first.found.threads
    assert first.found.curve.known
    monkeypatch.setattr(model_loading, "_curve", None)
    monkeypatch.setattr(model_loading, "_side_by_side", None)
    again = load(pool, "embed", (None, None), first.found, 10.0)
    assert again.found is first.found
    assert len(again.sessions) == len(first.sessions)


def test_measuring_stops_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time at all, one point is measured, and the others follow from it."""
    monkeypatch.setattr(model_loading, "MEASURE_S", 0.0)
    pool = ServedPool("pool", "model", "variant", local=LocalModel(write_encoder(tmp_path), threads=1), max_batch=4)
    curve = load(pool, "embed", (None,)).found.curve
    assert int(curve._known.sum()) <= 1
    assert all(second >= first for row in curve.service_s for first, second in pairwise(row))


def test_a_promise_of_a_short_time_is_heard(tmp_path: Path) -> None:
    pool = pool_of(LocalModel(write_encoder(tmp_path), threads=1), classes=[served("fast", answer_within_s=0.5), served("any")])
    run(pool, lambda pool: pool.answer(call("w1", traffic_class="fast")))
    assert pool._rules is not None
    assert pool._rules.room_s == 0.125


def test_operators_that_choose_a_scale_while_they_run_are_seen_in_the_file(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    ports = ({"x": (FLOAT, ["rows", 2])}, {"y": (FLOAT, ["rows", 2])})
    path = write(tmp_path / "dynamic.onnx", nodes, *ports)
    assert quantises_while_running(path)
    assert not quantises_while_running(affine(tmp_path / "plain.onnx"))
    pool = pool_of(path, "infer")
    run(pool, lambda pool: pool.answer(call({"x": np.ones((1, 2), np.float32)}, "infer")))
    assert pool.varies


def test_an_engine_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_encoder(tmp_path)
    for module, engine in (("openvino", "openvino"), ("onnxruntime", "onnxruntime"), ("tokenizers", "onnxruntime")):
        pool = ServedPool("pool", "model", "variant", local=LocalModel(path, engine=engine, threads=1))
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtraError, match=module):
                load(pool, "embed", (None,))


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed (pip install 'tightrope[openvino]')")
def test_openvino_answers_as_onnxruntime_does(tmp_path: Path) -> None:
    path = logits(tmp_path / "l.onnx", np.random.default_rng(0).normal(0, 1, (128, 3)))
    write_encoder(tmp_path)

    async def ask(pool: object) -> object:
        return await asyncio.gather(*(pool.answer(call(text(*range(count)), "classify")) for count in range(1, 20)))  # type: ignore[attr-defined]

    both = [run(pool_of(LocalModel(path, engine=engine, threads=1), "classify"), ask) for engine in ("onnxruntime", "openvino")]
    assert all(np.allclose(one.outputs[0], other.outputs[0], atol=1e-4) for one, other in zip(*both, strict=True))
