"""Tensors of the Open Inference Protocol: what one claims is checked against the limits and against what came, before memory is taken.

Datatypes and their encodings are those of the protocol's version 2 and its binary tensor data extension (KServe's specification, 2026-11):
numbers little-endian and row-major, BOOL one byte of 0 or 1, BYTES each element behind its length as uint32.
"""

import functools
import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tightrope.serve.config.settings import Limits
from tightrope.serve.protocols.error_bodies import malformed
from tightrope.serve.refusals import Failed, Malformed, RequestRefusal, TooLarge, Unsupported

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "UINT8": "u1",
        "UINT16": "<u2",
        "UINT32": "<u4",
        "UINT64": "<u8",
        "INT8": "i1",
        "INT16": "<i2",
        "INT32": "<i4",
        "INT64": "<i8",
        "FP16": "<f2",
        "FP32": "<f4",
        "FP64": "<f8",
        "BYTES": "O",
    }.items()
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
TYPES = {"b": bool, "u": int, "i": int, "f": float, "O": str}
"""numpy's kind → JSON's."""
MOST_DIMENSIONS = 16
MOST_TEXTS = 65_536
"""Elements of BYTES in one tensor: each is an object of its own."""
LENGTH = struct.Struct("<I")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def checked_bytes(name: str, datatype: str, shape: Sequence[int], limits: Limits) -> int:
    """Return the bytes that a tensor claims to have (8 for each text); raise ``RequestRefusal`` where it may not have them.

    >>> checked_bytes("x", "FP32", (2, 3), Limits())
    24
    """
    dtype = DTYPES.get(datatype)
    if dtype is None:
        text = f"datatype {datatype[:40]!r} is not taken; one of {', '.join(DTYPES)} is"
        raise wrong(name, text, Unsupported if datatype == "BF16" else Malformed)
    if not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise wrong(name, f"a shape of 1 to {MOST_DIMENSIONS} dimensions is expected, not {len(shape)}")
    if min(shape) < 0 or shape[0] == 0:
        raise wrong(name, f"shape {_short(shape)} is none: one row or more, and no negative size, are expected")
    if shape[0] > limits.inputs:
        raise wrong(name, f"{_short(shape)} has more than the {limits.inputs} rows that are taken at a time", TooLarge)
    most = math.prod(size or 1 for size in shape)  # as numpy counts: an axis without elements hides no other
    if most * dtype.itemsize > limits.tensor_bytes or (dtype.kind == "O" and most > MOST_TEXTS):
        text = f"{_short(shape)} of {datatype} is more than is taken ({limits.tensor_bytes} bytes, {MOST_TEXTS} texts)"
        raise wrong(name, text, TooLarge)
    return math.prod(shape) * dtype.itemsize


def wrong(name: str, text: str, kind: type[RequestRefusal] = Malformed) -> RequestRefusal:
    """Return a refusal that is about one tensor."""
    return kind(f"{name[:80]}: {text}", parameter=name[:80])


def _short(shape: Sequence[int]) -> str:
    """Return a shape as text that is never long."""
    return "[" + ", ".join(str(size) if abs(size) < 10**18 else "…" for size in shape) + "]"


# ----------------------------------------------------------------------------------------------------------------------- binary


