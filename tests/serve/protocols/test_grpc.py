"""The Open Inference Protocol over gRPC, asked by the unmodified Triton client on a server that runs."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from front_door import KEYS, USUAL, FakeGateway, small, vector
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2
from tritonclient.utils import InferenceServerException

from tightrope.base.errors import InputError
from tightrope.serve.config.settings import Limits, Listen
from tightrope.serve.protocols.body_budget import SMALL, BodyBudget
from tightrope.serve.protocols.grpc import serve_grpc
from tightrope.serve.protocols.oip_messages import MESSAGES, MOST_FIELDS, message

Ask = Callable[[triton.InferenceServerClient], Awaitable[Any]]


def asked(ask: Ask, gateway: FakeGateway | None = None, limits: Limits = USUAL, held: BodyBudget | None = None) -> Any:
    """Return what ``ask`` does with a client of a running server."""

    async def run() -> Any:
        server, port = await serve_grpc(gateway or FakeGateway(), limits, Listen(grpc_port=0), held)
        try:
            async with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
                return await asyncio.wait_for(ask(client), 60)
        finally:
            await server.stop(0)

    return asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_said(host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        try:
            taken.bind((host, 0))
        except OSError:
            pytest.skip(f"{host} is not to be had here")
        taken.listen()
        listen = Listen(host, grpc_port=taken.getsockname()[1])
        with pytest.raises(InputError, match=f"gRPC cannot listen on {host}:"):
            asyncio.run(serve_grpc(FakeGateway(), USUAL, listen))

    async def run() -> None:
        server, _ = await serve_grpc(FakeGateway(), USUAL, Listen(host, grpc_port=0))
        await server.stop(0)

    asyncio.run(run())


def tensor(name: str, array: Any, datatype: str) -> InferInput:
    """Return an input as the client has it."""
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def typed(client: triton.InferenceServerClient, model: str, *inputs: Any, **more: Any) -> Awaitable[Any]:
    """Ask with a message that the client's own interface does not make."""
    return client._client_stub.ModelInfer(service_pb2.ModelInferRequest(model_name=model, inputs=inputs, **more))


def one(datatype: str, shape: list[int], **contents: Any) -> Any:
    """Return an input with typed contents."""
    held = service_pb2.InferTensorContents(**contents)
    return service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=shape, contents=held)


def test_messages_are_those_that_clients_have() -> None:
    """The client's are of Triton, which extends the protocol: every field of ours is there under the same number and type."""

    def fields(descriptor: Any) -> set[tuple[Any, ...]]:
        return {
            (item.name, item.number, item.type, item.is_repeated, item.message_type and item.message_type.full_name)
            for item in descriptor.fields
        }

    for name in MESSAGES:
        outer, _, inner = name.partition(".")
        theirs = service_pb2.DESCRIPTOR.message_types_by_name[outer]
        theirs = theirs.nested_types_by_name[inner] if inner else theirs
        assert fields(message(name).DESCRIPTOR) == fields(theirs)


def test_the_client_asks_how_it_stands() -> None:
    gateway = FakeGateway()

    async def ask(client: triton.InferenceServerClient) -> None:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("echo", "1")
        gateway.is_ready = False
        assert not await client.is_server_ready()
        assert not await client.is_model_ready("echo")
        assert (await client.get_server_metadata()).extensions == ["binary_tensor_data"]
        found = await client.get_model_metadata("echo", as_json=True)
        assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]
        with pytest.raises(InferenceServerException) as caught:
            await client.get_model_metadata("nix")
        assert caught.value.status() == "StatusCode.NOT_FOUND"

    asked(ask, gateway)


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([[1.5, -2.0]], np.float32), "FP32"),
        (np.array([[0.5]], np.float16), "FP16"),
        (np.array([True, False]), "BOOL"),
        (np.array([-(2**63)], np.int64), "INT64"),
        (np.array([b"\xff\x00", b""], object), "BYTES"),
    ],
)
def test_raw_tensors_come_back(array: Any, datatype: str) -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        found = await client.infer("echo", [tensor("x", array, datatype)], request_id="r-7", outputs=[InferRequestedOutput("x")])
        assert np.array_equal(found.as_numpy("x"), array)
        assert found.get_response().id == "r-7"

    asked(ask)


