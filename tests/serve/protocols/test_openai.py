"""OpenAI's API, asked by the unmodified SDK over a socket, and what it refuses."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
import urllib3
from front_door import CHAT, KEYS, USUAL, FakeGateway, Served, ask, served, small, vector

from tightrope.serve.app import App
from tightrope.serve.config.settings import Limits
from tightrope.serve.protocols.openai import run_json
from tightrope.serve.records import Caller

NO_INPUT = "input: texts, one list of tokens, or lists of tokens are expected, none of them empty"
HELLO = [{"role": "user", "content": "hi"}]


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def refused(body: Any, path: str = "/v1/embeddings", limits: Limits = USUAL) -> tuple[int, dict[str, Any]]:
    """Return status and error of what is not answered."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = ask(App(FakeGateway(), limits), "POST", path, content)
    return found.status, json.loads(found.body)["error"]


# ------------------------------------------------------------------------------------------------------------------ embeddings


def test_the_sdk_gets_embeddings_in_its_own_way(client: openai.OpenAI) -> None:
    """The SDK asks for base64 where it is not told otherwise."""
    found = client.embeddings.create(model="embedder", input=["hi", "there"])
    assert [item.index for item in found.data] == [0, 1]
    assert np.array_equal(np.array(found.data[1].embedding, np.float32), vector("there"))
    assert (found.model, found.usage.prompt_tokens, found.usage.total_tokens) == ("embedder", 7, 7)


def test_floats_are_the_same_numbers(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="embedder", input="hi", encoding_format="float")
    assert np.array_equal(np.array(found.data[0].embedding, np.float32), vector("hi"))


def test_model_names_may_have_slashes(client: openai.OpenAI) -> None:
    assert client.models.retrieve("org/embedder").id == "org/embedder"
    assert client.embeddings.create(model="org/embedder", input="hi").model == "org/embedder"


def test_the_answer_says_what_it_cost_and_who_answered(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="embedder", input="hi", extra_headers={"X-Request-Id": "mine-1"})
    assert raw.headers["x-tightrope-cost-usd"] == "0.000001234"
    assert (raw.headers["x-tightrope-pool"], raw.headers["x-tightrope-variant"]) == ("pool/a", "fp32")
    assert (raw.headers["x-request-id"], "x-tightrope-cache" in raw.headers) == ("mine-1", False)


@pytest.mark.parametrize("insane", ["", "a b", "x" * 129, "a;b"])
def test_an_insane_identity_is_not_taken_over(server: Served, insane: str) -> None:
    found = server.post("/v1/embeddings", {"model": "embedder", "input": "x"}, headers={"X-Request-Id": insane})
    assert found.headers["x-request-id"].startswith("req-")


def test_dimensions_are_refused_where_the_model_has_others(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="embedder", input="hi", dimensions=4).data[0].embedding) == 4
    with pytest.raises(openai.BadRequestError, match="have 4, not 2"):
        client.embeddings.create(model="embedder", input="hi", dimensions=2)


def test_tokens_are_refused_where_a_text_is_needed_and_passed_on_elsewhere(client: openai.OpenAI, server: Served) -> None:
    for tokens in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(openai.BadRequestError, match="tokens are not taken by this model"):
            client.embeddings.create(model="embedder", input=tokens)
        assert client.embeddings.create(model="upstream", input=tokens, encoding_format="float").data[0].embedding == [1.0, 2.0]
    call = server.gateway.asked[-1]
    assert (call.inputs, json.loads(call.body)["input"], call.parameters["cache"]) == ((), [[1, 2], [3]], False)


