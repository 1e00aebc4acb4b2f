"""The messages of the Open Inference Protocol over gRPC, version 2, made from a table: names, numbers and types.

Source: ``GRPCInferenceService`` of KServe's open-inference-protocol and of Triton's extension of it, which agree, read 2026-11. Made at run
time in a pool of their own, they need no generated code and get along with a client's copy of them in the same process.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

PACKAGE, SERVICE = "inference", "GRPCInferenceService"
TENSOR = "name:1 string, datatype:2 string, shape:3 *int64"
MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:1 bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:1 bool",
    "ModelReadyRequest": "name:1 string, version:2 string",
    "ModelReadyResponse": "ready:1 bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:1 string, version:2 string, extensions:3 *string",
    "ModelMetadataRequest": "name:1 string, version:2 string",
    "ModelMetadataResponse": "name:1 string, versions:2 *string, platform:3 string, inputs:4 *.TensorMetadata, outputs:5 *.TensorMetadata",
    "ModelMetadataResponse.TensorMetadata": TENSOR,
    "InferParameter": "bool_param:1 bool, int64_param:2 int64, string_param:3 string, double_param:4 double, uint64_param:5 uint64",
    "InferTensorContents": "bool_contents:1 *bool, int_contents:2 *int32, int64_contents:3 *int64, uint_contents:4 *uint32, "
    "uint64_contents:5 *uint64, fp32_contents:6 *float, fp64_contents:7 *double, bytes_contents:8 *bytes",
    "ModelInferRequest": "model_name:1 string, model_version:2 string, id:3 string, parameters:4 {}, inputs:5 *.InferInputTensor, "
    "outputs:6 *.InferRequestedOutputTensor, raw_input_contents:7 *bytes",
    "ModelInferRequest.InferInputTensor": f"{TENSOR}, parameters:4 {{}}, contents:5 InferTensorContents",
    "ModelInferRequest.InferRequestedOutputTensor": "name:1 string, parameters:2 {}",
    "ModelInferResponse": "model_name:1 string, model_version:2 string, id:3 string, parameters:4 {}, outputs:5 *.InferOutputTensor, "
    "raw_output_contents:6 *bytes",
    "ModelInferResponse.InferOutputTensor": f"{TENSOR}, parameters:4 {{}}, contents:5 InferTensorContents",
}
"""Message → ``field:number type``; ``*`` is repeated, ``{}`` a map from names to ``InferParameter``, a leading dot an inner message."""
ONE_OF = {"InferParameter": "parameter_choice"}
HOLD_MESSAGES = (5, 6)
"""Fields that are messages with messages in them: the inputs and outputs of ``ModelInferRequest``, and an input's contents."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    """Return the table as protobuf describes a file."""
    file = descriptor_pb2.FileDescriptorProto(name="tightrope/open_inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in MESSAGES.items():
        outer, _, inner = name.partition(".")
        message = made[outer].nested_type.add(name=inner) if inner else file.message_type.add(name=outer)
        made[name] = message
        if name in ONE_OF:
            message.oneof_decl.add(name=ONE_OF[name])
        for field in filter(None, fields.split(", ")):
            _add_field(message, f".{PACKAGE}.{outer}", f".{PACKAGE}.{name}", field, one_of=name in ONE_OF)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, outer: str, full: str, text: str, *, one_of: bool) -> None:
    """Add one field to a message."""
    said, kind = text.split(" ")
    name, number = said.split(":")
    field = message.field.add(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if kind.startswith("*") or kind == "{}" else field.LABEL_OPTIONAL
    kind = kind.lstrip("*")
    if kind == "{}":
        kind = f"{full}.ParametersEntry"
        entry = message.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
        entry.field.add(
            name="value", number=2, type_name=f".{PACKAGE}.InferParameter", type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL
        )
    elif kind.startswith("."):
        kind = f"{outer}{kind}"
    elif kind[0].isupper():
        kind = f".{PACKAGE}.{kind}"
    if kind.startswith("."):
        field.type, field.type_name = field.TYPE_MESSAGE, kind
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    if one_of:
        field.oneof_index = 0


POOL = descriptor_pool.DescriptorPool()
POOL.Add(_file())


def message(name: str) -> Any:  # noqa: ANN401 - a class that is made at run time
    """Return the class of a message."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


# ------------------------------------------------------------------------------------------------------- before it is a message

MOST_FIELDS = 2**17
"""Of a request and of what is in it: an empty one takes two bytes on the wire, and fifty times as much in memory."""
VARINT, FIXED, DELIMITED = 0, {1: 8, 5: 4}, 2
"""Kinds of fields on the wire (protobuf.dev, *Encoding*, read 2026-11)."""


def has_many_fields(body: bytes) -> bool:
    """Return whether a ``ModelInferRequest`` that is not read yet has more than ``MOST_FIELDS``; raise ``DecodeError`` where it is none."""
    try:
        return next(islice(_fields(body, 0, len(body), depth=2), MOST_FIELDS, None), None) is not None
    except IndexError:
        msg = "truncated"
        raise DecodeError(msg) from None


def _fields(body: bytes, at: int, end: int, depth: int) -> Iterator[int]:
    """Yield the number of each field, and of those within the fields that hold messages, to this depth."""
    while at < end:
        key, at = _varint(body, at)
        yield key >> 3
        kind, start = key & 7, at
        if kind == DELIMITED:
            size, start = _varint(body, at)
            at = start + size
        elif kind == VARINT:
            _, at = _varint(body, at)
        elif kind in FIXED:
            at += FIXED[kind]
        if at > end or kind not in {VARINT, DELIMITED, *FIXED}:
            raise IndexError
        if depth and kind == DELIMITED and key >> 3 in HOLD_MESSAGES:
            yield from _fields(body, start, at, depth - 1)


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return a number, and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = body[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
    raise IndexError
