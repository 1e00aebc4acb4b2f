"""The Open Inference Protocol over gRPC, on the event loop of the gateway; requests go the same way as over HTTP."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeAlias

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from grpc import aio
from numpy.typing import NDArray

from tightrope.base.errors import InputError
from tightrope.serve.access.keys import check_scope
from tightrope.serve.config.settings import Limits, Listen
from tightrope.serve.interfaces import GatewayLike
from tightrope.serve.protocols.body_budget import BodyBudget
from tightrope.serve.protocols.http import NONE, RequestHead, caller_of, identity_of, refusal_headers, told_of
from tightrope.serve.protocols.oip import (
    EXTENSIONS,
    VERSION,
    call_of,
    check_inputs,
    check_parameters,
    metadata,
    model_of,
    outputs_of,
)
from tightrope.serve.protocols.oip_messages import MOST_FIELDS, PACKAGE, SERVICE, has_many_fields, message
from tightrope.serve.protocols.tensors import DTYPES, datatype_of, from_binary, to_binary, wrong
from tightrope.serve.refusals import Failed, Malformed, RequestRefusal, TooLarge, TooSlow

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.OUT_OF_RANGE,
    415: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Status over HTTP → over gRPC; every other is ``INTERNAL``."""
CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype → where its elements stand where they are not raw; FP16 is raw alone."""
log = logging.getLogger("tightrope.serve")

Wire: TypeAlias = Any
"""A message, whose class is made at run time."""
Headers: TypeAlias = Mapping[bytes, bytes]
Answered: TypeAlias = tuple[Wire, Sequence[tuple[bytes, bytes]]]
"""A message, and what is told beside it."""
Method: TypeAlias = Callable[[Wire, Headers], Awaitable[Answered]]


async def serve_grpc(
    gateway: GatewayLike, limits: Limits, listen: Listen, held: BodyBudget | None = None
) -> tuple[aio.Server, int]:
    """Return a server that has begun, and its port; ``await server.stop(grace)`` ends it. Raise ``InputError`` where it is taken.

    No message is taken in of a client without a key, nor where it says nothing. Any other has ``read_s`` to come whole, and is counted in
    ``held`` from then on: what is still coming is bounded by each message's size alone. What is larger than all that may be held is told
    so: there will never be room for it.
    """
    held = held or BodyBudget(limits.held_bytes)
    server = aio.server(
        options=[
            ("grpc.max_receive_message_length", min(limits.tensor_bytes + limits.body_bytes, held.most)),
            ("grpc.max_send_message_length", limits.tensor_bytes + limits.body_bytes),
            ("grpc.max_metadata_size", limits.header_bytes),
            ("grpc.max_concurrent_streams", 1024),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=limits.waiting,
    )
    handlers = {
        name: grpc.stream_unary_rpc_method_handler(  # which reads the one message when it is asked to, and not before
            _guarded(name, method, gateway, limits, held),  # pyrefly: ignore[bad-argument-type] - it is awaited
            response_serializer=message(f"{name}Response").SerializeToString,
        )
        for name, method in InferenceService(gateway, limits).methods().items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{PACKAGE}.{SERVICE}", handlers),))
    try:
        port = _listen(server, listen)
    except RuntimeError as error:
        msg = f"gRPC cannot listen on {listen.host}:{listen.grpc_port}, which others may do already"
        raise InputError(msg, resolve="give listen.grpc_port another port, or end what listens there") from error
    await server.start()
    return server, port


def _listen(server: aio.Server, listen: Listen) -> int:
    """Return the port that the server is to listen on, with TLS where there is a certificate; raise ``RuntimeError`` where it cannot."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    address = f"{host}:{listen.grpc_port or 0}"
    if listen.certificate is None or listen.certificate_key is None:
        return server.add_insecure_port(address)
    pair = (listen.certificate_key.read_bytes(), listen.certificate.read_bytes())
    return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))


