"""Texts to an engine of our own (``tightrope serve --plan … --pool …``): by the paths that say its tokens and its labels too."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tightrope.serve.records import Call, Reply
from tightrope.serve.upstream.dialect import UpstreamRequest, WholeAnswer, broken
from tightrope.serve.upstream.openai import ask_embeddings, note_usage, read_embeddings

PLATFORM = "tightrope"
"""As such an engine calls itself in a model's metadata."""


class _ClassScore(msgspec.Struct):
    index: int
    scores: dict[str, float]


class _ClassScores(msgspec.Struct):
    data: list[_ClassScore]
    usage: msgspec.Raw = msgspec.Raw(b"null")


_classes = msgspec.json.Decoder(_ClassScores)
_encode = msgspec.json.Encoder().encode


def ask(call: Call, model: str) -> UpstreamRequest:
    """Return the request for the texts of a call."""
    if call.task == "embed":
        return ask_embeddings(call, model, "base64")
    return UpstreamRequest("/v1/classify", _encode({"model": model, "input": call.inputs}))


def is_asked(asked: UpstreamRequest) -> bool:
    """Return whether ``ask`` wrote a request: what has been said of the server since does not matter to its answer."""
    return asked.path.startswith("/v1/")


def answer(call: Call, whole: WholeAnswer, reply: Reply) -> None:
    """Fill a reply with vectors, or with labels and their probabilities; raise ``UpstreamFailed`` where it is neither."""
    if call.task == "embed":
        read_embeddings(call, whole, reply)
        return
    try:
        said = _classes.decode(whole.body)
    except (msgspec.DecodeError, ValueError):
        msg = "what are no classes"
        raise broken(msg) from None
    labels = tuple(said.data[0].scores) if said.data else ()
    if [item.index for item in said.data] != list(range(call.rows)) or any(tuple(item.scores) != labels for item in said.data):
        msg = f"{len(said.data)} times scores, not the same labels for each of {call.rows} texts"
        raise broken(msg)
    reply.labels, reply.outputs = labels, tuple(_scores(item) for item in said.data)
    note_usage(call, said.usage, reply)


def _scores(item: _ClassScore) -> NDArray[Any]:
    """Return float32[classes]."""
    return np.array([*item.scores.values()], dtype=np.float32)
