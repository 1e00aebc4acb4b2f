"""The Open Inference Protocol over HTTP, asked by the unmodified Triton client and by bodies that lie."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from front_door import USUAL, FakeGateway, Served, ask, small, vector
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from tightrope.serve.app import App
from tightrope.serve.config.settings import Limits

ECHO = "/v2/models/echo/infer"
APP = App(FakeGateway(), USUAL)
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as made:
        yield made


def tensor(name: str, array: Any, datatype: str, *, binary: bool = True) -> triton.InferInput:
    """Return an input as the client has it."""
    made = triton.InferInput(name, list(array.shape), datatype)
    return made.set_data_from_numpy(array, binary_data=binary)


def said(
    inputs: Any, binary: bytes = b"", path: str = ECHO, limits: Limits | None = None, **more: Any
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of the answer to what a client says."""
    text = json.dumps({"inputs": inputs, **more}).encode()
    app = APP if limits is None else App(FakeGateway(), limits)
    found = ask(app, "POST", path, text + binary, {HEADER: str(len(text))} if binary else {})
    return found.status, json.loads(found.body)


def x(**changes: Any) -> dict[str, Any]:
    """Return an input that is right, but for the changes."""
    return {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}


# ----------------------------------------------------------------------------------------------------------- the client's ways


def test_the_client_asks_how_it_stands(client: triton.InferenceServerClient, server: Served) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("echo")
    assert client.is_model_ready("echo", "1")
    assert not client.is_model_ready("echo", "2")
    assert not client.is_model_ready("nix")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    server.gateway.is_ready = False
    try:
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready("echo")
    finally:
        server.gateway.is_ready = True


def test_metadata_says_what_a_model_takes(client: triton.InferenceServerClient) -> None:
    port = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
    stated = {"name": "echo", "versions": ["1"], "platform": "tightrope", "inputs": [port], "outputs": [port]}
    assert client.get_model_metadata("echo") == stated
    assert client.get_model_metadata("echo", "1") == stated
    assert client.get_model_metadata("sentiment")["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1, -1]}]
    with pytest.raises(InferenceServerException, match="no model 'nix'"):
        client.get_model_metadata("nix")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([[1.5, -2.0], [3.0, 0.1]], np.float32), "FP32"),
        (np.array([[True, False]]), "BOOL"),
        (np.array([2**63 - 1, -(2**63)], np.int64), "INT64"),
        (np.array([2**64 - 1], np.uint64), "UINT64"),
        (np.array([-128, 127], np.int8), "INT8"),
        (np.array([[1.1], [2.2]], np.float64), "FP64"),
        (np.array([b"caf\xc3\xa9", b""], object), "BYTES"),
    ],
)
def test_tensors_come_back(
    client: triton.InferenceServerClient, array: Any, datatype: str, binary_in: bool, binary_out: bool
) -> None:
    wanted = [triton.InferRequestedOutput("x", binary_data=binary_out)]
    found = client.infer(
        "echo", [tensor("x", array, datatype, binary=binary_in)], outputs=wanted, request_id="r-7", model_version="1"
    )
    came = found.as_numpy("x")
    if datatype == "BYTES" and not binary_out:  # the client leaves texts of JSON as they are
        came = np.array([text.encode() for text in came], object)
    assert np.array_equal(came, array)
    answer = found.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r-7", "echo", "1")
    assert ("data" in answer["outputs"][0]) == (not binary_out)


def test_all_outputs_come_as_bytes_where_none_is_named(client: triton.InferenceServerClient) -> None:
    half, plain = np.array([[0.5, 1.0]], np.float16), np.array([[7]], np.int32)
    found = client.infer("echo", [tensor("h", half, "FP16"), tensor("i", plain, "INT32", binary=False)])
    assert np.array_equal(found.as_numpy("h"), half)
    assert np.array_equal(found.as_numpy("i"), plain)


