"""Models that take tensors: rows of several calls go together and come apart again; what does not fit is said by name."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_models import FLOAT, INT64, STRING, affine, call, pool_of, run, write
from onnx import helper

from tightrope.serve.local.pool import LocalPool
from tightrope.serve.records import TensorSpec
from tightrope.serve.refusals import Malformed, Unsupported

PLANNED = {"max_wait_s": 5.0, "service_s": (1e-3,) * 8}
"""Eight rows are waited for, however long they take to come."""


def ask_all(given: list[dict[str, np.ndarray]]) -> Any:
    """Return what asks for all at once."""

    async def ask(pool: LocalPool) -> list[Any]:
        return await asyncio.gather(*(pool.answer(call(one, "infer")) for one in given), return_exceptions=True)

    return ask


def test_rows_of_several_calls_go_together_and_come_apart(tmp_path: Path) -> None:
    pool = pool_of(affine(tmp_path / "a.onnx"), "infer", **PLANNED)
    inputs = [np.random.default_rng(rows).normal(0, 1, (rows, 3)).astype(np.float32) for rows in (1, 4, 2, 1)]
    replies = run(pool, ask_all([{"x": one} for one in inputs]))
    assert [reply.batch for reply in replies] == [8, 8, 8, 8]
    for one, reply in zip(inputs, replies, strict=True):
        assert np.array_equal(reply.outputs["y"], 2 * one + 1)
        assert reply.input_tokens == 0
    assert pool.signature is not None
    assert pool.signature.inputs == (TensorSpec("x", "FP32", (-1, 3)),)
    assert pool.signature.outputs == (TensorSpec("y", "FP32", (-1, 3)),)


def test_only_rows_of_one_shape_go_together(tmp_path: Path) -> None:
    pool = pool_of(affine(tmp_path / "a.onnx", ("rows", "columns")), "infer")
    inputs = [np.full((1 + place % 2, 2 + place % 3), float(place), np.float32) for place in range(24)]
    replies = run(pool, ask_all([{"x": one} for one in inputs]))
    assert all(np.array_equal(reply.outputs["y"], 2 * one + 1) for one, reply in zip(inputs, replies, strict=True))


@pytest.mark.parametrize("shape", [(2, 3), (1, "n"), ()])
def test_a_call_goes_as_it_is_where_the_first_axis_is_fixed_or_there_is_none(tmp_path: Path, shape: tuple) -> None:
    pool = pool_of(affine(tmp_path / "a.onnx", shape), "infer")
    fits = np.ones(tuple(5 if isinstance(size, str) else size for size in shape), np.float32)
    good, bad = run(pool, ask_all([{"x": fits}, {"x": np.ones((3, 3), np.float32)}]))
    assert np.array_equal(good.outputs["y"], 3 * fits)
    assert good.batch == 1
    assert isinstance(bad, Malformed)
    assert bad.parameter == "x"


def test_a_model_whose_answers_are_no_rows_is_asked_one_call_at_a_time(tmp_path: Path) -> None:
    path = write(
        tmp_path / "sum.onnx",
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        {"x": (FLOAT, ["rows", 3])},
        {"y": (FLOAT, ["columns"])},
        {"axes": np.array([0])},
    )
    inputs = [np.full((rows, 3), 1.0, np.float32) for rows in (1, 2, 5)]
    replies = run(pool_of(path, "infer"), ask_all([{"x": one} for one in inputs]))
    assert [reply.outputs["y"].tolist() for reply in replies] == [[1.0] * 3, [2.0] * 3, [5.0] * 3]


def test_texts_go_where_the_model_takes_them_and_nowhere_else(tmp_path: Path) -> None:
    path = write(
        tmp_path / "same.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (STRING, ["rows", 1])},
        {"y": (STRING, ["rows", 1])},
    )
    words = np.array([["é".encode()], [b""]], object)
    good, bad = run(pool_of(path, "infer"), ask_all([{"x": words}, {"x": np.array([[b"\xff"]], object)}]))
    assert good.outputs["y"].tolist() == words.tolist()
    assert isinstance(bad, Malformed)
    (refused,) = run(pool_of(affine(tmp_path / "a.onnx"), "infer"), ask_all([{"x": np.array([[b"1", b"2", b"3"]], object)}]))
    assert isinstance(refused, Malformed)
    assert "texts" in refused.message


@pytest.mark.parametrize(
    ("inputs", "parameter"),
    [
        ({}, "a"),
        ({"a": np.zeros((1, 2), np.float32)}, "b"),
        ({"a": np.zeros((1, 2)), "b": np.zeros((1, 2), np.int64)}, "a"),
        ({"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 3), np.int64)}, "b"),
        ({"a": np.zeros(2, np.float32), "b": np.zeros((1, 2), np.int64)}, "a"),
        ({"a": np.zeros((1, 2), np.float32), "b": np.zeros((2, 2), np.int64)}, "inputs"),
        ({"a": np.zeros((0, 2), np.float32), "b": np.zeros((0, 2), np.int64)}, "inputs"),
        ({"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2), np.int64), "c": np.zeros(1)}, "c"),
    ],
)
def test_what_does_not_fit_is_said_by_name(tmp_path: Path, inputs: dict, parameter: str) -> None:
    path = write(
        tmp_path / "two.onnx",
        [helper.make_node("Cast", ["b"], ["f"], to=FLOAT), helper.make_node("Add", ["a", "f"], ["y"])],
        {"a": (FLOAT, ["rows", 2]), "b": (INT64, ["rows", 2])},
        {"y": (FLOAT, ["rows", 2])},
    )

    async def ask(pool: LocalPool) -> None:
        with pytest.raises(Malformed) as refused:
            await pool.answer(call(inputs, "infer"))
        assert refused.value.parameter == parameter
        with pytest.raises(Unsupported):
            await pool.answer(call("text"))

    run(pool_of(path, "infer"), ask)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 8))
def test_whatever_the_rows_and_batches_each_call_gets_its_own(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], most: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    pool = pool_of(path if path.exists() else affine(path), "infer", max_batch=most, service_s=(1e-3,))
    inputs = [np.full((count, 3), float(place), np.float32) for place, count in enumerate(rows)]
    replies = run(pool, ask_all([{"x": one} for one in inputs]))
    assert all(np.array_equal(reply.outputs["y"], 2 * one + 1) for one, reply in zip(inputs, replies, strict=True))
    assert max(pool._metrics.sizes) <= most
    assert sum(pool._metrics.sizes) == sum(rows)