@pytest.mark.parametrize(
    ("body", "message", "parameter"),
    [
        (b"", "the body is no JSON: Input data was truncated", None),
        (b"{", "the body is no JSON: Input data was truncated", None),
        (b"[]", "the body: an object is expected, not a list", None),
        (b'{"model":"embedder","input":"x","a":NaN}', "the body is no JSON: invalid character (byte 36)", None),
        (b'{"model":"embedder","input":"\xff"}', "the body is not UTF-8", None),
        (b'{"model":"embedder","input":"x","a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "the body is nested too deeply", None),
        ({"input": "x"}, "model: missing", "model"),
        ({"model": 3, "input": "x"}, "model: a string is expected, not a whole number", "model"),
        ({"model": "m" * 257, "input": "x"}, "model: a string of length <= 256 is expected", "model"),
        ({"model": "embedder"}, "input: missing", "input"),
        ({"model": "embedder", "input": 3}, "input: a string or a list is expected, not a whole number", "input"),
        ({"model": "embedder", "input": ["x", None]}, "input[1]: a string is expected, not null", "input[1]"),
        ({"model": "embedder", "input": []}, "input: a list of length >= 1 is expected", "input"),
        (
            {"model": "embedder", "input": [[]]},
            NO_INPUT,
            "input",
        ),
        (
            {"model": "embedder", "input": [1, [2]]},
            NO_INPUT,
            "input",
        ),
        ({"model": "embedder", "input": [1, "x"]}, "input[0]: a string is expected, not a whole number", "input[0]"),
        (
            {"model": "embedder", "input": "x", "encoding_format": "hex"},
            "encoding_format: 'hex' is not taken",
            "encoding_format",
        ),
        ({"model": "embedder", "input": "x", "dimensions": 0}, "dimensions: a whole number >= 1 is expected", "dimensions"),
        (
            {"model": "embedder", "input": "x", "dimensions": 1.5},
            "dimensions: a whole number or null is expected, not a number",
            "dimensions",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_field(body: Any, message: str, parameter: str | None) -> None:
    status, error = refused(body)
    assert (status, error["message"], error["param"]) == (400, message, parameter)
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")


def test_more_than_is_taken_is_refused() -> None:
    status, error = refused({"model": "embedder", "input": ["x"] * 3}, limits=small(inputs=2))
    assert (status, error["message"]) == (413, "input: 3 texts, and 2 are taken at a time")
    assert refused({"model": "embedder", "input": [[1], [2], [3]]}, limits=small(inputs=2))[0] == 413
    assert refused({"model": "embedder", "input": "x" * 100}, limits=small(body_bytes=99))[0] == 413


def test_no_answer_holds_what_is_no_number() -> None:
    status, error = refused({"model": "nan", "input": "x"})
    assert (status, error["type"]) == (500, "server_error")


def test_an_unknown_model_is_openai_s_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="nix", input="x")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nix")


def test_a_full_gateway_says_when_to_come_back(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.embeddings.create(model="busy", input="x")
    assert (caught.value.response.headers["retry-after"], caught.value.code) == ("7", "rate_limited")


def test_the_sdk_does_not_try_again_where_the_budget_is_spent(server: Served) -> None:
    """It would try at once where it is told to wait more than a minute."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=2) as made:
        server.gateway.asked.clear()
        with pytest.raises(openai.RateLimitError):
            made.embeddings.create(model="spent", input="x")
    assert len(server.gateway.asked) == 1


def test_a_defect_says_nothing_of_itself(client: openai.OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(model="broken", input="x")
    assert "secret" not in str(caught.value)
    assert caught.value.response.headers["x-request-id"] in str(caught.value)
    assert "a secret of the engine" in caplog.text


# ------------------------------------------------------------------------------------------------------------------------ chat


def test_the_sdk_chats(client: openai.OpenAI, server: Served) -> None:
    found = client.chat.completions.create(model="talker", messages=HELLO, temperature=0.5, seed=3)
    assert (found.choices[0].message.content, found.usage.total_tokens) == ("hello", 2)
    call = server.gateway.asked[-1]
    assert (call.task, call.stream, call.parameters) == ("chat", False, {"temperature": 0.5, "seed": 3})
    assert json.loads(call.body)["messages"] == HELLO


def test_the_sdk_chats_in_a_stream(client: openai.OpenAI, server: Served) -> None:
    server.gateway.closed.clear()
    parts = list(client.chat.completions.create(model="talker", messages=HELLO, stream=True))
    assert "".join(part.choices[0].delta.content for part in parts) == "hello"
    assert server.gateway.closed.wait(60)


def test_a_stream_that_breaks_off_ends_in_an_error(client: openai.OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(openai.APIError, match="went away"):
        list(client.chat.completions.create(model="broken-talker", messages=HELLO, stream=True))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": "talker"}, "messages: missing"),
        ({"model": "talker", "messages": []}, "messages: a list of length >= 1 is expected"),
        ({"model": "talker", "messages": [3]}, "messages[0]: an object is expected, not a whole number"),
        ({"model": "talker", "messages": [{}]}, "messages[0].role: missing"),
        ({"model": "talker", "messages": HELLO, "stream": "yes"}, "stream: true or false or null is expected, not a string"),
    ],
)
def test_messages_are_checked(body: Any, message: str) -> None:
    assert refused(body, "/v1/chat/completions")[1]["message"] == message


# -------------------------------------------------------------------------------------------------------------------- classify


def test_each_text_gets_its_label(server: Served) -> None:
    found = server.post("/v1/classify", {"model": "sentiment", "input": ["a", "b"]}).json()
    assert found["data"][1] == {"index": 1, "label": "good", "scores": {"bad": 0.25, "good": 0.75}}
    assert (found["model"], found["usage"]) == ("sentiment", {"prompt_tokens": 7, "total_tokens": 7})


# ------------------------------------------------------------------------------------------------------------------ who asks


@pytest.fixture(scope="module")
def locked() -> Iterator[Served]:
    with served(FakeGateway(KEYS)) as running:
        yield running


def test_keys_are_asked_for(locked: Served) -> None:
    with openai.OpenAI(base_url=f"{locked.url}/v1", api_key="mallory", max_retries=0) as made:
        with pytest.raises(openai.AuthenticationError) as caught:
            made.embeddings.create(model="embedder", input="x")
        with pytest.raises(openai.AuthenticationError):
            made.models.list()
    assert (caught.value.code, caught.value.response.headers["www-authenticate"]) == ("invalid_api_key", "Bearer")


def test_a_key_is_known_in_both_headers(locked: Served) -> None:
    body = {"model": "embedder", "input": "x"}
    for headers in ({"Authorization": "Bearer alice"}, {"api-key": "alice"}):
        assert locked.post("/v1/embeddings", body, headers=headers).status == 200
        assert locked.gateway.asked[-1].caller.tenant == "acme"


def test_a_key_without_the_scope_is_not_enough(locked: Served) -> None:
    found = locked.post("/v1/embeddings", {"model": "embedder", "input": "x"}, headers={"Authorization": "Bearer uploader"})
    assert (found.status, found.json()["error"]["type"]) == (403, "permission_error")


def test_a_browser_s_page_needs_a_key(server: Served, locked: Served) -> None:
    """Else any page could spend what a gateway on this machine gives away; no answer allows another origin."""
    body, origin = {"model": "embedder", "input": "x"}, {"Origin": "http://evil.example"}
    refusal = server.post("/v1/embeddings", body, headers=origin)
    assert refusal.status == 403
    answer = locked.post("/v1/embeddings", body, headers={**origin, "Authorization": "Bearer alice"})
    assert answer.status == 200
    assert not any(name.startswith("access-control") for found in (refusal, answer) for name in found.headers)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("127.0.0.1.nip.example:8000", 403),
        ("localhost.evil.example.", 403),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("gateway", 200),
        ("host.docker.internal:8000", 200),
        ("studio.local", 200),
    ],
)
def test_a_page_whose_name_was_pointed_here_needs_a_key_to_read(server: Served, locked: Served, host: str, status: int) -> None:
    """A page may read, and say as a key what it likes, under its own name, whatever address that has by now (DNS rebinding)."""
    origin = {"Host": host, "Authorization": "Bearer alice"}
    for headers in ({"Host": host}, origin):
        assert served_models(server, headers) == status
    assert served_models(locked, origin) == 200
    asked = server.post("/v1/embeddings", {"model": "embedder", "input": "x"}, headers={**origin, "Origin": f"http://{host}"})
    assert asked.status == status


def served_models(server: Served, headers: dict[str, str]) -> int:
    """Return with what status the models are listed."""
    with urllib3.PoolManager() as pool:
        return pool.request("GET", f"{server.url}/v1/models", headers=headers, retries=False).status


def test_what_a_client_says_in_headers_comes_with_the_call(server: Served) -> None:
    said = {
        "X-Tightrope-Class": "chat",
        "X-Tightrope-Tag": "team-a",
        "X-Tightrope-Session": "s1",
        "Cache-Control": "no-store",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    before_s = time.monotonic()
    server.post("/v1/embeddings", {"model": "embedder", "input": "x"}, headers=said)
    call = server.gateway.asked[-1]
    assert (call.traffic_class, call.tag, call.session, call.parameters["cache"]) == ("chat", "team-a", "s1", False)
    assert (call.traceparent, call.deadline_s) == (said["traceparent"], None)
    assert before_s <= call.arrived_s <= time.monotonic()


def test_a_tag_has_a_limit(server: Served) -> None:
    found = server.post("/v1/embeddings", {"model": "embedder", "input": "x"}, headers={"X-Tightrope-Tag": "x" * 65})
    assert (found.status, found.json()["error"]["param"]) == (400, "x-tightrope-tag")


# ---------------------------------------------------------------------------------------------------------------- of a batch


def line(endpoint: str, body: Any, limits: Limits = USUAL) -> tuple[int, Any, FakeGateway]:
    """Return what one line of a batch comes to."""
    gateway = FakeGateway()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer = asyncio.run(run_json(gateway, endpoint, content, Caller("acme"), "nightly", 1e9, limits))
    return status, json.loads(answer), gateway


def test_a_line_of_a_batch_is_answered_as_a_request_is(server: Served) -> None:
    body = {"model": "embedder", "input": "hi"}
    status, answer, gateway = line("/v1/embeddings", body)
    assert (status, answer) == (200, server.post("/v1/embeddings", body).json())
    call = gateway.asked[0]
    assert (call.traffic_class, call.deadline_s, call.caller.tenant) == ("nightly", 1e9, "acme")
    assert line("/v1/chat/completions", {"model": "talker", "messages": HELLO})[1] == json.loads(CHAT)


@pytest.mark.parametrize(
    ("endpoint", "body", "status"),
    [
        ("/v1/embeddings", {"model": "embedder"}, 400),
        ("/v1/embeddings", {"model": "busy", "input": "x"}, 429),
        ("/v1/audio", {}, 404),
        ("/v1/chat/completions", {"model": "talker", "messages": HELLO, "stream": True}, 415),
        ("/v1/embeddings", b"x" * 200, 413),
    ],
)
def test_a_line_of_a_batch_is_refused_as_a_request_is(endpoint: str, body: Any, status: int) -> None:
    found, answer, _ = line(endpoint, body, small(body_bytes=150))
    assert (found, set(answer["error"])) == (status, {"message", "type", "param", "code"})
