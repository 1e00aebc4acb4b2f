"""The Open Inference Protocol, version 2, over HTTP: tensors as JSON, or behind it as bytes (the binary tensor data extension).

Shapes of requests and answers are those of KServe's specification and of Triton's extension, read 2026-11.
"""

from functools import partial
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tightrope.serve.config.settings import Limits
from tightrope.serve.interfaces import GatewayLike
from tightrope.serve.protocols.error_bodies import malformed, oip_error
from tightrope.serve.protocols.http import NONE, RequestHead, Write, WrittenAnswer
from tightrope.serve.protocols.oip import VERSION, call_of, check_inputs, check_parameters, model_of, outputs_of
from tightrope.serve.protocols.tensors import (
    UNREADABLE,
    datatype_of,
    from_binary,
    from_json,
    to_binary,
    to_json,
    wrong,
)
from tightrope.serve.records import Call, Reply
from tightrope.serve.refusals import Malformed, TooLarge

HEADER = "Inference-Header-Content-Length"
Parameters: TypeAlias = dict[str, str | int | float | bool | None]
encode = msgspec.json.Encoder().encode


class Input(msgspec.Struct, gc=False):
    """A tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    parameters: Parameters | None = None


class Output(msgspec.Struct, gc=False):
    """A tensor that is asked for."""

    name: str
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct, gc=False):
    """The JSON of ``/v2/models/{name}/infer``."""

    inputs: list[Input]
    id: str | None = None
    outputs: list[Output] | None = None
    parameters: Parameters | None = None


class Infer:
    """``POST /v2/models/{name}/infer``; the path's model is ``name``, or ``name/versions/1``."""

    def __init__(self, gateway: GatewayLike, limits: Limits) -> None:
        self.gateway, self.limits = gateway, limits
        self._decode = msgspec.json.Decoder(InferRequest).decode

    def read(self, body: bytes, asked: RequestHead) -> tuple[Call, Write]:
        """Return the call; every claim is checked before its tensor is made."""
        name, _, version = asked.model.partition("/versions/")
        model = model_of(self.gateway, asked.caller, name, version)
        text, binary = _split(body, asked)
        try:
            stated = self._decode(text)
        except UNREADABLE as error:
            raise malformed(error) from None
        parameters, outputs = stated.parameters or NONE, stated.outputs or []
        check_parameters(parameters)
        for output in outputs:
            check_parameters(output.parameters or NONE)
        call = call_of(model, asked, self._tensors(stated.inputs, binary), [output.name for output in outputs], parameters)
        return call, partial(_write, call, stated, self.limits)

    refuse = staticmethod(oip_error)

    def _tensors(self, inputs: list[Input], binary: memoryview) -> list[tuple[str, NDArray[Any]]]:
        """Return the arrays of a request; what came as bytes must be used up."""
        check_inputs(inputs, self.limits)
        found: list[tuple[str, NDArray[Any]]] = []
        at = 0
        for item in inputs:
            check_parameters(item.parameters or NONE)
            size = _binary_size(item, len(binary) - at)
            if size is None:
                found.append((item.name, _from_json(item)))
            else:
                found.append((item.name, from_binary(item.name, item.datatype, item.shape, binary[at : at + size])))
                at += size
        if at != len(binary):
            msg = f"{len(binary)} bytes of tensors came, and the inputs say {at}"
            raise Malformed(msg, parameter="binary_data_size")
        return found


def _split(body: bytes, asked: RequestHead) -> tuple[memoryview, memoryview]:
    """Return a body's JSON, and what is behind it."""
    view = memoryview(body)
    said = asked.headers.get(HEADER.lower().encode())
    if said is None:
        return view, view[:0]
    if not said.isdigit() or len(said) > 18 or int(said) > len(body):
        msg = f"{HEADER}: a length within the body's {len(body)} bytes is expected"
        raise Malformed(msg, parameter=HEADER)
    return view[: int(said)], view[int(said) :]


def _binary_size(item: Input, left: int) -> int | None:
    """Return how many bytes a tensor says it has behind the JSON, None where its data is in it."""
    size = (item.parameters or NONE).get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or not 0 <= size <= left:
        raise wrong(item.name, f"binary_data_size is {str(size)[:40]}, and {left} bytes are left behind the JSON")
    if len(item.data):
        raise wrong(item.name, "data or binary_data_size is expected, not both")
    return size


def _from_json(item: Input) -> NDArray[Any]:
    """Return a tensor whose data is in the JSON."""
    if not len(item.data):
        raise wrong(item.name, "data is missing")
    return from_json(item.name, item.datatype, item.shape, item.data)


def _write(call: Call, stated: InferRequest, limits: Limits, reply: Reply) -> WrittenAnswer:
    """Return the answer: each tensor in JSON or behind it, as it was asked."""
    asked = stated.outputs or []
    whole = (stated.parameters or NONE).get("binary_data_output") is True
    as_bytes = {output.name: (output.parameters or NONE).get("binary_data", whole) is True for output in asked}
    told: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, array in outputs_of(call.task, reply, list(as_bytes), limits).items():
        entry: dict[str, Any] = {"name": name, "datatype": datatype_of(name, array), "shape": list(np.shape(array))}
        if as_bytes.get(name, whole):
            parts.append(to_binary(array))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        elif array.nbytes > limits.body_bytes:
            msg = f"{name}: the answer has {array.nbytes} bytes, too many for JSON; ask for binary data"
            raise TooLarge(msg)
        else:
            entry["data"] = to_json(name, array)
        told.append(entry)
    answer: dict[str, Any] = {"model_name": call.model, "model_version": VERSION, "outputs": told}
    if stated.id:
        answer["id"] = stated.id
    text = encode(answer)
    if not parts:
        return WrittenAnswer(text)
    return WrittenAnswer(
        b"".join((text, *parts)), b"application/octet-stream", 200, ((HEADER.lower().encode(), b"%d" % len(text)),)
    )