class InferenceService:
    """``GRPCInferenceService``; every method takes a request and its metadata, and raises ``RequestRefusal``."""

    def __init__(self, gateway: GatewayLike, limits: Limits) -> None:
        self.gateway, self.limits = gateway, limits

    def methods(self) -> dict[str, Method]:
        """Return the methods by the protocol's names."""
        return {
            "ServerLive": self.live,
            "ServerReady": self.ready,
            "ServerMetadata": self.server,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model,
            "ModelInfer": self.infer,
        }

    async def live(self, request: Wire, headers: Headers) -> Answered:  # noqa: ARG002 - every method has both
        """Say that the process runs."""
        return message("ServerLiveResponse")(live=True), ()

    async def ready(self, request: Wire, headers: Headers) -> Answered:  # noqa: ARG002
        """Say whether requests are to be sent here."""
        return message("ServerReadyResponse")(ready=self.gateway.ready()), ()

    async def server(self, request: Wire, headers: Headers) -> Answered:  # noqa: ARG002
        """Return what this server is."""
        said = {"name": "tightrope", "version": version("tightrope"), "extensions": EXTENSIONS}
        return message("ServerMetadataResponse")(**said), ()

    async def model_ready(self, request: Wire, headers: Headers) -> Answered:
        """Say whether a model may be asked."""
        model_of(self.gateway, caller_of(self.gateway, headers), request.name, request.version)
        return message("ModelReadyResponse")(ready=self.gateway.ready()), ()

    async def model(self, request: Wire, headers: Headers) -> Answered:
        """Return a model's tensors."""
        model = model_of(self.gateway, caller_of(self.gateway, headers), request.name, request.version)
        return message("ModelMetadataResponse")(**metadata(self.gateway, model)), ()

    async def infer(self, request: Wire, headers: Headers) -> Answered:
        """Return tensors for tensors, raw."""
        arrived_s = time.monotonic()
        asked = RequestHead(identity_of(headers), caller_of(self.gateway, headers), arrived_s, headers)
        check_scope(asked.caller, "infer")
        model = model_of(self.gateway, asked.caller, request.model_name, request.model_version)
        wanted = [output.name for output in request.outputs]
        for item in (request, *request.inputs, *request.outputs):
            check_parameters(_parameters(item.parameters))
        call = call_of(model, asked, self._tensors(request), wanted, _parameters(request.parameters))
        reply = await self.gateway.answer(call)
        response = message("ModelInferResponse")(model_name=call.model, model_version=VERSION, id=request.id)
        for name, array in outputs_of(call.task, reply, wanted, self.limits).items():
            response.outputs.add(name=name, datatype=datatype_of(name, array), shape=np.shape(array))
            response.raw_output_contents.append(to_binary(array))
        return response, told_of(call.identity, reply, ended=True)

    def _tensors(self, request: Wire) -> list[tuple[str, NDArray[Any]]]:
        """Return the arrays of a request, raw or typed."""
        inputs, raw = request.inputs, request.raw_input_contents
        check_inputs(inputs, self.limits)
        if not raw:
            return [(item.name, _typed(item)) for item in inputs]
        if len(raw) != len(inputs):
            msg = f"raw_input_contents: one for each of {len(inputs)} inputs is expected, and {len(raw)} came"
            raise Malformed(msg, parameter="raw_input_contents")
        pairs = zip(inputs, raw, strict=True)
        return [(item.name, from_binary(item.name, item.datatype, item.shape, memoryview(data))) for item, data in pairs]


def _guarded(
    name: str, method: Method, gateway: GatewayLike, limits: Limits, held: BodyBudget
) -> Callable[[Wire, Wire], Awaitable[Wire]]:
    """Return a method as gRPC calls it, whose refusals are told as gRPC does; the message is held until it is answered."""

    async def answered(context: Wire, headers: Headers) -> Answered:
        if name.startswith("Server"):  # asks of the server alone, and says nothing
            return await method(None, headers)
        caller_of(gateway, headers)
        body = await _read(context, limits.read_s)
        held.take(len(body))
        try:
            return await method(_decoded(name, body), headers)
        finally:
            held.size -= len(body)

    async def called(_: Wire, context: Wire) -> Wire:
        pairs = context.invocation_metadata() or ()
        headers = {key.encode(): value if isinstance(value, bytes) else value.encode() for key, value in pairs}
        try:
            answer, told = await answered(context, headers)
        except RequestRefusal as refused:
            refusal = refused
        except Exception:
            identity = identity_of(headers)
            log.exception("request failed", extra={"request": identity})
            refusal = Failed(f"something went wrong here; the log says more under {identity}")
        else:
            context.set_trailing_metadata(_metadata(told))
            return answer
        code = CODES.get(refusal.status, grpc.StatusCode.INTERNAL)
        return await context.abort(code, refusal.message, _metadata(refusal_headers(refusal)))

    return called


async def _read(context: Wire, within_s: float) -> bytes:
    """Return a request's message; raise ``TooSlow`` where it does not come whole in time."""
    try:
        async with asyncio.timeout(within_s):
            body = await context.read()
    except TimeoutError:
        msg = f"the request did not come whole within {within_s:g} s"
        raise TooSlow(msg) from None
    return body if isinstance(body, bytes) else b""  # it ended without one: an empty message is as good


def _decoded(name: str, body: bytes) -> Wire:
    """Return a method's request; raise ``Malformed`` where it is none, and ``TooLarge`` where it would take far more than its bytes."""
    try:
        if name == "ModelInfer" and has_many_fields(body):
            msg = f"the request has more than the {MOST_FIELDS} fields that are taken"
            raise TooLarge(msg)
        return message(f"{name}Request").FromString(body)
    except DecodeError:
        msg = "what came is not the message that this method takes"
        raise Malformed(msg) from None


def _metadata(headers: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return header fields as gRPC has them."""
    return tuple((name.decode(), value.decode()) for name, value in headers)


def _typed(item: Wire) -> NDArray[Any]:
    """Return a tensor whose elements are typed; raise ``Malformed`` where they are not as it says."""
    field, dtype, shape = CONTENTS.get(item.datatype, ""), DTYPES[item.datatype], tuple(item.shape)
    elements = getattr(item.contents, field) if field else ()
    if len(elements) != math.prod(shape):
        where = field or "raw_input_contents"
        msg = (
            f"{item.name[:80]}: {math.prod(shape)} elements of {item.datatype} are expected in {where}, and {len(elements)} came"
        )
        raise Malformed(msg, parameter=item.name[:80])
    try:
        return np.fromiter(elements, dtype, len(elements)).reshape(shape)
    except OverflowError:
        raise wrong(item.name, f"an element does not fit {item.datatype}") from None


def _parameters(stated: Wire) -> Mapping[str, Any]:
    """Return parameters as plain values."""
    if not stated:
        return NONE
    return {name: getattr(item, item.WhichOneof("parameter_choice") or "", None) for name, item in stated.items()}
