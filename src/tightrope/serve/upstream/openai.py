"""OpenAI's protocol, as vLLM, SGLang and token APIs speak it: chat (streamed or not) and embeddings.

Source: OpenAI's API reference, *Chat completions* and *Embeddings*, read 2026-11. A chat's body goes on as it came but for the model's
name and, of a stream, ``stream_options.include_usage``; so does the answer. Embeddings are asked for as numbers and answered as arrays,
so that every protocol, the cache and the batches can use them.
"""

import math
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tightrope.serve.records import Call, Reply
from tightrope.serve.refusals import Malformed
from tightrope.serve.upstream.dialect import (
    MOST_TOKENS,
    TokenUsage,
    UpstreamRequest,
    WholeAnswer,
    broken,
    raw_json,
    text_tokens,
    tokens_in,
)
from tightrope.serve.upstream.sse import DONE, Splitter, data_of

PREFIX_BYTES = 1024
"""Of the messages: those that agree in so much go to one replica, whose prefix cache may hold it; shorter ones are not worth it."""
NO_SUCH_PATH = frozenset({401, 403, 404, 405})
"""Answers of a server that has no health check: it is there."""

FAILED = (b'{"error"', b'{"object":"error"', b'{"object": "error"')
"""How an event begins in which a server says that it cannot go on, as vLLM and SGLang write it and as vLLM did before."""
NO_USAGE = (b'"usage":null', b'"usage": null')
"""In every event of some servers; within a text its quotes would be escaped."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class _UpstreamUsage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int = 0


class _Chunk(msgspec.Struct):
    choices: list[dict[str, Any]] = msgspec.field(default_factory=list)
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of little-endian float32, as it was asked for."""


class _UpstreamEmbeddings(msgspec.Struct):
    data: list[_Vector]
    usage: msgspec.Raw = msgspec.Raw(b"null")


_usage = msgspec.json.Decoder(_UpstreamUsage)
_chunk = msgspec.json.Decoder(_Chunk)
_embeddings = msgspec.json.Decoder(_UpstreamEmbeddings)


class OpenAI:
    """Chat and embeddings."""

    def health_path(self, model: str) -> str:  # noqa: ARG002 - a server has one model, or says nothing of each
        """Return where a server says whether it is well."""
        return "/health"

    def ask(self, call: Call, model: str, *, binary: bool) -> UpstreamRequest:  # noqa: ARG002 - this protocol has JSON alone
        """Return the request for a call; raise ``Malformed`` where its body is no JSON object."""
        return _ask_chat(call, model) if call.task == "chat" else ask_embeddings(call, model, "float")

    def answer(self, call: Call, asked: UpstreamRequest, whole: WholeAnswer, reply: Reply) -> None:
        """Fill a reply with a whole answer; raise ``UpstreamFailed`` where it is no such answer."""
        if call.task == "chat" or not call.inputs:
            _pass_on(call, asked, whole, reply)
            return
        read_embeddings(call, whole, reply)

    def is_healthy(self, status: int) -> bool:
        """Return whether a server can be asked: it says so, or has nothing that says it."""
        return status < 300 or status in NO_SUCH_PATH


# ----------------------------------------------------------------------------------------------------------------- requests


def _ask_chat(call: Call, model: str) -> UpstreamRequest:
    """Return a chat's request: what came, for the server's name of the model, with the tokens asked for."""
    fields = _object(call.body)
    fields["model"] = msgspec.Raw(_encode(model))
    hides = False
    if call.stream:
        stated = bytes(fields.get("stream_options", b"null"))
        options = {} if stated == b"null" else _object(stated)
        hides = bytes(options.get("include_usage", b"false")) != b"true"
        fields["stream_options"] = msgspec.Raw(_encode(options | {"include_usage": msgspec.Raw(b"true")}))
    return UpstreamRequest("/v1/chat/completions", _encode(fields), prefix=_prefix(call, fields), hides_usage=hides)