def test_only_the_outputs_that_are_named_come(client: triton.InferenceServerClient, server: Served) -> None:
    inputs = [tensor(name, np.ones((1, 1), np.float32), "FP32") for name in "ab"]
    found = client.infer("echo", inputs, outputs=[triton.InferRequestedOutput("b")], parameters={"level": 3})
    assert [item["name"] for item in found.get_response()["outputs"]] == ["b"]
    assert server.gateway.asked[-1].parameters == {"level": 3, "outputs": ("b",)}
    with pytest.raises(InferenceServerException, match="there is no 'c', there are a, b"):
        client.infer("echo", inputs, outputs=[triton.InferRequestedOutput("c")])


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
@pytest.mark.parametrize("model", ["embedder", "org/embedder"])
def test_text_models_take_a_tensor_of_texts(client: triton.InferenceServerClient, shape: tuple[int, ...], model: str) -> None:
    found = client.infer(model, [tensor("any", np.array(["hi", "there"], object).reshape(shape), "BYTES")])
    assert np.array_equal(found.as_numpy("embedding"), np.stack([vector("hi"), vector("there")]))


def test_classifiers_answer_with_scores(client: triton.InferenceServerClient) -> None:
    found = client.infer("sentiment", [tensor("text", np.array(["hi"], object), "BYTES")])
    assert found.as_numpy("scores").tolist() == [[0.25, 0.75]]


def test_vectors_of_a_server_elsewhere_are_read(client: triton.InferenceServerClient) -> None:
    found = client.infer("upstream", [tensor("text", np.array(["hi"], object), "BYTES")])
    assert found.as_numpy("embedding").tolist() == [[1.0, 2.0]]


def test_compressed_bodies_are_refused_clearly(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="compressed bodies are not taken"):
        client.infer("echo", [tensor("x", np.ones((1, 4), np.float32), "FP32")], request_compression_algorithm="gzip")


# ------------------------------------------------------------------------------------------------------------------- what lies


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "inputs: one or more are expected, each with a name of its own"),
        ([x(), x()], "inputs: one or more are expected, each with a name of its own"),
        ([x(data=None)], "x: data as a flat list, or nested as its shape [1, 2], is expected"),
        ([{"name": "x", "shape": [1], "datatype": "FP32"}], "x: data is missing"),
        ([x(shape=[1, 3])], "x: its data is not of shape [1, 3]"),
        ([x(shape=[-1, 2])], "x: shape [-1, 2] is none: one row or more, and no negative size, are expected"),
        ([x(shape=[1, 2**62, 2**62])], "x: [1, …, …] of FP32 is more than is taken (67108864 bytes, 65536 texts)"),
        ([x(shape=["2"])], "inputs[0].shape[0]: a whole number is expected, not a string"),
        ([x(shape=[])], "x: a shape of 1 to 16 dimensions is expected, not 0"),
        ([x(datatype="FP128")], "x: datatype 'FP128' is not taken; one of "),
        ([x(data=["a", 2])], "x: data: [0]: a number is expected, not a string"),
        ([{"name": "x"}], "inputs[0].shape: missing"),
        ([3], "inputs[0]: an object is expected, not a whole number"),
        ([x(parameters={"binary_data_size": 8})], "x: binary_data_size is 8, and 0 bytes are left behind the JSON"),
        ([x(parameters={"shared_memory_region": "r"})], "shared_memory_region: this extension is not had"),
        ([x(parameters={"a": {"b": 1}})], "inputs[0].parameters[...]: "),
    ],
)
def test_inputs_that_lie_are_refused(inputs: Any, message: str) -> None:
    status, answer = said(inputs)
    assert status in {400, 413, 415}
    assert answer["error"].startswith(message)


def test_bytes_behind_the_json_must_be_those_that_are_said() -> None:
    one = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    data = struct.pack("<2f", 1.0, 2.0)
    assert said([one], data)[1]["outputs"][0]["data"] == [1.0, 2.0]
    for size, sent, message in (
        (8, data[:7], "x: binary_data_size is 8, and 7 bytes are left"),
        (8, data + b"1", "binary_data_size: 9 bytes of tensors came, and the inputs say 8"),
        (7, data[:7], "x: [1, 2] of FP32 has 8 bytes, and 7 came"),
        (-1, data, "x: binary_data_size is -1"),
        (2**80, data, "x: binary_data_size is 12089258"),
        (True, data, "x: binary_data_size is True"),
        ("8", data, "x: binary_data_size is 8"),
    ):
        status, answer = said([{**one, "parameters": {"binary_data_size": size}}], sent)
        assert (status, answer["error"][: len(message)]) == (400, message)
    assert said([{**one, "data": [1, 2]}], data)[1]["error"] == "x: data or binary_data_size is expected, not both"


@pytest.mark.parametrize("length", ["-1", "9999", "1e3", "", "0x10", "9" * 30])
def test_the_length_of_the_json_must_be_within_the_body(length: str) -> None:
    found = ask(APP, "POST", ECHO, json.dumps({"inputs": [x()]}).encode(), {HEADER: length})
    assert found.status == 400


