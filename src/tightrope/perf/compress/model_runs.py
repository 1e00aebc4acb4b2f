"""Runs a model on examples: its answers, and what passes through it on the way."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InputError
from tightrope.perf.compress.examples import BATCH, Examples
from tightrope.perf.compress.graph import AnyArray, Graph, as_bytes

Vectors = NDArray[np.float32]


def open_session(model: bytes, threads: int = 0) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Return a session of plain onnxruntime; 0 threads takes all cores. Raise ``InputError`` where the runtime refuses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises kinds of its own
        first = next((line for line in str(error).splitlines() if line.strip()), "")[:300]
        msg = f"the runtime refuses the model ({type(error).__name__}: {first})"
        raise InputError(msg, resolve="check it with onnx.checker, or install a newer onnxruntime") from error


def answers(session: Any, examples: Examples, size: int = BATCH) -> Vectors:  # noqa: ANN401
    """Return float32[examples, n]: the model's first output, the mean over its tokens where it has one vector for each."""
    found: Vectors | None = None
    for places, feeds in examples.batches(size):
        value = pooled(_run(session, None, feeds)[0], valid(examples, places, feeds))
        if found is None:
            found = np.zeros((len(examples), value.shape[1]), np.float32)
        found[places] = value
    if found is None or not np.isfinite(found).all():
        msg = "the model answers with numbers that are none (NaN or infinite)" if found is not None else "there are no examples"
        raise InputError(msg, resolve="check the model's inputs: token ids, mask and types in its own order")
    return found


def _run(session: Any, names: list[str] | None, feeds: dict[str, AnyArray]) -> list[AnyArray]:  # noqa: ANN401
    """Return the outputs; raise ``InputError`` where the model does not take the inputs."""
    try:
        found: list[AnyArray] = session.run(names, feeds)
    except Exception as error:
        shapes = ", ".join(f"{name} {value.shape} {value.dtype}" for name, value in feeds.items())
        msg = f"the model does not run on the examples ({str(error).splitlines()[0][:300]}); given: {shapes}"
        raise InputError(msg, resolve="give examples of the shapes and types that the model was exported for") from error
    return found


def valid(examples: Examples, places: NDArray[np.int64], feeds: dict[str, AnyArray]) -> NDArray[np.bool_] | None:
    """Return bool[batch, length]: which places hold a token; None where the examples have no lengths."""
    if examples.lengths is None:
        return None
    length = next(iter(feeds.values())).shape[1]
    return np.arange(length)[None, :] < examples.lengths[places][:, None]


def pooled(value: AnyArray, mask: NDArray[np.bool_] | None) -> Vectors:
    """Return float32[batch, n]: the mean over the tokens of a float[batch, length, n], anything else flattened."""
    if value.ndim == 3:
        weights = np.ones(value.shape[:2]) if mask is None or mask.shape != value.shape[:2] else mask
        return ((value * weights[..., None]).sum(1) / np.maximum(weights.sum(1, keepdims=True), 1)).astype(np.float32)
    return value.reshape(len(value), -1).astype(np.float32)


def watch(graph: Graph, names: Iterable[str], examples: Examples, see: Callable[[str, AnyArray], None], size: int = 8) -> None:
    """Show ``see`` every named tensor, batch by batch, as float32[rows, n]: tokens that only fill a batch are left out."""
    import onnx

    wanted = list(dict.fromkeys(names))
    if not wanted:
        return
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in graph.outputs)
    session = open_session(model.SerializeToString())
    for places, feeds in examples.batches(size):
        mask = valid(examples, places, feeds)
        for name, value in zip(wanted, _run(session, wanted, feeds), strict=True):
            kept = value[mask] if mask is not None and value.shape[:2] == mask.shape else value
            see(name, kept.reshape(-1, kept.shape[-1]))


def run_bytes(graph: Graph, examples: Examples, size: int = BATCH) -> Vectors:
    """Return the answers of a graph."""
    return answers(open_session(as_bytes(graph)), examples, size)