def _prefix(call: Call, fields: Mapping[str, msgspec.Raw]) -> bytes:
    """Return what calls share whose beginning a server may have kept: their session, or much of their messages."""
    if call.session:
        return f"{call.caller.tenant}\n{call.session}".encode()
    messages = memoryview(fields.get("messages", msgspec.Raw()))
    return bytes(messages[:PREFIX_BYTES]) if len(messages) >= PREFIX_BYTES else b""


def ask_embeddings(call: Call, model: str, encoding: str) -> UpstreamRequest:
    """Return the request for a vector of each text; of what came as tokens, the body as it came."""
    if not call.inputs:
        return UpstreamRequest("/v1/embeddings", _encode(_object(call.body) | {"model": msgspec.Raw(_encode(model))}))
    said: dict[str, object] = {"model": model, "input": call.inputs, "encoding_format": encoding}
    if "dimensions" in call.parameters:
        said["dimensions"] = call.parameters["dimensions"]
    return UpstreamRequest("/v1/embeddings", _encode(said))


def _object(body: bytes) -> dict[str, msgspec.Raw]:
    """Return a JSON object's fields, each as it was written."""
    try:
        return _fields.decode(body or b"{}")
    except (msgspec.DecodeError, ValueError, RecursionError):
        msg = "the body is no JSON object that can be passed on"
        raise Malformed(msg) from None


# ------------------------------------------------------------------------------------------------------------------ answers


def usage_of(said: bytes | msgspec.Raw) -> TokenUsage | None:
    """Return the tokens that a server says; None where it says none, or what cannot be.

    >>> usage_of(b'{"prompt_tokens": 7, "completion_tokens": 3}')
    TokenUsage(input_tokens=7, output_tokens=3, estimated=False)
    >>> usage_of(b'{"prompt_tokens": -7}'), usage_of(b'"many"')
    (None, None)
    """
    try:
        usage = _usage.decode(said)
    except (msgspec.DecodeError, ValueError):
        return None
    if not (0 <= usage.prompt_tokens < MOST_TOKENS and 0 <= usage.completion_tokens < MOST_TOKENS):
        return None
    return TokenUsage(usage.prompt_tokens, usage.completion_tokens)


