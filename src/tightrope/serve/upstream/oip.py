"""The Open Inference Protocol, version 2, over HTTP: tensors in JSON, or as bytes where the server takes them.

Sources, read 2026-11: the Open Inference Protocol's REST specification (kserve/open-inference-protocol); its binary tensor data extension
(triton-inference-server, ``extension_binary_data.md``): a JSON header of ``Inference-Header-Content-Length`` bytes, then each tensor's.
"""

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray

from tightrope.serve.protocols.tensors import DTYPES, datatype_of, from_binary, from_json, to_binary, to_json
from tightrope.serve.records import Call, Reply, Signature, Tensors, TensorSpec
from tightrope.serve.refusals import RequestRefusal, Unsupported
from tightrope.serve.upstream import tightrope_engine
from tightrope.serve.upstream.dialect import UpstreamRequest, WholeAnswer, broken, text_tokens

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "binary_tensor_data"
"""How a server says that it takes tensors as bytes."""

_encode = msgspec.json.Encoder().encode


class ModelMetadata(msgspec.Struct):
    """What a server says of a model."""

    platform: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class Server(msgspec.Struct):
    """What a server says of itself."""

    extensions: list[str] = msgspec.field(default_factory=list)

    @property
    def takes_bytes(self) -> bool:
        """Whether tensors may be sent as bytes."""
        return any(BINARY in name for name in self.extensions)


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    parameters: dict[str, Any] | None = None
    """KServe states it always, and nearly always as null."""

    @property
    def stated(self) -> dict[str, Any]:
        """The parameters, none where there are none."""
        return self.parameters or {}


class _InferAnswer(msgspec.Struct):
    outputs: list[_Tensor]


_answer = msgspec.json.Decoder(_InferAnswer)
described = msgspec.json.Decoder(ModelMetadata).decode
server = msgspec.json.Decoder(Server).decode


class OpenInference:
    """Tensors to tensors; texts to vectors or scores where the model takes one tensor of texts."""

    def __init__(self) -> None:
        self.model = ModelMetadata()
        """What one of the pool's servers said last of the model,"""
        self.is_known = False
        """once one has said it."""

    def learn(self, body: bytes) -> ModelMetadata | None:
        """Return what a server says of its model, which is from now on what the pool says; None where it says nothing that can be read."""
        try:
            self.model, self.is_known = described(body), True
        except (msgspec.DecodeError, RecursionError):
            return None
        return self.model

    def health_path(self, model: str) -> str:
        """Return where a server says whether the model is ready: Triton's and KServe's are ready themselves before, or without, it."""
        return f"{model_path(model)}/ready"

    def ask(self, call: Call, model: str, *, binary: bool, said: ModelMetadata | None = None) -> UpstreamRequest:
        """Return the request for a call; raise ``Unsupported`` where the model does not take it.

        ``said`` is what the server that is asked says of it, else it is what any of them said last: while they are exchanged for those
        of a new version, each is asked in its own way.
        """
        said = said or self.model
        tensors = call.inputs
        if isinstance(tensors, tuple):
            if said.platform == tightrope_engine.PLATFORM:
                return tightrope_engine.ask(call, model)
            tensors = _texts(tensors, said)
        path = f"{model_path(model)}/infer"
        named = [{"name": name} for name in call.parameters.get("outputs", ())]
        head: dict[str, object] = {"id": call.identity}  # Triton names the request by it, some of KServe's models want one
        if named:
            head["outputs"] = named
        return _as_bytes(path, tensors, head) if binary else _as_json(path, tensors, head)

    def answer(self, call: Call, asked: UpstreamRequest, whole: WholeAnswer, reply: Reply) -> None:
        """Fill a reply with the tensors of an answer; raise ``UpstreamFailed`` where they are not what they say to be."""
        if tightrope_engine.is_asked(asked):
            tightrope_engine.answer(call, whole, reply)
            return
        tensors = decode(whole.body, whole.headers)
        if not isinstance(call.inputs, tuple):
            reply.outputs = tensors
            return
        reply.outputs = self._rows(tensors, len(call.inputs))
        reply.input_tokens, reply.tokens_estimated = text_tokens(call), True

    @property
    def signature(self) -> Signature | None:
        """The model's tensors, as its servers say; None where none has said."""
        return Signature(self.model.inputs, self.model.outputs) if self.model.inputs else None

    @property
    def is_ours(self) -> bool:
        """Whether the servers are engines of our own, by what they say."""
        return self.model.platform == tightrope_engine.PLATFORM

    def is_healthy(self, status: int) -> bool:
        """Return whether a server says that it is ready; Triton says 400 where it is not."""
        return status < 300

    def _rows(self, tensors: Tensors, rows: int) -> tuple[NDArray[Any], ...]:
        """Return float32[dimensions] of each text: the first output of numbers with a row for each."""
        for item in tensors.values():
            if item.dtype.kind == "f" and item.ndim == 2 and len(item) == rows:
                return tuple(item.astype(np.float32, copy=False))
        msg = f"no tensor float32[{rows}, dimensions]"
        raise broken(msg)


