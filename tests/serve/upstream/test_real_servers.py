"""What real servers answered, as it was recorded (``recorded/``): Triton, KServe, MLServer, vLLM, ``transformers serve`` and LiteLLM."""

import json
from binascii import a2b_base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from upstream_stand_in import Server, bench, call, read, said, sse, streams, token, until, within

from tightrope.serve.records import Signature, TensorSpec
from tightrope.serve.refusals import Malformed, Unavailable, Unsupported, UpstreamFailed
from tightrope.serve.upstream.dialect import error_of
from tightrope.serve.upstream.oip import OpenInference

RECORDED = Path(__file__).parent / "recorded"
OIP = ("triton", "kserve", "mlserver")
X = np.array([[1.0, 2.0, 3.0]], np.float32)
REPEATED = "my secret words"


def answers(server: str) -> dict[str, dict[str, Any]]:
    """Return what a server answered, by what it was asked."""
    return json.loads((RECORDED / f"{server}.json").read_text())["answers"]


def body_of(answer: dict[str, Any]) -> bytes:
    """Return the bytes of an answer."""
    return a2b_base64(answer["base64"]) if "base64" in answer else answer["text"].encode()


def again(answer: dict[str, Any]) -> web.Response:
    """Return an answer as it was."""
    return web.Response(status=answer["status"], headers=answer["headers"], body=body_of(answer))


def open_inference(server: str, infer: str) -> Server:
    """Return a stand-in that says of itself and its models what a server said, and to ``infer`` always the one answer."""
    known = answers(server)

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v2").strip("/").split("/")
        if request.method == "POST":
            return again(known[infer])
        return again(known[f"{path[-1]} described" if path[0] == "models" else "server"])

    return Server([answer])


# --------------------------------------------------------------------------------------------------- the Open Inference Protocol


@pytest.mark.parametrize("server", OIP)
def test_tensors_of(server: str) -> None:
    async def work() -> None:
        infer = "mul as bytes" if server == "triton" else "mul"
        async with bench(open_inference(server, infer), task="infer", api="oip", model="mul") as on:
            signature = on.pool.signature
            assert isinstance(signature, Signature)
            assert signature.inputs == (TensorSpec("x", "FP32", (-1, 3)),)
            reply = await on.ask(task="infer", inputs={"x": X})
            assert isinstance(reply.outputs, dict)
            np.testing.assert_array_equal(reply.outputs["y"], 2.0 * X)
            assert server != "triton" or reply.outputs["positive"].tolist() == [[True, True, True]]

    within(work())


@pytest.mark.parametrize("server", ["triton", "mlserver"])
def test_texts_of(server: str) -> None:
    async def work() -> None:
        async with bench(open_inference(server, "text"), task="embed", api="oip", model="text") as on:
            reply = await on.ask(task="embed", inputs=("ab", "héé"))
            assert [vector[0] for vector in reply.outputs] == [2.0, 5.0 if server == "triton" else 3.0]

    within(work())


def test_texts_to_a_model_of_kserve_that_does_not_say_what_it_takes() -> None:
    async def work() -> None:
        async with bench(open_inference("kserve", "text"), task="embed", api="oip", model="text") as on:
            with pytest.raises(Unsupported, match="does not say which tensors it takes"):
                await on.ask(task="embed", inputs=("ab",))

    within(work())


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "json"])
def test_a_request_of_tensors_bears_its_name(binary: bool) -> None:
    asked = OpenInference().ask(call(identity="r7", task="infer", inputs={"x": X}), "mul", binary=binary)
    head = json.loads(asked.body[: int(asked.headers.get("Inference-Header-Content-Length", len(asked.body)))])
    assert head["id"] == "r7"
    assert "outputs" not in head


