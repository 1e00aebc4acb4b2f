"""OpenAI's embeddings and chat completions, classification in the same style, and one line of a batch (API reference of 2026-11)."""

import binascii
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tightrope.serve.config.settings import Limits
from tightrope.serve.interfaces import GatewayLike
from tightrope.serve.protocols.error_bodies import malformed, openai_error
from tightrope.serve.protocols.http import NONE, RequestHead, Write, WrittenAnswer, header_text, make_identity
from tightrope.serve.records import Call, Caller, RawAnswer, Reply
from tightrope.serve.refusals import Failed, Malformed, NotFound, RequestRefusal, TooLarge, Unsupported

USUAL = Limits()
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
encode = msgspec.json.Encoder().encode


Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=256)]
Texts: TypeAlias = str | Annotated[list[str], msgspec.Meta(min_length=1)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Format: TypeAlias = Literal["float", "base64"]


class EmbeddingsRequest(msgspec.Struct, gc=False):
    """Body of ``/v1/embeddings``."""

    model: Name
    input: Texts
    encoding_format: Format | None = None
    dimensions: Count | None = None


class TokensRequest(msgspec.Struct, gc=False):
    """The same with tokens, each model's own."""

    model: Name
    input: msgspec.Raw
    encoding_format: Format | None = None
    dimensions: Count | None = None


class ClassifyRequest(msgspec.Struct, gc=False):
    """Body of ``/v1/classify``."""

    model: Name
    input: Texts


class Message(msgspec.Struct, gc=False):
    """One message; what else it says is the server's to read."""

    role: str


class ChatRequest(msgspec.Struct, gc=False):
    """Body of ``/v1/chat/completions``, as far as the gateway reads it; the server gets all of it."""

    model: Name
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    temperature: float | None = None
    seed: int | None = None
    n: int | None = None


class Embeddings:
    """``POST /v1/embeddings``."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._decode = msgspec.json.Decoder(EmbeddingsRequest).decode

    def read(self, body: bytes, asked: RequestHead) -> tuple[Call, Write]:
        """Return the call; of tokens it has no inputs, the body is passed on to a server that takes them."""
        try:
            stated = self._decode(body)
            texts = texts_of(stated.input, self.limits)
        except UNREADABLE as error:
            stated, texts = self._tokens(body, error), ()
        parameters: dict[str, Any] = {} if stated.dimensions is None else {"dimensions": stated.dimensions}
        if not texts:
            parameters["cache"] = False  # what is asked is in the body alone
        call = asked.call("embed", stated.model, texts, body=body, parameters=parameters)
        return call, partial(_write_embeddings, call, _base64 if stated.encoding_format == "base64" else _floats)

    def _tokens(self, body: bytes, error: Exception) -> "TokensRequest":
        """Return a body whose input is one list of tokens or several; raise what was wrong with it as texts where it is neither."""
        if not isinstance(error, msgspec.ValidationError) or "$.input[" not in str(error):
            raise malformed(error) from None
        try:
            stated = msgspec.json.decode(body, type=TokensRequest)
            if memoryview(stated.input).tobytes().count(b"[") - 1 > self.limits.inputs:
                msg = f"input: more than the {self.limits.inputs} lists that are taken at a time"
                raise TooLarge(msg, parameter="input")
            lists = msgspec.json.decode(stated.input, type=list[int | list[int]])
        except UNREADABLE:
            raise malformed(error) from None
        if len({type(item) for item in lists}) != 1 or [] in lists:
            msg = "input: texts, one list of tokens, or lists of tokens are expected, none of them empty"
            raise Malformed(msg, parameter="input")
        return stated

    refuse = staticmethod(openai_error)


class Classify:
    """``POST /v1/classify``, which OpenAI has not: ``input`` as of embeddings, for each text its label and every label's probability."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._decode = msgspec.json.Decoder(ClassifyRequest).decode

    def read(self, body: bytes, asked: RequestHead) -> tuple[Call, Write]:
        """Return the call."""
        try:
            stated = self._decode(body)
        except UNREADABLE as error:
            raise malformed(error) from None
        call = asked.call("classify", stated.model, texts_of(stated.input, self.limits), body=body)
        return call, partial(_write_classes, call)

    refuse = staticmethod(openai_error)


class Chat:
    """``POST /v1/chat/completions``, streamed or not."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._decode = msgspec.json.Decoder(ChatRequest).decode

    def read(self, body: bytes, asked: RequestHead) -> tuple[Call, Write]:
        """Return the call; the body is passed on as it came."""
        try:
            stated = self._decode(body)
        except UNREADABLE as error:
            raise malformed(error) from None
        said = {"temperature": stated.temperature, "seed": stated.seed, "n": stated.n}
        parameters = {name: value for name, value in said.items() if value is not None}
        call = asked.call("chat", stated.model, (), body=body, parameters=parameters, stream=bool(stated.stream))
        return call, _write_raw

    refuse = staticmethod(openai_error)


ENDPOINTS: dict[str, Callable[[Limits], Embeddings | Classify | Chat]] = {
    "/v1/embeddings": Embeddings,
    "/v1/chat/completions": Chat,
    "/v1/classify": Classify,
}


async def run_json(
    gateway: GatewayLike,
    endpoint: str,
    body: bytes,
    caller: Caller,
    traffic_class: str,
    deadline_s: float,
    limits: Limits = USUAL,
) -> tuple[int, bytes]:
    """Return status and body of one line of a batch, by the way of every request.

    ``deadline_s`` is ``time.monotonic``'s; what the gateway refuses comes back as OpenAI's error, other errors are raised.
    """
    try:
        made = ENDPOINTS.get(endpoint)
        if made is None:
            msg = f"endpoint: one of {', '.join(ENDPOINTS)} is expected"
            raise NotFound(msg, parameter="endpoint")
        asked = RequestHead(make_identity(), caller, time.monotonic(), NONE, "", traffic_class, deadline_s)
        if len(body) > limits.body_bytes:
            msg = f"the body has {len(body)} bytes, and {limits.body_bytes} are taken"
            raise TooLarge(msg)
        call, write = made(limits).read(body, asked)
        if call.stream:
            msg = "stream: a batch's answers are not streamed"
            raise Unsupported(msg, parameter="stream")
        written = write(await gateway.answer(call))
    except RequestRefusal as refusal:
        return refusal.status, openai_error(refusal)
    return written.status, written.body


# ------------------------------------------------------------------------------------------------------------------------ reading


def texts_of(stated: str | list[str], limits: Limits) -> tuple[str, ...]:
    """Return the texts asked for; raise ``TooLarge``."""
    if isinstance(stated, str):
        return (stated,)
    if len(stated) > limits.inputs:
        msg = f"input: {len(stated)} texts, and {limits.inputs} are taken at a time"
        raise TooLarge(msg, parameter="input")
    return tuple(stated)


# ------------------------------------------------------------------------------------------------------------------------ writing


def _write_raw(reply: Reply) -> WrittenAnswer:
    """Return the answer of an upstream server."""
    raw = reply.raw
    if raw is None:
        msg = f"pool {reply.pool} has no engine that writes"
        raise Failed(msg)
    return WrittenAnswer(raw.body, header_text(raw.content_type), raw.status)


def vectors_of(reply: Reply) -> Sequence[NDArray[Any]]:
    """Return an engine's answers, one for each text."""
    if isinstance(reply.outputs, tuple):
        return reply.outputs
    msg = f"pool {reply.pool} answered with tensors"
    raise Failed(msg)


def _write_embeddings(call: Call, form: Callable[[NDArray[Any]], bytes], reply: Reply) -> WrittenAnswer:
    """Return embeddings."""
    if reply.raw is not None:
        return _write_raw(reply)
    if not call.inputs:
        msg = "input: tokens are not taken by this model: send texts"
        raise Malformed(msg, parameter="input")
    vectors = vectors_of(reply)
    _check_dimensions(call, vectors)
    if len(vectors) == 1:
        data = b'{"object":"embedding","index":0,"embedding":' + form(vectors[0]) + b"}"
    else:
        data = b",".join(
            b'{"object":"embedding","index":%d,"embedding":%b}' % (index, form(vector)) for index, vector in enumerate(vectors)
        )
    tokens = reply.prompt_tokens
    tail = b'],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (encode(call.model), tokens, tokens)
    return WrittenAnswer(b'{"object":"list","data":[' + data + tail)


def _check_dimensions(call: Call, vectors: Sequence[NDArray[Any]]) -> None:
    """Refuse vectors of another length than was asked for."""
    asked = call.parameters.get("dimensions")
    if asked is not None and vectors and len(vectors[0]) != asked:
        msg = f"dimensions: the model's vectors have {len(vectors[0])}, not {asked}; leave it out"
        raise Malformed(msg, parameter="dimensions")


def _floats(vector: NDArray[Any]) -> bytes:
    """Return a vector as JSON's numbers, which have neither NaN nor infinity."""
    text = encode(vector.tolist())
    if b"null" in text:
        msg = "the model answered with what is no number"
        raise Failed(msg)
    return text


def _base64(vector: NDArray[Any]) -> bytes:
    """Return a vector as base64 of little-endian float32."""
    return b'"' + binascii.b2a_base64(vector.astype("<f4", copy=False).tobytes(), newline=False) + b'"'


def _write_classes(call: Call, reply: Reply) -> WrittenAnswer:
    """Return each text's likeliest label and the probability of every label."""
    if reply.raw is not None:
        return _write_raw(reply)
    data = []
    for index, scores in enumerate(vectors_of(reply)):
        values: list[float] = scores.tolist()
        labels = reply.labels or tuple(map(str, range(len(values))))
        if not math.isfinite(sum(values)):
            msg = "the model answered with what is no number"
            raise Failed(msg)
        data.append(
            {"index": index, "label": labels[values.index(max(values))], "scores": dict(zip(labels, values, strict=True))}
        )
    usage = {"prompt_tokens": reply.prompt_tokens, "total_tokens": reply.prompt_tokens}
    return WrittenAnswer(encode({"object": "list", "data": data, "model": call.model, "usage": usage}))


# ----------------------------------------------------------------------------------------------------- answers of upstream servers


class _EmbeddingRow(msgspec.Struct, gc=False):
    """One vector of an answer."""

    embedding: list[float] | str
    index: int = 0


class _EmbeddingsAnswer(msgspec.Struct, gc=False):
    """An answer of ``/v1/embeddings``."""

    data: list[_EmbeddingRow]


def read_vectors(raw: RawAnswer) -> list[NDArray[np.float32]]:
    """Return the vectors of a server's answer, for a protocol that is not its own."""
    try:
        found = sorted(msgspec.json.decode(raw.body, type=_EmbeddingsAnswer).data, key=lambda item: item.index)
        return [
            np.frombuffer(binascii.a2b_base64(item.embedding), "<f4")
            if isinstance(item.embedding, str)
            else np.array(item.embedding, np.float32)
            for item in found
        ]
    except (*UNREADABLE, ValueError):
        msg = "the upstream server answered with what are no embeddings"
        raise Failed(msg) from None
