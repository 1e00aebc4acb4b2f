"""The Open Inference Protocol: tensors as JSON and as bytes, texts to vectors, answers that lie."""

import asyncio
import json
import struct
from binascii import b2a_base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from upstream_stand_in import Handler, Server, bench, call, says, until, within

from tightrope.serve.records import Reply, Signature, TensorSpec
from tightrope.serve.refusals import Malformed, Unsupported, UpstreamFailed
from tightrope.serve.upstream.dialect import UpstreamRequest, WholeAnswer
from tightrope.serve.upstream.oip import HEADER_LENGTH, ModelMetadata, OpenInference, decode, described, server

SIZES = {"FP32": 4, "FP64": 8, "INT64": 8, "INT32": 4, "UINT8": 1, "BOOL": 1, "FP16": 2}
KINDS = {"FP32": "f", "FP64": "d", "INT64": "q", "INT32": "i", "UINT8": "B", "BOOL": "?", "FP16": "e"}


def reference(body: bytes, headers: Mapping[str, str]) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Return a request's tensors (type, shape, items), read by ``struct`` as the specification writes them."""
    size = int(headers.get(HEADER_LENGTH.lower(), len(body)))
    said, rest = json.loads(body[:size]), body[size:]
    found: dict[str, tuple[str, list[int], list[Any]]] = {}
    for item in said["inputs"]:
        kind, items = item["datatype"], item.get("data", [])
        if "data" not in item:
            part, rest = rest[: item["parameters"]["binary_data_size"]], rest[item["parameters"]["binary_data_size"] :]
            if kind == "BYTES":
                while part:
                    (length,) = struct.unpack("<I", part[:4])
                    items.append(part[4 : 4 + length].decode())
                    part = part[4 + length :]
            else:
                items = list(struct.unpack(f"<{len(part) // SIZES[kind]}{KINDS[kind]}", part))
        found[item["name"]] = (kind, item["shape"], items)
    assert not rest
    return found


def model(*answers: Handler, takes_bytes: bool) -> Server:
    """Return a server that says what it can, then answers in turn."""
    left = [*answers]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v2":
            return web.json_response({"name": "s", "extensions": ["binary_tensor_data"] if takes_bytes else []})
        if request.method == "GET":
            inputs = [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}]
            return web.json_response({"name": "m", "inputs": inputs, "outputs": []})
        return await left[0 if len(left) == 1 else -1](request)

    return Server([answer])


def binary(outputs: list[dict[str, Any]], *parts: bytes) -> Handler:
    """Return a handler that answers with bytes."""

    async def handler(request: web.Request) -> web.Response:
        head = json.dumps({"model_name": "m", "outputs": outputs}).encode()
        return web.Response(body=b"".join([head, *parts]), headers={HEADER_LENGTH: str(len(head))})

    return handler


def asked(on: Any) -> tuple[str, dict[str, tuple[str, list[int], list[Any]]]]:
    """Return path and tensors of the last request."""
    return on.path, reference(on.body, on.headers)