@pytest.mark.parametrize(
    ("datatype", "contents", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT64", "int64_contents", [-(2**63), 1]),
        ("UINT16", "uint_contents", [0, 65535]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, float("nan")]),
        ("FP64", "fp64_contents", [0.1, -2.0]),
        ("BYTES", "bytes_contents", [b"a", b"\xff"]),
    ],
)
def test_typed_tensors_come_back_raw(datatype: str, contents: str, values: Any) -> None:
    from tritonclient.grpc import InferResult  # reads raw answers

    async def ask(client: triton.InferenceServerClient) -> None:
        found = InferResult(await typed(client, "echo", one(datatype, [2], **{contents: values})))
        expected = np.array(values, object if datatype == "BYTES" else None)
        assert np.array_equal(found.as_numpy("x"), expected, equal_nan=datatype.startswith("FP"))

    asked(ask)


def test_the_answer_says_what_it_cost() -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        answer = typed(client, "echo", one("FP32", [1], fp32_contents=[1.0]))
        told = dict(await answer.trailing_metadata())
        assert (told["x-tightrope-cost-usd"], told["x-tightrope-pool"]) == ("0.000001234", "pool/a")
        assert told["x-request-id"].startswith("req-")

    asked(ask)


def test_text_models_take_a_tensor_of_texts() -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        found = await client.infer("embedder", [tensor("text", np.array(["hi"], object), "BYTES")])
        assert np.array_equal(found.as_numpy("embedding"), [vector("hi")])
        found = await client.infer("sentiment", [tensor("text", np.array(["hi"], object), "BYTES")])
        assert found.as_numpy("scores").tolist() == [[0.25, 0.75]]

    asked(ask)


@pytest.mark.parametrize(
    ("item", "more", "code"),
    [
        (one("FP32", [3], fp32_contents=[1.0]), {}, "INVALID_ARGUMENT"),
        (one("FP32", [1], int_contents=[1]), {}, "INVALID_ARGUMENT"),
        (one("INT8", [1], int_contents=[300]), {}, "INVALID_ARGUMENT"),
        (one("FP16", [1], fp32_contents=[1.0]), {}, "INVALID_ARGUMENT"),
        (one("FP32", [-1]), {}, "INVALID_ARGUMENT"),
        (one("FP32", [1, 2**62]), {}, "OUT_OF_RANGE"),
        (one("BF16", [1]), {}, "UNIMPLEMENTED"),
        (one("FP32", [1]), {"raw_input_contents": [b"1234", b"1234"]}, "INVALID_ARGUMENT"),
        (one("FP32", [1]), {"raw_input_contents": [b"123"]}, "INVALID_ARGUMENT"),
        (one("FP32", [1], fp32_contents=[1.0]), {"model_version": "2"}, "NOT_FOUND"),
        (
            one("FP32", [1], fp32_contents=[1.0]),
            {"parameters": {"sequence_id": service_pb2.InferParameter(int64_param=3)}},
            "UNIMPLEMENTED",
        ),
    ],
)
def test_requests_that_lie_are_refused(item: Any, more: dict[str, Any], code: str) -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await typed(client, "echo", item, **more)
        assert caught.value.code() is grpc.StatusCode[code]
        assert caught.value.details()

    asked(ask)


def test_a_message_has_a_limit() -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        with pytest.raises(InferenceServerException, match="larger than max"):
            await client.infer("echo", [tensor("x", np.zeros((1, 1000), np.float32), "FP32")])

    asked(ask, limits=small(tensor_bytes=1000, body_bytes=1000))


def test_a_refusal_says_when_to_come_back() -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await typed(client, "busy", one("BYTES", [1], bytes_contents=[b"a"]))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(caught.value.trailing_metadata())["retry-after"] == "7"

    asked(ask)


def test_a_defect_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await typed(client, "broken", one("BYTES", [1], bytes_contents=[b"a"]))
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in caught.value.details()

    asked(ask)
    assert "a secret of the engine" in caplog.text