@pytest.mark.parametrize(
    ("server", "answer", "kind", "message", "field"),
    [
        ("triton", "wrong shape", Malformed, r"for model 'mine'\. Expected \[-1,3\], got \[1,2\]", None),
        ("triton", "no inputs", UpstreamFailed, "failed with 500", None),
        ("kserve", "wrong shape", UpstreamFailed, "failed with 500", None),
        ("kserve", "no inputs", Malformed, "^InferenceRequest.inputs: Field required; bytes: ", "InferenceRequest.inputs"),
        ("kserve", "unknown infer", UpstreamFailed, "answered with 404", None),
        ("mlserver", "no inputs", Malformed, "^inputs: Field required$", "inputs"),
    ],
    ids=["triton-shape", "triton-inputs", "kserve-shape", "kserve-inputs", "kserve-unknown", "mlserver-inputs"],
)
def test_what_it_refuses(server: str, answer: str, kind: type, message: str, field: str | None) -> None:
    async def work() -> None:
        async with bench(open_inference(server, answer), task="infer", api="oip", model="mul") as on:
            with pytest.raises(kind, match=message) as caught:
                await on.ask(task="infer", inputs={"x": X})
            assert caught.value.parameter == field
            assert on.ready == 1

    within(work())


def test_a_server_that_is_ready_without_its_model_is_not_asked() -> None:
    """KServe and Triton say of themselves that they are ready while a model of theirs is not."""

    async def work() -> None:
        servers = [open_inference("kserve", "unknown infer"), open_inference("kserve", "mul")]
        servers[0].health = answers("kserve")["unknown ready"]["status"]
        assert answers("kserve")["ready"]["status"] == 200
        async with bench(*servers, task="infer", api="oip", model="mul") as on:
            assert on.ready == 1
            for _ in range(4):
                await on.ask(task="infer", inputs={"x": X})
            servers[0].health = 200
            await until(lambda: on.ready == 2)

    within(work())


def test_a_model_that_was_unloaded_is_asked_for_elsewhere() -> None:
    async def work() -> None:
        servers = [open_inference("triton", "unknown infer"), open_inference("triton", "mul as bytes")]
        async with bench(*servers, task="infer", api="oip", model="mul", health_s=30.0) as on:
            servers[0].health = 400
            for _ in range(4):
                await on.ask(task="infer", inputs={"x": X})
            assert on.ready == 1

    within(work())


def test_a_full_queue_of_triton_is_said_to_be_busy() -> None:
    async def work() -> None:
        async with bench(open_inference("triton", "full queue"), task="infer", api="oip", model="mul") as on:
            with pytest.raises(Unavailable, match="take no more requests now") as caught:
                await on.ask(task="infer", inputs={"x": X})
            assert caught.value.retry_after_s == 1.0

    within(work())


# ------------------------------------------------------------------------------------------------ vLLM and `transformers serve`


def chat_server(*asked: str, of: str = "vllm") -> Server:
    """Return a stand-in that answers as a server did to these, in turn."""
    known = answers(of)

    def handler(name: str) -> Any:
        async def answer(_: web.Request) -> web.StreamResponse:
            return again(known[name])

        return answer

    return Server([handler(name) for name in asked])


def test_a_chat_of_vllm() -> None:
    async def work() -> None:
        async with bench(chat_server("whole", "stream"), model="tiny") as on:
            reply = await on.ask()
            assert (reply.input_tokens, reply.output_tokens, reply.tokens_estimated) == (4, 4, False)
            assert reply.raw is not None
            assert json.loads(reply.raw.body)["model"] == "mine"
            reply = await on.ask(stream=True)
            events = said(await read(reply))
            assert events[-1] == b"[DONE]"
            assert not any("usage" in event for event in events[:-1])
            assert (reply.input_tokens, reply.output_tokens, reply.tokens_estimated) == (4, 4, False)

    within(work())


def test_the_tokens_that_litellm_says_beside_an_empty_choice_are_not_passed_on() -> None:
    async def work() -> None:
        async with bench(chat_server("stream", of="litellm"), model="fake") as on:
            reply = await on.ask(stream=True)
            events = said(await read(reply))
            assert events[-1] == b"[DONE]"
            assert events[-2]["choices"][0]["finish_reason"] == "stop"
            assert not any("usage" in event for event in events[:-1])
            assert (reply.input_tokens, reply.output_tokens, reply.tokens_estimated) == (9, 4, False)

    within(work())


