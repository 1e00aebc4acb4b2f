"""A small variant answers first; what it is not sure of goes on to a large one.

Of a classification each text is judged by itself, by the margin between its two likeliest classes; of a chat the answer, by its tokens'
geometric mean probability, which the small server is asked for. An answer that depends on what was in its batch is not judged: it goes on.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from math import isnan
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tightrope.policy.routing import goes_on, margin_of, threshold_towards
from tightrope.serve.config.settings import ServedCascade
from tightrope.serve.protocols.error_bodies import malformed
from tightrope.serve.records import Call, RawAnswer, Reply
from tightrope.serve.refusals import Unavailable, UpstreamFailed

Answer: TypeAlias = Callable[[Call], Awaitable[Reply]]
STEP = 0.01
"""How far the threshold moves with an answer at most, where the plan states a share and not a margin: hundreds of answers settle it."""
EVENT, TRUE, NULL = b"data: ", b"true", b"null"


@dataclass(slots=True, eq=False)
class CascadeThreshold:
    """A cascade, and where its threshold stands: fixed where it was calibrated, else such that the planned share goes on."""

    stated: ServedCascade
    margin: float
    went_on: int = 0
    judged: int = 0

    @classmethod
    def of(cls, stated: ServedCascade) -> "CascadeThreshold":
        """Return a cascade that has seen nothing yet."""
        return cls(stated, 0.0 if isnan(stated.margin) else stated.margin)

    def unsure(self, margin: float) -> bool:
        """Return whether an answer of this margin goes on, and count it."""
        on = goes_on(margin, self.margin)
        self.judged += 1
        self.went_on += on
        if isnan(self.stated.margin) and self.stated.escalated is not None:
            self.margin = threshold_towards(self.margin, on, self.stated.escalated, STEP)
        return on


async def answer(cascade: CascadeThreshold, call: Call, small: Answer, large: Answer) -> Reply:
    """Return the small variant's answer where it is sure, the large one's where it is not; raise ``Refusal``.

    Where the small one cannot be asked, the large one answers all. Where the large one does not answer, the request fails: half an answer
    would be kept and counted as whole.
    """
    said = _fields(call.body) if call.task == "chat" else None
    usage = said is not None and _wants_usage(said)
    try:
        first = await small(call if said is None else _with_probabilities(call, said))
    except (Unavailable, UpstreamFailed):
        return await large(call)
    if said is not None:
        return await _chat(cascade, call, first, large, shows=bytes(said.get("logprobs", b"")) == TRUE, usage=usage)
    if not isinstance(first.outputs, tuple) or not isinstance(call.inputs, tuple):
        return first
    unsure = [place for place, scores in enumerate(first.outputs) if first.varies or cascade.unsure(margin_of(scores))]
    if not unsure:
        return first
    then = await _large(replace(call, inputs=tuple(call.inputs[place] for place in unsure)), large, first)
    merged: list[NDArray[Any]] = list(first.outputs)
    if isinstance(then.outputs, tuple):
        for place, scores in zip(unsure, then.outputs, strict=True):
            merged[place] = scores
    then.outputs = tuple(merged)
    then.asked_tokens, then.item_tokens = first.prompt_tokens, first.item_tokens
    then.wait_s = max(then.wait_s, first.wait_s)
    return then


async def _large(call: Call, large: Answer, first: Reply) -> Reply:
    """Return the large variant's answer, with what the small one took; where there is none, note that as lost."""
    try:
        then = await large(call)
    except BaseException:
        call.lost.append(first)
        raise
    then.escalated_from = first
    return then


# ----------------------------------------------------------------------------------------------------------------------- chat


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    """Return a JSON object's fields, each as it was written; raise ``Malformed``."""
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from None


def _wants_usage(said: Mapping[str, msgspec.Raw]) -> bool:
    """Return whether a stream is to say its tokens."""
    options = bytes(said.get("stream_options", NULL))
    return options != NULL and bytes(_fields(options).get("include_usage", NULL)) == TRUE


def _with_probabilities(call: Call, said: Mapping[str, msgspec.Raw]) -> Call:
    """Return what the small server is asked: the whole answer at once, with the probability of each token."""
    body = {**said, "stream": False, "logprobs": True}
    body.pop("stream_options", None)
    return replace(call, body=msgspec.json.encode(body), stream=False)


async def _chat(cascade: CascadeThreshold, call: Call, first: Reply, large: Answer, *, shows: bool, usage: bool) -> Reply:
    """Return the small model's answer where its tokens were likely enough, else what the large one says, streamed where asked.

    It ``shows`` the probabilities, and a stream's ``usage``, where that was asked for.
    """
    said = _completion(first.raw)
    confidence = None if said is None else token_probability(said)
    if said is None or confidence is None or cascade.unsure(confidence):
        return await _large(call, large, first)
    if not shows:
        for choice in said["choices"]:
            choice.pop("logprobs", None)
    first.raw = (
        RawAnswer(200, "text/event-stream", as_events(said, usage=usage))
        if call.stream
        else RawAnswer(200, "application/json", _text(said))
    )
    return first


def token_probability(said: dict[str, Any]) -> float | None:
    """Return the geometric mean probability of the first choice's tokens; None where the server did not say it.

    >>> round(token_probability({"choices": [{"logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1.5}]}}]}) or 0.0, 4)
    0.3679
    """
    content = ((said.get("choices") or [{}])[0].get("logprobs") or {}).get("content") or []
    values = [float(token["logprob"]) for token in content if isinstance(token, dict) and "logprob" in token]
    return float(np.exp(np.mean(values))) if values else None


def as_events(said: dict[str, Any], *, usage: bool) -> bytes:
    """Return a whole completion as the stream of events that a client asked for."""
    head = {key: said[key] for key in ("id", "created", "model", "system_fingerprint") if key in said}
    head["object"] = "chat.completion.chunk"
    events = [
        {**head, "choices": [{"index": choice.get("index", place), "delta": _delta(choice), "finish_reason": None}]}
        for place, choice in enumerate(said["choices"])
    ]
    events += [
        {**head, "choices": [{"index": choice.get("index", place), "delta": {}, "finish_reason": choice.get("finish_reason")}]}
        for place, choice in enumerate(said["choices"])
    ]
    if usage:
        events.append({**head, "choices": [], "usage": said.get("usage")})
    return b"".join(EVENT + _text(event) + b"\n\n" for event in events) + EVENT + b"[DONE]\n\n"


def _delta(choice: dict[str, Any]) -> dict[str, Any]:
    """Return a choice's whole message as a stream's part, in which calls of tools are numbered."""
    message = choice.get("message") or {}
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [{"index": place, **call} for place, call in enumerate(calls)]} if calls else message


def _completion(raw: RawAnswer | None) -> dict[str, Any] | None:
    """Return a whole completion as it came; None where it is not one."""
    if raw is None or raw.status != 200 or raw.stream is not None:
        return None
    try:
        said = json.loads(raw.body)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("choices") else None


def _text(value: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