class Noted:
    """Keeps the last request."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.path, self.body = "", b""
        self.headers: dict[str, str] = {}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        self.path, self.body = request.raw_path, await request.read()
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        return await self.handler(request)


@pytest.mark.parametrize("takes_bytes", [True, False])
def test_tensors_go_and_come(takes_bytes: bool) -> None:
    y = np.array([[1.5, -2.0]], dtype=np.float32)
    if takes_bytes:
        said = [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
            {"name": "label", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
        ]
        noted = Noted(binary(said, y.tobytes(), b"\x02\x00\x00\x00\xc3\xa9"))
    else:
        outputs = [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2.0]}]
        noted = Noted(says({"outputs": [*outputs, {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["é"]}]}))

    async def work() -> None:
        async with bench(model(noted, takes_bytes=takes_bytes), task="infer", api="oip", model="a model/b") as on:
            x, texts = np.arange(6, dtype=np.int64).reshape(2, 3).T, np.array([b"one", b"zwei"], dtype=object)
            reply = await on.ask(task="infer", inputs={"x": x, "t": texts}, parameters={"outputs": ("y", "label")})
            path, tensors = asked(noted)
            assert path == "/v2/models/a%20model%2Fb/infer"
            assert tensors == {"x": ("INT64", [3, 2], [0, 3, 1, 4, 2, 5]), "t": ("BYTES", [2], ["one", "zwei"])}
            assert (HEADER_LENGTH.lower() in noted.headers) is takes_bytes
            head = json.loads(noted.body[: int(noted.headers.get(HEADER_LENGTH.lower(), len(noted.body)))])
            assert head["outputs"] == [{"name": "y"}, {"name": "label"}]
            assert isinstance(reply.outputs, dict)
            np.testing.assert_array_equal(reply.outputs["y"], y)
            assert reply.outputs["label"].tolist() == ["é".encode()]
            assert reply.compute_nusd
            assert (reply.input_tokens, reply.tokens_estimated) == (0, False)

    within(work())


def test_texts_become_the_models_one_tensor_and_its_rows_vectors() -> None:
    outputs = [
        {"name": "ids", "datatype": "INT64", "shape": [2], "data": [1, 2]},
        {"name": "v", "datatype": "FP32", "shape": [2, 3], "data": [[1, 2, 3], [4, 5, 6]]},
    ]
    noted = Noted(says({"outputs": outputs}))

    async def work() -> None:
        async with bench(model(noted, takes_bytes=False), task="embed", api="oip", model="m") as on:
            reply = await on.ask(task="embed", inputs=("a b", "c"))
            assert asked(noted)[1] == {"text": ("BYTES", [2, 1], ["a b", "c"])}
            assert [vector.tolist() for vector in reply.outputs] == [[1, 2, 3], [4, 5, 6]]
            assert reply.input_tokens == 2
            assert reply.tokens_estimated
            assert on.pool.signature == Signature((TensorSpec("text", "BYTES", (-1, 1)),), ())
            with pytest.raises(UpstreamFailed, match="no tensor"):
                await on.ask(task="embed", inputs=("a",))

    within(work())


def test_a_model_that_takes_no_texts_says_so() -> None:
    dialect = OpenInference()
    for inputs in ([], [("x", "FP32")], [("x", "BYTES"), ("y", "BYTES")]):
        said = {"inputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in inputs]}
        dialect.model = described(json.dumps(said).encode())
        with pytest.raises(Unsupported):
            dialect.ask(call(task="embed", inputs=("a",)), "m", binary=False)
    assert dialect.model != ModelMetadata()
    assert not server(b"{}").takes_bytes


def test_a_server_that_is_not_ready_says_400() -> None:
    async def work() -> None:
        on_it = model(says({}), takes_bytes=False)
        on_it.health = 400
        async with bench(on_it, task="infer", api="oip", health_s=0.02) as on:
            assert on.pool.load().replicas_starting == 1
            on_it.health = 200
            with pytest.raises(UpstreamFailed):
                await on.ask(task="infer", inputs={"x": np.zeros((1, 1), np.float32)})
            assert on.ready == 1

    within(work())


def test_a_server_that_says_nonsense_of_itself_can_be_asked_all_the_same() -> None:
    async def nonsense(_: web.Request) -> web.Response:
        return web.Response(body=b'{"a":' * 100_000, content_type="application/json")

    async def work() -> None:
        async with bench(Server([nonsense]), task="infer", api="oip", health_s=0.02) as on:
            assert on.ready == 1

    within(work())


def test_texts_that_are_held_are_written_once_the_model_is_known() -> None:
    noted = Noted(says({"outputs": [{"name": "v", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}))

    async def work() -> None:
        on_it = model(noted, takes_bytes=True)
        on_it.health = 503
        async with bench(on_it, task="embed", api="oip", model="m", health_s=0.02) as on:
            task = asyncio.create_task(on.ask(task="embed", inputs=("a",)))
            await until(lambda: on.pool.load().held == 1)
            on_it.health = 200
            assert [vector.tolist() for vector in (await task).outputs] == [[1, 2]]
            assert HEADER_LENGTH.lower() in noted.headers

    within(work())


def test_a_text_that_the_model_does_not_take_leaves_no_place_taken() -> None:
    async def deaf(request: web.Request) -> web.Response:
        return web.json_response({"name": "m", "inputs": []})

    async def work() -> None:
        async with bench(Server([deaf]), task="embed", api="oip") as on:
            with pytest.raises(Unsupported):
                await on.ask(task="embed", inputs=("a",))
            assert not any(replica.outstanding for replica in on.pool._fleet.replicas.values())  # pyrefly: ignore

    within(work())


def test_what_a_server_finds_wrong_is_said_to_the_client() -> None:
    async def work() -> None:
        on_it = model(says({"error": "unexpected shape for input 'x'"}, 400), takes_bytes=True)
        async with bench(on_it, task="infer", api="oip") as on:
            with pytest.raises(Malformed, match="unexpected shape for input 'x'"):
                await on.ask(task="infer", inputs={"x": np.zeros((1, 1), np.float32)})

    within(work())


FP32 = {"name": "y", "datatype": "FP32", "shape": [2]}
LIES: list[tuple[list[dict[str, Any]], bytes]] = [
    ([FP32 | {"parameters": {"binary_data_size": 8}}], b"1234"),
    ([FP32 | {"parameters": {"binary_data_size": 4}}], b"1234"),
    ([FP32 | {"parameters": {"binary_data_size": -4}}], b"1234"),
    ([FP32 | {"parameters": {"binary_data_size": "x"}}], b"1234"),
    ([FP32 | {"parameters": {"binary_data_size": 1e400}}], b"1234"),
    ([FP32 | {"shape": [2**62, 2**62], "parameters": {"binary_data_size": 4}}], b"1234"),
    ([FP32 | {"shape": [-1, -2], "parameters": {"binary_data_size": 8}}], b"12345678"),
    ([FP32 | {"datatype": "FP31", "parameters": {"binary_data_size": 8}}], b"12345678"),
    ([FP32 | {"datatype": "BYTES", "parameters": {"binary_data_size": 8}}], b"\xff\xff\xff\xff1234"),
    ([FP32 | {"datatype": "BYTES", "shape": [2**40], "parameters": {"binary_data_size": 8}}], b"\x00" * 8),
    ([FP32 | {"data": [1]}], b""),
    ([FP32 | {"data": [1, "x"]}], b""),
    ([FP32 | {"data": [[1], [2, 3]]}], b""),
    ([FP32 | {"shape": [2**40], "data": [1]}], b""),
    ([FP32 | {"datatype": "UINT8", "data": [1, 300]}], b""),
    ([FP32], b""),
    ([{"name": "y"}], b""),
]


@pytest.mark.parametrize(("outputs", "tail"), LIES)
def test_tensors_that_are_not_what_they_say(outputs: list[dict[str, Any]], tail: bytes) -> None:
    head = json.dumps({"outputs": outputs}).encode()
    with pytest.raises(UpstreamFailed):
        decode(head + tail, {HEADER_LENGTH: str(len(head))})


@pytest.mark.parametrize("length", ["x", "-5", "", "99999999999999999999"])
def test_a_length_that_is_none(length: str) -> None:
    with pytest.raises(UpstreamFailed):
        decode(b'{"outputs": [{}]}', {HEADER_LENGTH: length})


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_tensors_or_refused(body: bytes, length: int) -> None:
    with suppress(UpstreamFailed):
        assert isinstance(decode(b'{"outputs":' + body, {HEADER_LENGTH: str(length)}), dict)


@given(
    st.sampled_from(["<f4", "<f8", "<i8", "<i4", "u1", "?", "<f2"]).flatmap(
        lambda code: arrays.arrays(code, arrays.array_shapes(max_dims=3, max_side=4))
    ),
    st.lists(st.text(max_size=6), min_size=1, max_size=4),
)
def test_what_is_sent_as_bytes_is_what_the_specification_says(array: Any, texts: list[str]) -> None:
    column = np.array([text.encode() for text in texts], dtype=object)
    sent = OpenInference().ask(call(task="infer", inputs={"x": array, "t": column}), "m", binary=True)
    found = reference(sent.body, {name.lower(): value for name, value in sent.headers.items()})
    assert found["t"] == ("BYTES", [len(texts)], texts)
    assert found["x"][1] == list(array.shape)
    np.testing.assert_array_equal(np.array(found["x"][2], array.dtype).reshape(array.shape), array)
    # an answer has the same form: it comes back as it went
    back = json.loads(sent.body[: int(sent.headers[HEADER_LENGTH])])
    head = json.dumps({"outputs": back["inputs"]}).encode()
    whole = WholeAnswer("", {HEADER_LENGTH: str(len(head))}, head + sent.body[int(sent.headers[HEADER_LENGTH]) :])
    reply = Reply("p", "v")
    OpenInference().answer(call(task="infer", inputs={"x": array}), UpstreamRequest("", b""), whole, reply)
    assert isinstance(reply.outputs, dict)
    np.testing.assert_array_equal(reply.outputs["x"], array)
    assert reply.outputs["x"].dtype == array.dtype
    assert reply.outputs["t"].tolist() == column.tolist()


def engine(answer: Handler) -> Server:
    """Return an engine of our own, as far as this side reads it."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"name": "m", "platform": "tightrope", "extensions": ["binary_tensor_data"]})
        assert request.path in {"/v1/embeddings", "/v1/classify"}
        return await answer(request)

    return Server([handler])


