"""Compression on tiny graphs: what is rounded, cut and learned does what its name says."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.perf.compress_models import HEADS, INNER, LAYERS, WIDTH, encoder, multiplied, write_encoder, write_texts

from tightrope.base.errors import InputError
from tightrope.perf.compress import graph as loading
from tightrope.perf.compress.distil import LOSS, TARGET, WEIGHT, Lessons, _rank, _training, _weight, distil
from tightrope.perf.compress.examples import Examples, TextColumns, load_examples, split
from tightrope.perf.compress.gradients import trainable
from tightrope.perf.compress.graph import Graph, as_bytes, changed, graph_of, load_graph
from tightrope.perf.compress.model_runs import answers, open_session, run_bytes
from tightrope.perf.compress.prune import PruningCut, importance, prune, refitted
from tightrope.perf.compress.quality import accuracy, cosine
from tightrope.perf.compress.quantize import (
    blocked,
    columns_int8,
    dynamic_int8,
    float16,
    matrices_of,
    multiplications,
    small_tables,
    static_int8,
)
from tightrope.perf.compress.structure import find_heads, find_layers, find_neurons
from tightrope.perf.compress.task import Splits, Task, task_of
from tightrope.perf.compress.tensor_ranges import METHODS, TensorRange, observe, rounded, scale_of

INPUTS = (("input_ids", "tensor(int64)"), ("attention_mask", "tensor(int64)"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the encoder, its tokenizer and labelled texts."""
    place = tmp_path_factory.mktemp("encoder")
    write_encoder(place)
    write_texts(place / "texts.csv")
    return place


@pytest.fixture(scope="module")
def whole(folder: Path) -> Graph:
    return load_graph(folder / "encoder.onnx")


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return load_examples(folder / "texts.csv", INPUTS, TextColumns(tokenizer=folder / "tokenizer.json"))


def near(graph: Graph, other: Graph, examples: Examples) -> float:
    """Return the mean cosine of two graphs' answers."""
    return float(cosine(run_bytes(graph, examples), run_bytes(other, examples)).mean())


def alone_and_together(graph: Graph, examples: Examples) -> float:
    """Return the least cosine of an answer given alone and the same given in a batch."""
    session = open_session(as_bytes(graph))
    return float(cosine(answers(session, examples, 1), answers(session, examples, 16)).min())


# ---------------------------------------------------------------------------------------------------------------- quantising


@pytest.mark.parametrize("method", METHODS)
def test_static_int8_answers_nearly_the_same_alone_and_in_a_batch(whole: Graph, examples: Examples, method: str) -> None:
    made = static_int8(whole, observe(whole, list(matrices_of(whole)), examples), method)
    assert near(made, whole, examples) > 0.97
    assert alone_and_together(made, examples.take(np.arange(40))) > 1 - 1e-6
    kinds = [node.op_type for node in made.nodes]
    assert kinds.count("QuantizeLinear") == len(set(matrices_of(whole)))
    assert all(value.dtype != np.float32 or value.ndim < 2 for name, value in made.constants.items() if name != "words")


@pytest.mark.parametrize("product_is_given_out", [False, True])
def test_static_int8_computes_what_8_bits_keep_and_takes_the_bias_along(*, product_is_given_out: bool) -> None:
    random = np.random.default_rng(3)
    x, matrix, bias = (random.normal(size=shape).astype(np.float32) for shape in ((2, 5, 8), (8, 6), 6))
    given_out = ["y", "p"] if product_is_given_out else ["y"]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["b", "p"], ["y"])],
            "biased",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", 8])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in given_out],
            [numpy_helper.from_array(matrix, "w"), numpy_helper.from_array(bias, "b")],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    seen = {"x": TensorRange(float(x.min()), float(x.max()), x.reshape(-1, 8))}
    made = static_int8(graph_of(model), seen, "minmax")
    assert [node.op_type for node in made.nodes].count("Add") == product_is_given_out
    whole, scales = columns_int8(matrix)
    expected = rounded(x, *scale_of(seen["x"], "minmax")) @ (whole * scales) + bias
    assert np.allclose(open_session(as_bytes(made)).run(["y"], {"x": x})[0], expected, atol=1e-5)


def test_dynamic_int8_depends_on_the_batch(whole: Graph, examples: Examples) -> None:
    made = dynamic_int8(whole)
    assert near(made, whole, examples) > 0.97
    assert alone_and_together(made, examples.take(np.arange(40))) < 1 - 1e-6