def _pass_on(call: Call, asked: UpstreamRequest, whole: WholeAnswer, reply: Reply) -> None:
    """Fill a reply with the answer as it came, but for the model's name."""
    try:
        fields = _fields.decode(whole.body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        msg = "what is no JSON object"
        raise broken(msg) from None
    if "model" in fields:
        fields["model"] = msgspec.Raw(_encode(call.model))
    reply.raw = raw_json(_encode(fields))
    reckoned = TokenUsage(tokens_in(len(asked.body)), tokens_in(len(whole.body)) if call.task == "chat" else 0, estimated=True)
    _note(reply, usage_of(fields.get("usage", b"null")), reckoned)


def read_embeddings(call: Call, whole: WholeAnswer, reply: Reply) -> None:
    """Fill a reply with a vector for each text, in the order that was asked; raise ``UpstreamFailed`` where that is not what came."""
    try:
        said = _embeddings.decode(whole.body)
        data = sorted(said.data, key=lambda item: item.index)
        vectors = tuple(_vector(item.embedding) for item in data)
    except (msgspec.DecodeError, ValueError):
        msg = "what are no embeddings"
        raise broken(msg) from None
    if [item.index for item in data] != list(range(call.rows)) or len({len(vector) for vector in vectors}) != 1:
        msg = f"{len(data)} vectors, not one of the same length for each of {call.rows} texts"
        raise broken(msg)
    reply.outputs = vectors
    note_usage(call, said.usage, reply)


def _vector(said: list[float] | str) -> NDArray[np.float32]:
    """Return float32[dimensions]; raise ``ValueError`` where it is none."""
    return np.array(said, dtype=np.float32) if isinstance(said, list) else np.frombuffer(a2b_base64(said), "<f4")


def note_usage(call: Call, said: bytes | msgspec.Raw, reply: Reply) -> None:
    """Note the tokens of a call's texts, as the server says or as they are reckoned."""
    _note(reply, usage_of(said), TokenUsage(text_tokens(call), 0, estimated=True))


def _note(reply: Reply, usage: TokenUsage | None, reckoned: TokenUsage) -> None:
    """Note the tokens: those that the server said, or else those reckoned."""
    found = usage or reckoned
    reply.input_tokens, reply.output_tokens, reply.tokens_estimated = found.input_tokens, found.output_tokens, found.estimated


class ChatEvents:
    """Follows a streamed chat on its way: what is to be passed on, when the first token came, which tokens it took."""

    def __init__(self, call: Call, asked: UpstreamRequest, model: str, most_bytes: int) -> None:
        """Begin; where the server's name of the model is the client's, no event is written anew."""
        self.done = False
        """The event that ends the answer has come."""
        self.has_token = self.failed = False
        self._splitter = Splitter(most_bytes)
        self._name = b"" if model == call.model else _encode(call.model)
        self._hides, self._prompt_bytes = asked.hides_usage, len(asked.body)
        self._usage: TokenUsage | None = None
        self._pieces = 0
        self._last = self._before = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what is to be passed on of whole events; raise ``ValueError`` where one is too long."""
        events = self._splitter.feed(chunk)
        return b"".join([self._event(event) for event in events])

    def is_whole(self) -> bool:
        """Return whether the answer is whole where no event said so: its last part says why it ends, or the last but that of the tokens."""
        return not self.failed and any(_says_why(data) for data in (self._last, self._before))

    def note(self, reply: Reply) -> None:
        """Note the tokens in a reply: where the server did not get to say them, an event each."""
        _note(reply, self._usage, TokenUsage(tokens_in(self._prompt_bytes), self._pieces, estimated=True))

    def _event(self, event: bytes) -> bytes:
        """Return an event as it is passed on; nothing where the client is not to see it."""
        if self.done:
            return b""
        data = data_of(event)
        if data == DONE:
            self.done = True
            return event
        if not data:
            return event
        self._before, self._last = self._last, data
        self.failed = self.failed or data.startswith(FAILED)
        says_usage = b'"usage"' in data and not any(null in data for null in NO_USAGE)
        if says_usage or not self.has_token:
            if self._read(data) and self._hides:
                return b""
        else:
            self._pieces += 1
        return self._renamed(event, data) if self._name else event

    def _read(self, data: bytes) -> bool:
        """Take what an event says of tokens; return whether it says nothing else."""
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        said = bytes(chunk.usage) != b"null"
        if said:
            self._usage = usage_of(chunk.usage) or self._usage
        if _has_token(chunk.choices):
            self.has_token = True
            self._pieces += 1
        return said and not any(choice.get("delta") or choice.get("finish_reason") for choice in chunk.choices)

    def _renamed(self, event: bytes, data: bytes) -> bytes:
        """Return an event with the client's name of the model."""
        try:
            fields = _fields.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return event
        if "model" not in fields:
            return event
        fields["model"] = msgspec.Raw(self._name)
        return event.replace(data, _encode(fields), 1)


def _says_why(data: bytes) -> bool:
    """Return whether an event says why an answer ends."""
    try:
        return any(choice.get("finish_reason") for choice in _chunk.decode(data).choices)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False


def _has_token(choices: list[dict[str, Any]]) -> bool:
    """Return whether a part of the answer is in it, of whatever kind, and not only whose turn it is."""
    deltas = [choice.get("delta") for choice in choices]
    return any(isinstance(delta, dict) and any(value for key, value in delta.items() if key != "role") for delta in deltas)


def price_nusd(reply: Reply, usd_per_million_input: float, usd_per_million_output: float) -> int:
    """Return what a provider asks for a reply's tokens, in nano-dollars, rounded up.

    >>> price_nusd(Reply("pool", "variant", input_tokens=1000, output_tokens=10), 0.15, 0.6)
    156000
    """
    if not (usd_per_million_input or usd_per_million_output):
        return 0
    return math.ceil(
        round(1000.0 * (reply.input_tokens * usd_per_million_input + reply.output_tokens * usd_per_million_output), 3)
    )
