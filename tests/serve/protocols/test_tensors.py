"""Tensors: what is encoded comes back, and what lies is refused before it becomes an array."""

import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest
from front_door import USUAL, small
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from tightrope.serve.protocols.tensors import (
    DTYPES,
    MOST_TEXTS,
    checked_bytes,
    datatype_of,
    from_binary,
    from_json,
    to_binary,
    to_json,
)
from tightrope.serve.refusals import Failed, Malformed, RequestRefusal, TooLarge, Unsupported

NUMBERS = sorted(set(DTYPES) - {"BYTES"})
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, NDArray[Any]]:
    """Draw a datatype and an array of it."""
    datatype, shape = draw(st.sampled_from(sorted(DTYPES))), draw(SHAPES)
    if datatype != "BYTES":
        return datatype, draw(arrays.arrays(DTYPES[datatype], shape))
    array = np.empty(int(np.prod(shape)), object)
    array[:] = draw(st.lists(st.binary(max_size=9), min_size=array.size, max_size=array.size))
    return datatype, array.reshape(shape)


@given(tensors())
def test_bytes_come_back(drawn: tuple[str, NDArray[Any]]) -> None:
    datatype, array = drawn
    assert datatype_of("x", array) == datatype
    assert checked_bytes("x", datatype, array.shape, USUAL) == array.nbytes
    found = from_binary("x", datatype, array.shape, memoryview(to_binary(array)))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tolist() == array.tolist() or np.array_equal(found, array, equal_nan=True)


@given(tensors(), st.booleans())
def test_json_comes_back_flat_or_nested(drawn: tuple[str, NDArray[Any]], nested: bool) -> None:
    datatype, array = drawn
    if datatype == "BYTES":
        array = np.array([item.hex().encode() for item in array.ravel()], object).reshape(array.shape)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        with pytest.raises(Failed, match="ask for binary data"):
            to_json("x", array)
        return
    flat = to_json("x", array)
    said = np.array(flat, object).reshape(array.shape).tolist() if nested else flat
    found = from_json("x", datatype, array.shape, msgspec.Raw(msgspec.json.encode(said)))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)


@given(st.sampled_from(sorted(DTYPES)), SHAPES, st.binary(max_size=64))
def test_random_bytes_are_a_tensor_or_refused(datatype: str, shape: tuple[int, ...], data: bytes) -> None:
    try:
        found = from_binary("x", datatype, shape, memoryview(data))
    except Malformed:
        return
    assert found.shape == shape
    assert to_binary(found) == data


@given(st.sampled_from(sorted(DTYPES)), SHAPES, st.text('[]{}0123456789.,-eE"a \\nul', max_size=24))
def test_random_json_is_a_tensor_or_refused(datatype: str, shape: tuple[int, ...], text: str) -> None:
    try:
        found = from_json("x", datatype, shape, msgspec.Raw(text.encode()))
    except Malformed:
        return
    assert (found.shape, found.dtype) == (shape, DTYPES[datatype])


@pytest.mark.parametrize(
    ("datatype", "shape", "kind"),
    [
        ("FP32", (), Malformed),
        ("FP32", (1,) * 17, Malformed),
        ("FP32", (-1,), Malformed),
        ("FP32", (2, -3), Malformed),
        ("FP32", (0, 4), Malformed),
        ("FP33", (1,), Malformed),
        ("BF16", (1,), Unsupported),
        ("FP32", (2049, 1), TooLarge),
        ("UINT8", (1, 2**26 + 1), TooLarge),
        ("FP64", (2, 2**63, 2**63), TooLarge),
        ("INT8", (1, 10**4000), TooLarge),
        ("BYTES", (2, MOST_TEXTS), TooLarge),
        ("INT8", (1, 0, 2**64), TooLarge),
        ("BYTES", (1, 2**31, 2**31, 0), TooLarge),
    ],
)
def test_a_claim_is_refused_before_memory_is_taken(datatype: str, shape: tuple[int, ...], kind: type[RequestRefusal]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(kind) as caught:
            checked_bytes("x", datatype, shape, USUAL)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert len(caught.value.message) < 400


def test_the_bound_itself_is_taken() -> None:
    assert checked_bytes("x", "UINT8", (2, 50), small(inputs=2, tensor_bytes=100)) == 100


@pytest.mark.parametrize(
    ("datatype", "shape", "text"),
    [
        ("FP32", (2,), "[1]"),
        ("FP32", (2,), "[1,2,3]"),
        ("FP32", (2, 2), "[[1],[2,3,4]]"),
        ("FP32", (2, 2), "[[1,2,3,4]]"),
        ("FP32", (4,), "[[1,2],[3,4]]"),
        ("FP32", (2, 2, 1), "[[1,2],[3,4]]"),
        ("FP32", (1,), "[null]"),
        ("FP32", (1,), "[1e39]"),
        ("FP32", (1,), "[1e999]"),
        ("FP16", (1,), "[70000]"),
        ("INT8", (1,), "[128]"),
        ("INT8", (1,), "[1.5]"),
        ("UINT64", (1,), "[-1]"),
        ("UINT64", (1,), "[18446744073709551616]"),
        ("BOOL", (1,), "[1]"),
        ("BYTES", (1,), "[1]"),
        ("BYTES", (2,), '["a"]'),
        ("BYTES", (2, 2), '[["a"],["b","c","d"]]'),
        ("FP32", (1,), "3"),
        ("FP32", (1,), '{"a":1}'),
    ],
)
def test_data_must_be_what_it_says(datatype: str, shape: tuple[int, ...], text: str) -> None:
    with pytest.raises(Malformed, match="x: "):
        from_json("x", datatype, shape, msgspec.Raw(text.encode()))


def test_a_long_list_is_refused_before_it_becomes_objects() -> None:
    text = b"[" + b"1," * 500_000 + b"1]"
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            from_json("x", "FP32", (4,), msgspec.Raw(text))
        assert tracemalloc.get_traced_memory()[1] < 3 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", (2,), b"\0" * 7),
        ("FP32", (2,), b"\0" * 9),
        ("BOOL", (2,), b"\0\2"),
        ("BYTES", (1,), b""),
        ("BYTES", (1,), b"\0\0\0"),
        ("BYTES", (1,), b"\xff\xff\xff\xffa"),
        ("BYTES", (1,), b"\1\0\0\0ab"),
        ("BYTES", (2,), b"\1\0\0\0a"),
    ],
)
def test_bytes_must_be_what_they_say(datatype: str, shape: tuple[int, ...], data: bytes) -> None:
    with pytest.raises(Malformed, match="x: "):
        from_binary("x", datatype, shape, memoryview(data))


@pytest.mark.parametrize("datatype", [name for name in NUMBERS if DTYPES[name].itemsize > 1])
def test_what_is_not_aligned_is_copied(datatype: str) -> None:
    dtype = DTYPES[datatype]
    data = memoryview(b"\0" + np.arange(3, dtype=dtype).tobytes())[1:]
    found = from_binary("x", datatype, (3,), data)
    assert found.flags.aligned
    assert found.tolist() == [0, 1, 2]


def test_what_the_protocol_has_no_name_for_is_a_defect() -> None:
    with pytest.raises(Failed, match="complex64"):
        datatype_of("y", np.zeros(1, np.complex64))
    with pytest.raises(Failed, match="no UTF-8"):
        to_json("y", np.array([b"\xff"], object))