def test_a_stream_of_transformers_serve_has_no_event_that_ends_it() -> None:
    async def work() -> None:
        async with bench(chat_server("stream", of="transformers"), model="tiny") as on:
            for _ in range(5):
                reply = await on.ask(stream=True)
                events = said(await read(reply))
                assert [event["model"] for event in events[:-1]] == ["mine"] * 3
                assert events[-2]["choices"][0]["finish_reason"] == "length"
                assert events[-1] == b"[DONE]"
                assert reply.raw is not None
                assert (reply.raw.status, reply.input_tokens, reply.output_tokens) == (200, 4, 4)

    within(work())


@pytest.mark.parametrize("kept", [1, 2], ids=["no-word", "words"])
def test_a_stream_that_ends_before_it_says_why_is_broken(kept: int) -> None:
    whole = body_of(answers("transformers")["stream"])
    cut = b"".join(event + b"\n\n" for event in whole.split(b"\n\n")[:kept])

    async def work() -> None:
        async with bench(Server([streams(cut)]), model="tiny") as on:
            reply = await on.ask(stream=True)
            assert said(await read(reply))[-1]["error"]["code"] == "upstream_failed"
            assert reply.raw is not None
            assert reply.raw.status == 502

    within(work())


def test_an_error_in_a_stream_is_no_end_of_it() -> None:
    events = [token("Hi"), {"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"error": {"message": "lost"}}]

    async def work() -> None:
        async with bench(Server([streams(sse(*events))])) as on:
            reply = await on.ask(stream=True)
            assert said(await read(reply))[-1] == events[-1]
            assert reply.raw is not None
            assert reply.raw.status == 502

    within(work())


def test_a_path_that_a_server_does_not_have_is_logged() -> None:
    """As of Infinity without ``--url-prefix /v1``."""

    async def work() -> None:
        async with bench(chat_server("unknown model"), model="tiny") as on:
            with pytest.raises(UpstreamFailed) as caught:
                await on.ask()
            assert caught.value.message == "the model's server answered with 404"
            assert caught.value.logged == "the model's server answered with 404 to /v1/chat/completions"

    within(work())


@pytest.mark.parametrize("answer", ["wrong part", "wrong type"], ids=["part", "type"])
def test_what_a_client_sent_is_not_logged_though_the_server_repeats_it(answer: str) -> None:
    async def work() -> None:
        async with bench(chat_server(answer), model="tiny") as on:
            with pytest.raises(Malformed) as caught:
                await on.ask()
            assert REPEATED in caught.value.message
            assert caught.value.logged == "the model's server refused the request with 400"

    within(work())


def test_what_an_engine_that_has_died_was_asked_is_asked_elsewhere() -> None:
    async def work() -> None:
        servers = [chat_server("dead engine"), chat_server("whole")]
        async with bench(*servers, model="tiny", health_s=30.0) as on:
            servers[0].health = answers("vllm")["dead engine's health"]["status"]
            for _ in range(6):
                await on.ask()
            assert len(servers[0].asked) == 1
            assert on.ready == 1

    within(work())


def test_a_request_that_a_well_server_fails_is_not_asked_again_and_checks_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.serve.upstream.fleet.SURE_S", 60.0)

    async def work() -> None:
        servers = [chat_server("dead engine"), chat_server("dead engine")]
        async with bench(*servers, model="tiny", health_s=30.0) as on:
            checks = sum(server.checks for server in servers)
            for _ in range(6):
                with pytest.raises(UpstreamFailed):
                    await on.ask()
            assert sum(len(server.asked) for server in servers) == 6
            assert sum(server.checks for server in servers) == checks + 2
            assert on.ready == 2

    within(work())


@pytest.mark.parametrize(
    ("body", "message", "field"),
    [
        (
            b'{"object":"error","message":"too long","type":"BadRequestError","param":"messages","code":400}',
            "too long",
            "messages",
        ),
        (b'{"detail":"Not Found"}', "Not Found", None),
        (b'{"detail":[{"loc":["body"],"msg":"Field required"}]}', "Field required", None),
        (b'{"detail":[7,{"loc":7}],"error":null}', "", None),
        (b'{"detail":{"a":1}}', "", None),
    ],
    ids=["sglang", "text", "body", "nothing", "object"],
)
def test_how_servers_say_what_is_wrong(body: bytes, message: str, field: str | None) -> None:
    assert error_of(body) == (message, field)