# ----------------------------------------------------------------------------------------------------------------- requests


def _texts(texts: tuple[str, ...], said: ModelMetadata) -> Tensors:
    """Return the tensor of texts that a model takes."""
    if not said.inputs:
        msg = "the model's server does not say which tensors it takes, so no texts can be sent to it"
        raise Unsupported(msg)
    taken = [item for item in said.inputs if item.datatype == "BYTES"]
    if len(said.inputs) != 1 or len(taken) != 1:
        msg = "the model's server does not take texts: it has no single input of type BYTES"
        raise Unsupported(msg)
    column = np.array([text.encode() for text in texts], dtype=object)
    return {taken[0].name: column.reshape(-1, 1) if len(taken[0].shape) > 1 else column}


def model_path(model: str) -> str:
    """Return where a server tells of a model."""
    return f"/v2/models/{quote(model, safe='')}"


def _head(name: str, array: NDArray[Any]) -> dict[str, object]:
    """Return what a request says of a tensor."""
    return {"name": name, "shape": list(array.shape), "datatype": datatype_of(name, array)}


def _as_json(path: str, tensors: Tensors, head: Mapping[str, object]) -> UpstreamRequest:
    """Return a request in JSON; ``head`` names it, and the outputs that are wanted where not all are."""
    return UpstreamRequest(
        path, _encode({**head, "inputs": [{**_head(*item), "data": to_json(*item)} for item in tensors.items()]})
    )


def _as_bytes(path: str, tensors: Tensors, head: Mapping[str, object]) -> UpstreamRequest:
    """Return a request whose tensors come as bytes, and that asks for the same."""
    parts = [to_binary(array) for array in tensors.values()]
    heads = [
        {**_head(*item), "parameters": {"binary_data_size": len(part)}} for item, part in zip(tensors.items(), parts, strict=True)
    ]
    said = _encode({**head, "inputs": heads, "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(said))}
    return UpstreamRequest(path, b"".join([said, *parts]), headers)


# ------------------------------------------------------------------------------------------------------------------ answers


def decode(body: bytes, headers: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return the tensors of an answer; raise ``UpstreamFailed`` where names, types, shapes and data do not agree."""
    found: dict[str, NDArray[Any]] = {}
    try:
        length = int(headers.get(HEADER_LENGTH, len(body)))
        rest = memoryview(body)[length:]
        for item in _answer.decode(body[:length]).outputs:
            if in_json := memoryview(item.data).nbytes:
                found[item.name] = from_json(item.name, item.datatype, _shape(item, in_json), item.data)
            else:
                size = int(item.stated["binary_data_size"])
                part, rest = rest[:size], rest[size:]
                found[item.name] = from_binary(item.name, item.datatype, _shape(item, len(part)), part)
    except RequestRefusal as refusal:
        msg = f"what is no tensor: {refusal.message}"
        raise broken(msg) from None
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        msg = "tensors that are not what they say to be"
        raise broken(msg) from None
    return found


def _shape(item: _Tensor, size: int) -> list[int]:
    """Return the shape of a tensor that may be in so many bytes; raise ``ValueError`` where it cannot."""
    least = 4 if item.datatype == "BYTES" and "binary_data_size" in item.stated else 1
    if item.datatype not in DTYPES or min(item.shape, default=0) < 0 or least * math.prod(item.shape) > size:
        msg = f"{item.datatype} {item.shape}"
        raise ValueError(msg)
    return item.shape
