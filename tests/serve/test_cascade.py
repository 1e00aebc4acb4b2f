"""What goes on to the large model: each text by its margin, a chat by its tokens' probability, nothing that cannot be judged."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from openai.types.chat import ChatCompletionChunk
from tests.serve.conftest import FakePool

from tightrope.serve.cascade import CascadeThreshold, answer, as_events, token_probability
from tightrope.serve.config.settings import ServedCascade, ServedPool
from tightrope.serve.records import Call, RawAnswer, Reply
from tightrope.serve.refusals import Malformed, Unavailable, UpstreamFailed

SURE, UNSURE = [0.9, 0.1], [0.55, 0.45]


def pools() -> tuple[FakePool, FakePool]:
    small = FakePool(ServedPool("small", "m", "small"), lambda text: UNSURE if text.startswith("hard") else SURE, nusd=10)
    return small, FakePool(ServedPool("large", "m", "large"), lambda _: [0.0, 1.0], nusd=100)


def run(cascade: CascadeThreshold, call: Call, small: Any, large: Any) -> Reply:
    return asyncio.run(answer(cascade, call, small, large))


def test_only_what_is_unsure_goes_on(make_call: Callable[..., Call]) -> None:
    small, large = pools()
    cascade = CascadeThreshold.of(ServedCascade("small", "large", 0.3))
    reply = run(cascade, make_call("m", "easy 1", "hard 1", "easy 2", "hard 2"), small.answer, large.answer)
    assert [np.argmax(scores) for scores in reply.outputs] == [0, 1, 0, 1]
    assert large.asked[0].inputs == ("hard 1", "hard 2")
    assert reply.nusd == 4 * 10 + 2 * 100
    assert reply.escalated_from is not None
    tokens = reply.prompt_tokens, reply.input_tokens, reply.escalated_from.input_tokens
    assert tokens == (4, 2, 4)  # of each model those that it read
    assert (cascade.judged, cascade.went_on) == (4, 2)


def test_a_sure_answer_is_the_small_models(make_call: Callable[..., Call]) -> None:
    small, large = pools()
    reply = run(CascadeThreshold.of(ServedCascade("small", "large", 0.3)), make_call("m", "easy"), small.answer, large.answer)
    assert (reply.pool, reply.nusd, large.asked) == ("small", 10, [])


def test_where_the_large_model_fails_what_the_small_one_cost_is_not_forgotten(make_call: Callable[..., Call]) -> None:
    small, large = pools()
    large.error = Unavailable("away")
    call = make_call("m", "easy", "hard")
    with pytest.raises(Unavailable):
        run(CascadeThreshold.of(ServedCascade("small", "large", 0.3)), call, small.answer, large.answer)
    assert call.lost_nusd == 2 * 10
    chat = make_call("m", task="chat", body=b"{}")
    with pytest.raises(Unavailable):
        run(CascadeThreshold.of(ServedCascade("small", "large", 0.3)), chat, small.answer, large.answer)
    assert chat.lost_nusd == 10


def test_an_answer_that_its_batch_changes_is_not_judged(make_call: Callable[..., Call]) -> None:
    small, large = pools()

    async def varying(call: Call) -> Reply:
        reply = await small.answer(call)
        reply.varies = True
        return reply

    cascade = CascadeThreshold.of(ServedCascade("small", "large", 0.3))
    assert run(cascade, make_call("m", "easy"), varying, large.answer).pool == "large"
    assert cascade.judged == 0


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_planned_share_is_found_without_a_margin(share: float) -> None:
    cascade = CascadeThreshold.of(ServedCascade("small", "large", float("nan"), escalated=share))
    margins = np.random.default_rng(3).beta(2.0, 3.0, 20_000)
    for margin in margins:
        cascade.unsure(float(margin))
    assert abs(cascade.went_on / cascade.judged - share) < 0.01
    assert abs(cascade.margin - np.quantile(margins, share)) < 0.1


# ----------------------------------------------------------------------------------------------------------------------- chat


def said(logprob: float | None, text: str = "yes") -> dict[str, Any]:
    tokens = None if logprob is None else {"content": [{"token": text, "logprob": logprob}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": tokens}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": {"total_tokens": 3},
    }


class Chat:
    """A server that says one thing."""

    def __init__(self, name: str, answer: dict[str, Any] | None) -> None:
        self.name, self.said, self.bodies = name, answer, list[dict[str, Any]]()

    async def __call__(self, call: Call) -> Reply:
        """Say it; an error where there is nothing to say."""
        self.bodies.append(json.loads(call.body))
        raw = (
            RawAnswer(200, "application/json", json.dumps(self.said).encode())
            if self.said
            else RawAnswer(500, "text/plain", b"oh")
        )
        return Reply(self.name, self.name, raw=raw, compute_nusd=7)


def ask(make_call: Callable[..., Call], small: Chat, **fields: Any) -> tuple[Reply, Chat]:
    large = Chat("large", said(None, "maybe"))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}], **fields}).encode()
    call = make_call("m", task="chat", body=body, stream=bool(fields.get("stream")), inputs=())
    return run(CascadeThreshold.of(ServedCascade("small", "large", 0.5)), call, small, large), large


def test_a_likely_chat_is_the_small_models_and_says_no_more_than_was_asked(make_call: Callable[..., Call]) -> None:
    small = Chat("small", said(-0.1))
    reply, large = ask(make_call, small)
    assert reply.pool == "small"
    assert large.bodies == []
    assert small.bodies[0]["logprobs"] is True
    assert reply.raw is not None
    assert "logprobs" not in json.loads(reply.raw.body)["choices"][0]
    reply, _ = ask(make_call, Chat("small", said(-0.1)), logprobs=True)
    assert reply.raw is not None
    assert json.loads(reply.raw.body)["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.1


def test_fields_that_are_not_read_go_on_as_they_came(make_call: Callable[..., Call]) -> None:
    """Such as a number that Python does not read, or bytes that are no UTF-8: the server says what it makes of them."""
    asked: list[bytes] = []

    async def server(call: Call) -> Reply:
        asked.append(call.body)
        return Reply("small", "small", raw=RawAnswer(200, "application/json", json.dumps(said(-0.1)).encode()))

    body = b'{"model":"m","messages":[],"stream":true,"seed":' + b"9" * 5000 + b',"user":"\xff"}'
    call = make_call("m", task="chat", body=body, inputs=(), stream=True)
    assert run(CascadeThreshold.of(ServedCascade("small", "large", 0.5)), call, server, server).pool == "small"
    assert asked == [body.replace(b"true", b"false")[:-1] + b',"logprobs":true}']


@pytest.mark.parametrize("options", [b'"all"', b"[]", b"3"])
def test_options_of_a_stream_that_are_none_are_refused_before_anything_is_paid(
    make_call: Callable[..., Call], options: bytes
) -> None:
    small, large = Chat("small", said(-0.1)), Chat("large", said(None))
    body = b'{"model":"m","messages":[],"stream":true,"stream_options":' + options + b"}"
    with pytest.raises(Malformed):
        run(
            CascadeThreshold.of(ServedCascade("small", "large", 0.5)),
            make_call("m", task="chat", body=body, inputs=()),
            small,
            large,
        )
    assert small.bodies == large.bodies == []


@pytest.mark.parametrize("answered", [said(-1.0), said(None), None])
def test_an_unlikely_chat_goes_on(make_call: Callable[..., Call], answered: dict[str, Any] | None) -> None:
    reply, _ = ask(make_call, Chat("small", answered))
    assert (reply.pool, reply.nusd) == ("large", 14)


def test_a_stream_of_the_small_models_answer(make_call: Callable[..., Call]) -> None:
    small = Chat("small", said(-0.1))
    reply, _ = ask(make_call, small, stream=True, stream_options={"include_usage": True})
    assert small.bodies[0]["stream"] is False
    assert "stream_options" not in small.bodies[0]
    assert reply.raw is not None
    events = [part.removeprefix(b"data: ") for part in reply.raw.body.split(b"\n\n") if part]
    assert events[-1] == b"[DONE]"
    parts = [json.loads(event) for event in events[:-1]]
    assert parts[0]["choices"][0]["delta"] == {"role": "assistant", "content": "yes"}
    assert parts[1]["choices"][0]["finish_reason"] == "stop"
    assert parts[2] == {
        **{key: parts[0][key] for key in ("id", "created", "model", "object")},
        "choices": [],
        "usage": {"total_tokens": 3},
    }
    assert b"usage" not in as_events(said(-0.1), usage=False)


def test_calls_of_tools_are_numbered_in_a_stream() -> None:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in "ab"]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    first = as_events({"choices": [{"message": message, "finish_reason": "tool_calls"}]}, usage=False).split(b"\n\n")[0]
    chunk = ChatCompletionChunk.model_validate(
        {"id": "c", "created": 0, "model": "m", **json.loads(first.removeprefix(b"data: "))}
    )
    assert [(call.index, call.id) for call in chunk.choices[0].delta.tool_calls or []] == [(0, "a"), (1, "b")]


def test_the_probability_of_tokens_is_their_geometric_mean() -> None:
    content = [{"logprob": np.log(0.25)}, {"logprob": 0.0}]
    assert token_probability({"choices": [{"logprobs": {"content": content}}]}) == pytest.approx(0.5)
    assert token_probability({"choices": []}) is None


@pytest.mark.parametrize("refusal", [Unavailable("away"), UpstreamFailed("broken")])
def test_where_the_small_model_can_not_be_asked_the_large_one_answers(make_call: Callable[..., Call], refusal: Exception) -> None:
    async def away(call: Call) -> Reply:
        raise refusal

    _, large = pools()
    cascade = CascadeThreshold.of(ServedCascade("small", "large", 0.3))
    assert run(cascade, make_call("m", "easy"), away, large.answer).pool == "large"
    chat = make_call("m", task="chat", body=b'{"messages": []}', inputs=())
    assert run(cascade, chat, away, Chat("large", said(None))).pool == "large"
    assert cascade.judged == 0