def test_every_form_is_smaller_and_close(whole: Graph, examples: Examples) -> None:
    size = len(as_bytes(whole))
    for made, most, least in ((float16(whole), 0.75, 0.99999), (blocked(whole, 4), 0.95, 0.9), (small_tables(whole), 0.9, 0.999)):
        assert len(as_bytes(made)) < most * size or made.constants.keys() == whole.constants.keys()
        assert near(made, whole, examples) > least


def test_long_tables_are_kept_in_8_bits(whole: Graph, examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.perf.compress.quantize.LEAST_ROWS", 10)
    made = small_tables(whole)
    assert made.constants["words_8"].dtype == np.int8
    assert "words" not in made.constants
    assert near(made, whole, examples) > 0.999


def test_what_is_skipped_stays_in_float32(whole: Graph, examples: Examples) -> None:
    names = [node.output[0] for node in multiplications(whole)]
    seen = observe(whole, list(matrices_of(whole)), examples)
    assert as_bytes(static_int8(whole, seen, "minmax", names)) == as_bytes(changed(whole, {}))
    one = static_int8(whole, seen, "minmax", names[1:])
    assert [node.op_type for node in one.nodes].count("QuantizeLinear") == 1


def test_the_same_examples_give_the_same_bytes(whole: Graph, examples: Examples) -> None:
    made = [as_bytes(static_int8(whole, observe(whole, list(matrices_of(whole)), examples), "entropy")) for _ in range(2)]
    assert made[0] == made[1]


def test_a_range_that_leaves_out_what_is_rare_is_narrower(whole: Graph, examples: Examples) -> None:
    name = next(matrices_of(whole))
    seen = observe(whole, [name], examples)[name]
    seen.high, seen.rows[0, 0] = 1000.0, 1000.0
    all_of_it, most, entropy = (scale_of(seen, method)[0] for method in ("minmax", "percentile", "entropy"))
    assert most < 0.5 * all_of_it
    assert entropy < 0.5 * all_of_it


# ------------------------------------------------------------------------------------------------------------------- pruning


def test_layers_heads_and_neurons_are_found(whole: Graph) -> None:
    assert len(find_layers(whole)) == LAYERS
    assert [(found.count, found.unit) for found in find_heads(whole)] == [(WIDTH, WIDTH // HEADS)] * LAYERS
    assert [found.count for found in find_neurons(whole)] == [INNER] * LAYERS


def test_shapes_are_really_smaller_and_the_model_runs(whole: Graph, examples: Examples) -> None:
    made = prune(whole, PruningCut(layers=1, neurons=0.5, heads=0.5), examples.take(np.arange(64)))
    assert len(find_layers(made)) == LAYERS - 1
    assert find_heads(made)[0].count == WIDTH // 2
    assert find_neurons(made)[0].count in {32, 64}
    assert len(as_bytes(made)) < 0.6 * len(as_bytes(whole))
    assert run_bytes(made, examples).shape == (len(examples), WIDTH)


def test_the_unimportant_go_first_and_cost_little(whole: Graph, examples: Examples) -> None:
    made = prune(whole, PruningCut(neurons=0.6), examples)
    assert near(made, whole, examples) > 0.98


def test_a_fit_makes_of_few_columns_what_all_made() -> None:
    random = np.random.default_rng(0)
    few = random.normal(size=(500, 4))
    rows = np.concatenate([few, few @ random.normal(size=(4, 4))], axis=1)
    matrix = random.normal(size=(8, 3)).astype(np.float32)
    again = refitted(rows.T @ rows, matrix, np.arange(4))
    assert np.abs(rows[:, :4] @ again - rows @ matrix).max() < 0.05 * np.abs(rows @ matrix).max()


def test_a_neuron_that_never_fires_is_worth_nothing() -> None:
    gram = np.diag([4.0, 0.0, 1.0])
    assert importance(gram, np.ones((3, 2), np.float32)).tolist() == [8.0, 0.0, 2.0]


def test_neurons_that_others_see_are_left_alone(whole: Graph) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(whole.model)
    copy.graph.output.append(onnx.ValueInfoProto(name="l0_act"))
    assert len(find_neurons(graph_of(copy))) == LAYERS - 1


def test_layers_that_normalise_first_are_found_and_taught(tmp_path: Path, examples: Examples) -> None:
    (tmp_path / "first.onnx").write_bytes(encoder(first=True).SerializeToString())
    first = load_graph(tmp_path / "first.onnx")
    assert [(layer.into, layer.out) for layer in find_layers(first)] == [("x0", "x1"), ("x1", "x2")]
    made = prune(first, PruningCut(layers=1, heads=0.5), examples)
    assert made.made_by["last_hidden_state"].op_type == "LayerNormalization"
    taught = distil(made, first, examples, Lessons(steps=30, rate=3e-3))
    assert near(taught, first, examples) > near(made, first, examples)


def test_attention_in_parts_loses_layers_and_learns_but_keeps_its_heads(whole: Graph, tmp_path: Path, examples: Examples) -> None:
    (tmp_path / "parts.onnx").write_bytes(encoder(parts=True).SerializeToString())
    parts = load_graph(tmp_path / "parts.onnx")
    assert near(parts, whole, examples) > 1 - 1e-6
    assert (len(find_layers(parts)), len(find_neurons(parts)), find_heads(parts)) == (LAYERS, LAYERS, [])
    assert near(prune(parts, PruningCut(layers=1), examples), prune(whole, PruningCut(layers=1), examples), examples) > 1 - 1e-6
    lessons = Lessons(steps=4, rate=3e-3)
    student, other = prune(parts, PruningCut(neurons=0.5), examples), prune(whole, PruningCut(neurons=0.5), examples)
    assert near(distil(student, parts, examples, lessons), distil(other, whole, examples, lessons), examples) > 1 - 1e-4
    with pytest.raises(InputError, match="no heads"):
        prune(parts, PruningCut(heads=0.5), examples)


def test_more_layers_than_there_are_is_an_error(whole: Graph, examples: Examples) -> None:
    with pytest.raises(InputError, match="2 layers are to be taken out"):
        prune(whole, PruningCut(layers=2), examples)


# ------------------------------------------------------------------------------------------------------------------ learning


def test_the_gradient_is_that_of_the_error(whole: Graph, examples: Examples) -> None:
    student = prune(whole, PruningCut(heads=0.5), examples.take(np.arange(64)))
    lessons, part = Lessons(whole=2.0), examples.take(np.arange(6))
    teacher = open_session(as_bytes(whole))
    model, names = _training(student, lessons, _rank(teacher, examples))
    assert names == trainable(student)
    session = open_session(as_bytes(model))
    places, feeds = next(part.batches(6))
    target = teacher.run(None, feeds)[0]
    weight = _weight(part, places, feeds, target)
    weights = {name: student.constants[name].copy() for name in names}
    _, *slopes = session.run([LOSS, *(f"{name}_slope" for name in names)], feeds | weights | {TARGET: target, WEIGHT: weight})

    def error(name: str, change: np.ndarray) -> float:
        rest = (
            open_session(as_bytes(changed(student, {name: weights[name] + change}))).run(None, feeds)[0].astype(np.float64)
            - target
        )
        return float((rest**2 * weight).sum() + lessons.whole * np.square((rest * weight).sum(axis=1)).sum()) / 2

    for name, slope in zip(names, slopes, strict=True):
        step = (2e-2 * slope / max(float(np.linalg.norm(slope)), 1e-6)).astype(np.float32)
        measured = error(name, step) - error(name, -step)
        assert measured == pytest.approx(2 * float((slope * step).sum()), rel=0.05, abs=2e-3), name


def test_lessons_bring_answers_nearer_and_are_the_same_each_time(whole: Graph, examples: Examples) -> None:
    student = prune(whole, PruningCut(layers=1), examples.take(np.arange(64)))
    taught = [distil(student, whole, examples, Lessons(steps=60, rate=3e-3)) for _ in range(2)]
    assert near(taught[0], whole, examples) > near(student, whole, examples) + 0.05
    assert as_bytes(taught[0]) == as_bytes(taught[1])


def test_an_operator_without_a_rule_is_named(whole: Graph, examples: Examples) -> None:
    nodes = [helper.make_node("Softplus", ["last_hidden_state_in"], ["last_hidden_state"]), *whole.nodes]
    last = next(node for node in whole.nodes if node.output[0] == "last_hidden_state")
    copy = onnx.NodeProto()
    copy.CopyFrom(last)
    copy.output[0] = "last_hidden_state_in"
    nodes = [*(node for node in whole.nodes if node is not last), copy, nodes[0]]
    odd = changed(whole, {}, nodes)
    with pytest.raises(NotImplementedError, match="Softplus"):
        distil(odd, whole, examples, Lessons(steps=1))


# ------------------------------------------------------------------------------------------------------------------- loading


def two_layers(opset: int = 17) -> onnx.ModelProto:
    """Return a plain network of two layers."""
    random = np.random.default_rng(0)
    shapes = {"a": (8, 64), "ab": (64,), "b": (64, 3), "bb": (3,)}
    held = [numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()]
    nodes = [*multiplied("x", "a", "h"), helper.make_node("Relu", ["h"], ["r"]), *multiplied("r", "b", "y")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 8), ("y", 3))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_an_old_opset_is_brought_forward(tmp_path: Path) -> None:
    (tmp_path / "old.onnx").write_bytes(two_layers(9).SerializeToString())
    assert load_graph(tmp_path / "old.onnx").model.opset_import[0].version >= 13


def test_neurons_of_a_plain_network_are_pruned(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(two_layers().SerializeToString())
    found = load_graph(tmp_path / "net.onnx")
    inputs = np.random.default_rng(1).normal(size=(100, 8)).astype(np.float32)
    data = Examples({"x": inputs}, np.zeros(100, np.int64), ("a", "b"))
    made = prune(found, PruningCut(neurons=0.5), data)
    assert made.constants["a"].shape == (8, 32)
    assert near(made, found, data) > 0.95
    taught = distil(made, found, data, Lessons(steps=40, rate=1e-2))
    assert near(taught, found, data) > near(made, found, data)


@pytest.mark.parametrize(("rows", "heads"), [(None, 1), (1, 1), (None, 2)], ids=["plain", "biases that are rows", "two outputs"])
def test_a_chain_of_layers_is_pruned_and_taught(rows: int | None, heads: int, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(chain(rows, heads).SerializeToString())
    found = load_graph(tmp_path / "net.onnx")
    inputs = np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32)
    data = Examples({"x": inputs}, np.zeros(200, np.int64), ("a", "b"))
    made = prune(found, PruningCut(neurons=0.25), data)
    inner = 96 if heads == 1 else 128  # what two matrices see is left alone
    assert [made.constants[node.input[1]].shape for node in multiplications(made)][:3] == [(8, 96), (96, inner), (inner, 3)]
    taught = distil(made, found, data, Lessons(steps=80, rate=1e-3))
    assert near(taught, found, data) > near(made, found, data) > 0.97


def chain(rows: int | None, heads: int) -> onnx.ModelProto:
    """Return a network of three matrices one after the other, biases as vectors or as so many rows, with one output or two."""
    random = np.random.default_rng(5)
    sizes = {"a": (8, 128), "b": (128, 128), "c": (128, 3), "d": (128, 5)}
    held = {name: random.normal(0, shape[0] ** -0.5, shape) for name, shape in sizes.items()}
    held |= {f"{name}b": random.normal(0, 0.1, shape[1] if rows is None else (rows, shape[1])) for name, shape in sizes.items()}
    nodes = [
        *multiplied("x", "a", "h0"),
        helper.make_node("Relu", ["h0"], ["h1"]),
        *multiplied("h1", "b", "h2"),
        helper.make_node("Relu", ["h2"], ["h3"]),
        *multiplied("h3", "c", "y"),
        *(multiplied("h3", "d", "z") if heads == 2 else ()),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in (("y", 3), ("z", 5))[:heads]
    ]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "chain", [given], ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def broken(kind: str, folder: Path) -> Path:
    """Write a file that is no model, in one way or another."""
    path, model = folder / "model.onnx", two_layers()
    if kind == "text":
        path.write_text("this is no model\n" * 50)
    elif kind == "cut":
        path.write_bytes(model.SerializeToString()[:-700])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "opset":
        path.write_bytes(two_layers(999).SerializeToString())
    elif kind == "external":
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        (folder / "weights.bin").unlink()
    elif kind == "external cut":
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        (folder / "weights.bin").write_bytes(b"few")
    elif kind == "unknown operator":
        model.graph.node[0].op_type = "MatMulTwice"
        path.write_bytes(model.SerializeToString())
    elif kind == "quantised":
        model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["y"], ["p", "q", "r2"]))
        path.write_bytes(model.SerializeToString())
    elif kind == "huge":
        path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file"),
        ("text", "not an ONNX model"),
        ("cut", "not an ONNX model"),
        ("empty", "not an ONNX model"),
        ("opset", "not valid|refuses"),
        ("external", "weights.bin"),
        ("external cut", "external data cannot be read"),
        ("unknown operator", "MatMulTwice"),
        ("quantised", "quantised already"),
        ("huge", "at most"),
    ],
)
def test_what_is_no_model_is_said(kind: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = broken(kind, tmp_path)
    if kind == "huge":
        monkeypatch.setattr(loading, "MOST_BYTES", 100)
    with pytest.raises(InputError, match=says) as error:
        load_graph(path)
    assert "Resolve:" in str(error.value)


@pytest.mark.parametrize("stated", [True, False], ids=["lengths stated", "lengths left out"])
def test_a_model_is_as_large_as_both_of_its_files(*, stated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(two_layers(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    if not stated:
        model = onnx.load(path, load_external_data=False)
        for item in model.graph.initializer:
            kept = [entry for entry in item.external_data if entry.key != "length"]
            del item.external_data[:]
            item.external_data.extend(kept)
        path.write_bytes(model.SerializeToString())
    outside = (tmp_path / "weights.bin").stat().st_size
    monkeypatch.setattr(loading, "MOST_BYTES", outside + 10)
    with pytest.raises(InputError, match="at most"):
        load_graph(path)


def test_external_data_is_taken_in(tmp_path: Path) -> None:
    onnx.save(two_layers(), tmp_path / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "moved").mkdir()
    found = as_bytes(load_graph(tmp_path / "net.onnx"))
    assert open_session(found).run(None, {"x": np.zeros((1, 8), np.float32)})[0].shape == (1, 3)


# ------------------------------------------------------------------------------------------------------------------ examples


def test_parts_are_disjoint_and_whole(examples: Examples) -> None:
    parts = split(examples, (0.5, 0.2, 0.3), 7)
    assert [len(part) for part in parts] == [200, 80, 120]
    assert sorted(text for part in parts for text in part.texts) == sorted(examples.texts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("text,label\n", "no example"),
        ("body,label\na,b\n", "unknown column 'text'"),
        ("text,label\nw1,a\nw2,\n", "example 2 lacks"),
        ("text,label\nw1,a\nw2,a\n", "all examples have the label 'a'"),
    ],
)
def test_what_is_no_set_of_examples_is_said(text: str, says: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        load_examples(path, INPUTS, TextColumns(tokenizer=folder / "tokenizer.json"))


def test_arrays_are_examples_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((6, 8), np.float32), label=np.array([0, 1, 0, 1, 0, 1]))
    found = load_examples(tmp_path / "data.npz", (("x", "tensor(float)"),), TextColumns())
    assert found.classes == ("0", "1")
    assert len(found) == 6
    with pytest.raises(InputError, match="unknown array 'z'"):
        load_examples(tmp_path / "data.npz", (("z", "tensor(float)"),), TextColumns())


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("cut", "not an .npz"),
        ("one array", "not an .npz"),
        ("flipped", "not an .npz"),
        ("one number", "different or no examples"),
        ("a table of labels", "not one label for each"),
    ],
)
def test_arrays_that_are_none_are_told(kind: str, says: str, tmp_path: Path) -> None:
    path, labels = tmp_path / "data.npz", np.arange(6) % 2
    wrong = {"one number": np.array(1), "a table of labels": labels[:, None]}
    np.savez(path, x=np.ones((6, 8), np.float32), label=wrong.get(kind, labels))
    whole = path.read_bytes()
    if kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "flipped":
        path.write_bytes(whole[:120] + bytes([whole[120] ^ 255]) + whole[121:])
    elif kind == "one array":
        with path.open("wb") as file:
            np.save(file, labels)
    with pytest.raises(InputError, match=says):
        load_examples(path, (("x", "tensor(float)"),), TextColumns())


def test_labels_that_are_numbers_are_counted_as_a_model_counts(folder: Path, tmp_path: Path) -> None:
    rows = "".join(f"w1,{number}\n" for number in range(12))
    (tmp_path / "texts.csv").write_text(f"\ufefftext,label\n{rows}", encoding="utf-8")
    found = load_examples(tmp_path / "texts.csv", INPUTS, TextColumns(tokenizer=folder / "tokenizer.json"))
    assert found.labels.tolist() == list(range(12))
    assert found.classes[10] == "10"


def test_a_line_of_json_holds_what_others_take_for_the_end_of_a_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(
        '{"text": "w1\u2028w2", "label": "a"}\n{"text": "w3", "label": "b"}\n', encoding="utf-8"
    )
    assert len(load_examples(tmp_path / "texts.jsonl", INPUTS, TextColumns(tokenizer=folder / "tokenizer.json"))) == 2


def test_scores_in_another_order_than_the_labels_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(two_layers().SerializeToString())
    net = load_graph(tmp_path / "net.onnx")
    inputs = {"x": np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32)}
    said = run_bytes(net, Examples(inputs, np.zeros(300, np.int64), ("a",))).argmax(axis=1)

    def task(labels: np.ndarray) -> Task:
        data = Examples(inputs, labels, ("law", "news", "sport"))
        return task_of(net, Splits(*split(data, (0.5, 0.2, 0.3), 1)), accuracy, 1, own_head=False)

    assert task(said).logits
    with pytest.raises(InputError, match="stand in another order than the labels"):
        task(2 - said)


def test_the_encoder_is_valid() -> None:
    onnx.checker.check_model(encoder())