def test_tensors_together_have_a_limit() -> None:
    limits = small(tensor_bytes=16)
    assert said([x()], limits=limits)[0] == 200
    assert said([x(), x(name="y"), x(name="z")], limits=limits)[0] == 413
    status, answer = said([x()], path="/v2/models/large/infer")
    assert (status, answer["outputs"][0]["shape"]) == (200, [1, 2**20])
    status, answer = said([x()], path="/v2/models/large/infer", limits=small(body_bytes=2**20))
    assert (status, answer["error"]) == (413, "y: the answer has 4194304 bytes, too many for JSON; ask for binary data")
    status, answer = said([x()], path="/v2/models/large/infer", limits=limits)
    assert (status, answer["error"]) == (413, "the answer has more than the 16 bytes that tensors may have")


@pytest.mark.parametrize(
    ("path", "inputs", "status", "message"),
    [
        ("/v2/models/nix/infer", [x()], 404, "model: there is no model 'nix'"),
        ("/v2/models/echo/versions/2/infer", [x()], 404, "version: model 'echo' has version 1 alone"),
        ("/v2/models/talker/infer", [x()], 400, "model 'talker' answers at /v1/chat/completions"),
        ("/v2/models/embedder/infer", [x()], 400, "inputs: model 'embedder' takes one tensor of BYTES"),
        (
            "/v2/models/embedder/infer",
            [x(datatype="BYTES", data=["a", "b"])],
            400,
            "inputs: model 'embedder' takes one tensor of BYTES",
        ),
        ("/v2/models/nan-tensor/infer", [x()], 500, "y: the model answered with what is no number"),
        ("/v2/models/busy/infer", [x(shape=[1], datatype="BYTES", data=["a"])], 429, "too many requests"),
    ],
)
def test_refusals_are_in_the_protocol_s_words(path: str, inputs: Any, status: int, message: str) -> None:
    found, answer = said(inputs, path=path)
    assert (found, set(answer), answer["error"][: len(message)]) == (status, {"error"}, message)


def test_texts_must_be_utf_8() -> None:
    one = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}
    assert said([one], b"\1\0\0\0\xff", "/v2/models/embedder/infer") == (400, {"error": "x: a text is not UTF-8"})


def test_inputs_have_a_number() -> None:
    assert said([x(name=f"x{number}") for number in range(256)])[0] == 200
    assert said([x(name=f"x{number}") for number in range(257)])[0] == 413


def test_outputs_are_checked_before_a_text_model_runs() -> None:
    status, answer = said(
        [x(shape=[1], datatype="BYTES", data=["a"])], path="/v2/models/embedder/infer", outputs=[{"name": "scores"}]
    )
    assert (status, answer["error"]) == (400, "outputs: model 'embedder' answers with 'embedding' alone")
    assert said([x()], outputs=[{"name": "x", "parameters": {"classification": 3}}])[0] == 415


# ---------------------------------------------------------------------------------------------------------------- by hypothesis

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
INPUTS = st.fixed_dictionaries(
    {
        "name": st.just("x") | VALUES,
        "shape": st.lists(st.integers(-2, 5) | st.integers(), max_size=4) | VALUES,
        "datatype": st.sampled_from(["FP32", "BYTES", "BOOL", "INT8", "FP16", "BF16"]) | VALUES,
    },
    optional={
        "data": st.lists(st.integers(-3, 3), max_size=4) | st.lists(st.text(max_size=3), max_size=2) | VALUES,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 20) | VALUES}) | VALUES,
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(INPUTS, max_size=3) | VALUES, st.binary(max_size=20), st.none() | st.integers(-1, 400))
def test_no_body_is_a_defect(inputs: Any, binary: bytes, length: int | None) -> None:
    """Whatever comes is answered or refused, never with a 5xx."""
    text = json.dumps({"inputs": inputs}).encode()
    headers = {HEADER: str(len(text) if length is None else length)} if binary else {}
    found = ask(APP, "POST", ECHO, text + binary, headers)
    assert found.status in {200, 400, 413, 415}
    assert json.loads(found.body[: int(found.headers.get("inference-header-content-length", len(found.body)))])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_are_a_defect(body: bytes) -> None:
    assert ask(APP, "POST", ECHO, body).status == 400
