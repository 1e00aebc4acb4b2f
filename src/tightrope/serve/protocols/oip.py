"""What the Open Inference Protocol asks of a model, over HTTP and gRPC alike: tensors in, tensors out, texts among them.

A model of ``embed`` or ``classify`` takes one BYTES tensor of texts and answers FP32 rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightrope.serve.config.settings import Limits, ServedModel
from tightrope.serve.interfaces import GatewayLike
from tightrope.serve.protocols.http import RequestHead
from tightrope.serve.protocols.openai import read_vectors, vectors_of
from tightrope.serve.protocols.tensors import checked_bytes
from tightrope.serve.records import Call, Caller, Reply, Signature, Task, Tensors, TensorSpec
from tightrope.serve.refusals import Failed, Malformed, NotFound, TooLarge, Unsupported

VERSION = "1"
"""The one version that a model has."""
EXTENSIONS = ("binary_tensor_data",)
TEXT_OUTPUTS = {"embed": "embedding", "classify": "scores"}
MOST_TENSORS = 256
NOT_OURS = ("shared_memory_region", "classification", "sequence_id")
"""Extensions of Triton's that are refused rather than left out: the answer would be another."""


def model_of(gateway: GatewayLike, caller: Caller, name: str, version: str = "") -> ServedModel:
    """Return the model that is asked for; raise ``NotFound``."""
    for model in gateway.models(caller):
        if model.name == name:
            if version not in {"", VERSION}:
                msg = f"model {name!r} has version {VERSION} alone"
                raise NotFound(msg, parameter="version")
            return model
    msg = f"there is no model {name[:200]!r}"
    raise NotFound(msg, parameter="model")


def signature_of(gateway: GatewayLike, model: ServedModel) -> Signature | None:
    """Return a model's tensors; None where they are not known."""
    output = TEXT_OUTPUTS.get(model.task)
    if output is None:
        return gateway.signature(model.name)
    return Signature((TensorSpec("text", "BYTES", (-1,)),), (TensorSpec(output, "FP32", (-1, -1)),))


def metadata(gateway: GatewayLike, model: ServedModel) -> dict[str, Any]:
    """Return a model's metadata, with the protocol's names."""
    signature = signature_of(gateway, model) or Signature((), ())

    def tensors(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
        return [{"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in specs]

    inputs, outputs = tensors(signature.inputs), tensors(signature.outputs)
    return {"name": model.name, "versions": [VERSION], "platform": "tightrope", "inputs": inputs, "outputs": outputs}


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse extensions that would change the answer."""
    for name in NOT_OURS:
        if parameters.get(name):
            msg = f"{name}: this extension is not had"
            raise Unsupported(msg, parameter=name)


def check_inputs(inputs: Sequence[Any], limits: Limits) -> None:
    """Refuse tensors (``name``, ``datatype``, ``shape``) that claim what they may not, each or together."""
    if len(inputs) > MOST_TENSORS or sum(checked_bytes(item.name, item.datatype, item.shape, limits) for item in inputs) > (
        limits.tensor_bytes
    ):
        msg = f"more than the {limits.tensor_bytes} bytes or {MOST_TENSORS} tensors that are taken at a time"
        raise TooLarge(msg, parameter="inputs")


def call_of(
    model: ServedModel,
    asked: RequestHead,
    inputs: Sequence[tuple[str, NDArray[Any]]],
    outputs: Sequence[str],
    said: Mapping[str, Any],
) -> Call:
    """Return the call for tensors that were checked; raise ``Malformed`` where the model does not take them."""
    if model.task == "chat":
        msg = f"model {model.name!r} answers at /v1/chat/completions"
        raise Malformed(msg, parameter="model")
    tensors = dict(inputs)
    if len(tensors) != len(inputs) or not tensors:
        msg = "inputs: one or more are expected, each with a name of its own"
        raise Malformed(msg, parameter="inputs")
    parameters = {name: value for name, value in said.items() if name != "binary_data_output"}
    if model.task == "infer":
        if outputs:
            parameters["outputs"] = tuple(outputs)
        return asked.call("infer", model.name, tensors, parameters=parameters)
    if any(name != TEXT_OUTPUTS[model.task] for name in outputs):
        msg = f"outputs: model {model.name!r} answers with {TEXT_OUTPUTS[model.task]!r} alone"
        raise Malformed(msg, parameter="outputs")
    return asked.call(model.task, model.name, _texts(model, tensors), parameters=parameters)


def _texts(model: ServedModel, tensors: Tensors) -> tuple[str, ...]:
    """Return the texts of the one tensor."""
    name, array = next(iter(tensors.items()))
    if len(tensors) != 1 or array.dtype.kind != "O" or array.size != len(array):
        msg = f"inputs: model {model.name!r} takes one tensor of BYTES, of shape [texts] or [texts, 1]"
        raise Malformed(msg, parameter="inputs")
    try:
        return tuple(item.decode() for item in array.ravel())
    except UnicodeDecodeError:
        msg = f"{name[:80]}: a text is not UTF-8"
        raise Malformed(msg, parameter=name[:80]) from None


def outputs_of(task: Task, reply: Reply, wanted: Sequence[str], limits: Limits) -> dict[str, NDArray[Any]]:
    """Return the tensors of an answer that are wanted, all where none is named; raise ``Malformed`` for one that is not there."""
    found = _all_outputs(task, reply)
    for name in wanted:
        if name not in found:
            msg = f"outputs: there is no {name[:80]!r}, there are {', '.join(found)}"
            raise Malformed(msg, parameter="outputs")
    chosen = {name: found[name] for name in wanted or found}
    if sum(array.nbytes for array in chosen.values()) > limits.tensor_bytes:
        msg = f"the answer has more than the {limits.tensor_bytes} bytes that tensors may have"
        raise TooLarge(msg)
    return chosen


def _all_outputs(task: Task, reply: Reply) -> Tensors:
    """Return an answer as tensors."""
    if task in TEXT_OUTPUTS:
        rows = read_vectors(reply.raw) if reply.raw is not None else vectors_of(reply)
        return {TEXT_OUTPUTS[task]: np.stack(rows).astype(np.float32, copy=False)}
    if isinstance(reply.outputs, tuple):
        msg = f"pool {reply.pool} answered without tensors"
        raise Failed(msg)
    return reply.outputs