def test_an_engine_of_our_own_says_labels_and_tokens() -> None:
    scores = {"index": 0, "label": "good", "scores": {"bad": 0.25, "good": 0.75}}
    vector = {"index": 0, "embedding": b2a_base64(np.array([1.5, -2], "<f4").tobytes()).decode().strip()}
    usage = {"prompt_tokens": 9, "total_tokens": 9}

    async def work() -> None:
        async with bench(engine(says({"data": [scores], "usage": usage})), task="classify", api="oip") as on:
            reply = await on.ask(task="classify", inputs=("fine",))
            assert reply.labels == ("bad", "good")
            assert [item.tolist() for item in reply.outputs] == [[0.25, 0.75]]
            assert (reply.input_tokens, reply.tokens_estimated) == (9, False)
            assert on.servers[0].asked[-1][1] == {"model": "server-model", "input": ["fine"]}
            with pytest.raises(UpstreamFailed, match="each of 2 texts"):
                await on.ask(task="classify", inputs=("fine", "bad"))
        async with bench(engine(says({"data": [vector], "usage": usage})), task="embed", api="oip") as on:
            reply = await on.ask(task="embed", inputs=("fine",))
            assert [item.tolist() for item in reply.outputs] == [[1.5, -2.0]]
            assert reply.input_tokens == 9
            assert on.servers[0].asked[-1][1]["encoding_format"] == "base64"
        async with bench(engine(says({"data": "none"})), task="classify", api="oip") as on:
            with pytest.raises(UpstreamFailed, match="no classes"):
                await on.ask(task="classify", inputs=("fine",))

    within(work())