def test_keys_are_asked_for() -> None:
    gateway = FakeGateway(KEYS)

    async def ask(client: triton.InferenceServerClient) -> None:
        inputs = [tensor("x", np.ones((1, 1), np.float32), "FP32")]
        assert await client.is_server_live()
        for headers, code in ((None, "UNAUTHENTICATED"), ({"api-key": "uploader"}, "PERMISSION_DENIED")):
            with pytest.raises(InferenceServerException) as caught:
                await client.infer("echo", inputs, headers=headers)
            assert caught.value.status() == f"StatusCode.{code}"
        await client.infer("echo", inputs, headers={"authorization": "Bearer alice", "x-tightrope-tag": "t"})
        assert (gateway.asked[-1].caller.tenant, gateway.asked[-1].tag) == ("acme", "t")

    asked(ask, gateway)


def test_a_client_that_goes_takes_its_request_along() -> None:
    gateway = FakeGateway()

    async def ask(client: triton.InferenceServerClient) -> None:
        answer = typed(client, "slow", one("BYTES", [1], bytes_contents=[b"a"]))
        while not gateway.began.is_set():
            await asyncio.sleep(0.01)
        answer.cancel()
        while not gateway.closed.is_set():
            await asyncio.sleep(0.01)

    asked(ask, gateway)


def test_messages_are_held_until_they_are_answered_and_refused_without_room() -> None:
    held = BodyBudget(8 * SMALL)

    async def ask(client: triton.InferenceServerClient) -> None:
        large = tensor("x", np.zeros((2000, SMALL // 4000), np.float32), "FP32")
        assert (await client.infer("echo", [large])).as_numpy("x").shape[0] == 2000
        assert held.size == 0
        held.size = held.most
        with pytest.raises(InferenceServerException, match="more bytes of requests are held") as refused:
            await client.infer("echo", [large])
        assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        assert await client.is_server_live()
        assert held.size == held.most

    asked(ask, held=held)


def test_what_there_will_never_be_room_for_is_too_large_and_not_to_be_sent_again() -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        with pytest.raises(InferenceServerException, match="larger than max"):
            await client.infer("echo", [tensor("x", np.zeros((1000, SMALL // 2000), np.float32), "FP32")])

    asked(ask, held=BodyBudget(SMALL))


@pytest.mark.parametrize(
    "body", [b"\xff\xff\xff", b"\x2a\x01", b"\x2b\x00", b"\x2a\x02\x2a\x7f"], ids=["key", "short", "group", "inner"]
)
def test_what_is_no_message_is_malformed_and_not_held(body: bytes) -> None:
    held = BodyBudget(SMALL)
    assert asked(lambda client: refused(client, body, "not the message"), held=held) == grpc.StatusCode.INVALID_ARGUMENT
    assert held.size == 0


@pytest.mark.parametrize(
    "field", [b"\x2a\x00", b"\x2a\x02\x22\x00", b"\x32\x00", b"\x22\x00"], ids=["inputs", "inner", "outputs", "parameters"]
)
def test_what_would_take_far_more_than_its_bytes_is_too_large_before_it_is_read(field: bytes) -> None:
    many = field * (MOST_FIELDS + 1)
    assert asked(lambda client: refused(client, many, "fields")) == grpc.StatusCode.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("method", "headers", "code"),
    [
        ("ServerLive", {}, grpc.StatusCode.OK),
        ("ModelReady", {}, grpc.StatusCode.UNAUTHENTICATED),
        ("ModelInfer", {"authorization": "Bearer nobody"}, grpc.StatusCode.UNAUTHENTICATED),
        ("ModelInfer", {"authorization": "Bearer alice"}, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
    ids=["says-nothing", "no-key", "wrong-key", "slow"],
)
def test_a_message_that_never_comes_is_waited_for_only_where_it_may_be_sent(
    method: str, headers: dict[str, str], code: grpc.StatusCode
) -> None:
    async def ask(client: triton.InferenceServerClient) -> grpc.StatusCode:
        call = client._channel.stream_unary(f"/inference.GRPCInferenceService/{method}", _registered_method=False)
        return await call(metadata=[*headers.items()]).code()

    assert asked(ask, FakeGateway(KEYS), small(read_s=0.1)) is code


async def refused(client: triton.InferenceServerClient, body: bytes, match: str) -> grpc.StatusCode:
    """Return why a body is refused."""
    call = client._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", _registered_method=False)
    with pytest.raises(grpc.aio.AioRpcError, match=match) as caught:
        await call(body)
    return caught.value.code()