def from_binary(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> NDArray[Any]:
    """Return the array, without a copy where it is aligned; ``checked_bytes`` has passed."""
    dtype = DTYPES[datatype]
    count = math.prod(shape)
    if dtype.kind == "O":
        return _texts_from_binary(name, count, data).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise wrong(name, f"{_short(shape)} of {datatype} has {count * dtype.itemsize} bytes, and {len(data)} came")
    if dtype.kind == "b" and count and int(np.frombuffer(data, np.uint8).max()) > 1:
        raise wrong(name, "bytes of 0 and 1 are expected of BOOL")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()


def _texts_from_binary(name: str, count: int, data: memoryview) -> NDArray[Any]:
    """Return the elements of BYTES, which must fill ``data``."""
    found = np.empty(count, object)
    at, end = 0, len(data)
    for index in range(count):
        if end - at < LENGTH.size:
            break
        size = LENGTH.unpack_from(data, at)[0]
        at += LENGTH.size
        if size > end - at:
            raise wrong(name, f"element {index} says it has {size} bytes, and {end - at} are left")
        found[index] = bytes(data[at : at + size])
        at += size
    else:
        if at == end:
            return found
    raise wrong(name, f"{count} elements of BYTES are expected in {end} bytes, and do not fill them")


def to_binary(array: NDArray[Any]) -> bytes:
    r"""Return an array's bytes.

    >>> to_binary(np.array([b"ab", b""], object))
    b'\x02\x00\x00\x00ab\x00\x00\x00\x00'
    """
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return b"".join(LENGTH.pack(len(item)) + item for item in map(_as_bytes, array.ravel()))


def _as_bytes(item: bytes | str) -> bytes:
    """Return a text as bytes: engines answer with either."""
    return item.encode() if isinstance(item, str) else bytes(item)


def datatype_of(name: str, array: NDArray[Any]) -> str:
    """Return the protocol's name of an answer's type.

    >>> datatype_of("y", np.zeros(1, np.float32))
    'FP32'
    """
    found = "BYTES" if array.dtype.kind in "OSU" else NAMES.get(array.dtype.newbyteorder("<"))
    if found is None:
        msg = f"{name}: the model answered with {array.dtype}, for which the protocol has no name"
        raise Failed(msg)
    return found


# -------------------------------------------------------------------------------------------------------------------------- JSON


def from_json(name: str, datatype: str, shape: Sequence[int], data: msgspec.Raw) -> NDArray[Any]:
    """Return the array that flat or nested lists say; ``checked_bytes`` has passed.

    >>> from_json("x", "INT8", (2, 2), msgspec.Raw(b"[[1,2],[3,4]]")).tolist()
    [[1, 2], [3, 4]]
    """
    text = memoryview(data).tobytes()
    dtype, depth = DTYPES[datatype], _depth(text)
    if depth not in {1, len(shape)}:
        raise wrong(name, f"data as a flat list, or nested as its shape {_short(shape)}, is expected")
    if dtype.kind != "O":
        _check_count(name, shape, text, depth)
    try:
        found = _decoder(TYPES[dtype.kind], depth).decode(text)
    except UNREADABLE as error:
        raise wrong(name, f"data: {malformed(error).message}") from None
    array = _as_array(name, datatype, dtype, found)
    if array.size != math.prod(shape) or (depth > 1 and array.shape != tuple(shape)):
        raise wrong(name, f"its shape is said to be {_short(shape)}, and its data has {_short(array.shape)}")
    return array.reshape(shape)


def _depth(text: bytes) -> int:
    """Return how many lists open before the first element."""
    depth = 0
    for byte in text[: 4 * MOST_DIMENSIONS]:
        if byte == ord("["):
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return depth


def _check_count(name: str, shape: Sequence[int], text: bytes, depth: int) -> None:
    """See that as many numbers and lists are there as the shape says, before each becomes an object."""
    count = math.prod(shape)
    lists = 1 if depth == 1 else sum(math.prod(shape[:axis]) for axis in range(len(shape)))
    commas = max(count - 1, 0) if depth == 1 or count else text.count(b",")
    if text.count(b",") != commas or text.count(b"[") != lists:
        raise wrong(name, f"its data is not of shape {_short(shape)}")


@functools.cache
def _decoder(kind: type, depth: int) -> msgspec.json.Decoder[Any]:
    """Return what reads lists of lists."""
    for _ in range(depth):
        kind = list[kind]  # type: ignore[valid-type]
    return msgspec.json.Decoder(kind)


def _as_array(name: str, datatype: str, dtype: np.dtype[Any], found: list[Any]) -> NDArray[Any]:
    """Return lists as an array; raise ``Malformed`` where they are ragged, or a number does not fit."""
    try:
        if dtype.kind == "O":
            texts = np.array(found, object)
            flat = [text.encode() for text in texts.ravel()]  # a list in it is an AttributeError
            texts.ravel()[:] = flat
            return texts
        if dtype.kind != "f":
            return np.array(found, dtype)
        with np.errstate(over="ignore"):
            array = np.array(found, np.float64).astype(dtype)
        if np.isfinite(array).all():
            return array
    except (OverflowError, ValueError, TypeError, AttributeError):
        pass
    raise wrong(name, f"its data is ragged, or holds what is no {datatype}")


def to_json(name: str, array: NDArray[Any]) -> list[Any]:
    """Return an array's elements, row-major; raise ``Failed`` where JSON has no word for them."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        msg = f"{name}: the model answered with what is no number, for which JSON has no word; ask for binary data"
        raise Failed(msg)
    if array.dtype.kind not in "OSU":
        return array.ravel().tolist()
    try:
        return [_as_bytes(item).decode() for item in array.ravel()]
    except UnicodeDecodeError:
        msg = f"{name}: the model answered with bytes that are no UTF-8; ask for binary data"
        raise Failed(msg) from None
