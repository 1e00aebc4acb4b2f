"""What a server is asked and what it answered, whichever protocol it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from tightrope.serve.records import Call, RawAnswer, Reply
from tightrope.serve.refusals import UpstreamFailed

MOST_TOKENS = 2**31
"""A server that says more says nothing that can be believed."""
BYTES_PER_TOKEN = 4
"""By which tokens are reckoned where a server does not say them (about what English takes; OpenAI's help pages, 2026)."""


@dataclass(slots=True)
class UpstreamRequest:
    """One request, written for a server."""

    path: str
    """Below the server's base URL."""
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    prefix: bytes = b""
    """Calls with the same one share a prefix, which a server may have kept; empty where there is none worth it."""
    hides_usage: bool = False
    """The client did not ask for the tokens of a stream, so the event that says them is not passed on."""


@dataclass(slots=True)
class TokenUsage:
    """Tokens, as the server said or as they were reckoned."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False


@dataclass(slots=True)
class WholeAnswer:
    """An answer that is not streamed, as it came."""

    content_type: str
    headers: Mapping[str, str]
    body: bytes


class Dialect(Protocol):
    """A protocol that servers speak."""

    def health_path(self, model: str) -> str:
        """Return where a server says whether it can be asked for a model."""
        ...

    def ask(self, call: Call, model: str, *, binary: bool) -> UpstreamRequest:
        """Return the request for a call; ``binary`` says that the server takes tensors as bytes. Raise ``Refusal``."""
        ...

    def answer(self, call: Call, asked: UpstreamRequest, whole: WholeAnswer, reply: Reply) -> None:
        """Fill a reply with a whole answer; raise ``UpstreamFailed`` where it is not what the protocol says."""
        ...

    def is_healthy(self, status: int) -> bool:
        """Return whether a server that answers a health check so can be asked."""
        ...


class ErrorBody(msgspec.Struct):
    """What a server says in place of an answer, in either protocol."""

    error: "str | _Error | None" = None
    message: str = ""
    """Where SGLang has it, and vLLM had it before it wrote errors as OpenAI does,"""
    param: str | None = None
    """with the field."""
    detail: Any = None
    """Where FastAPI has it, and so MLServer, KServe and Infinity: a text, or what is wrong with each field."""


class _Error(msgspec.Struct):
    message: str = ""
    param: str | None = None


_told = msgspec.json.Decoder(ErrorBody)


def error_of(body: bytes) -> tuple[str, str | None]:
    """Return what a server says is wrong, and the field; empty where it says nothing that can be read.

    >>> error_of(b'{"error": {"message": "too long", "param": "input_tokens", "code": 400}}')
    ('too long', 'input_tokens')
    >>> error_of(b'{"detail": [{"type": "missing", "loc": ["body", "inputs"], "msg": "Field required", "input": {}}]}')
    ('inputs: Field required', 'inputs')
    """
    try:
        told = _told.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return "", None
    error = told.error
    if isinstance(error, _Error):
        message, field_name = error.message, error.param
    elif error or told.message:
        message, field_name = error or told.message, told.param
    else:
        message, field_name = _detail(told.detail)
    return " ".join(message.split())[:1000], field_name


def _detail(said: object) -> tuple[str, str | None]:
    """Return FastAPI's words, and the first field that they are about; never what the client sent in it."""
    if not isinstance(said, list):
        return (said, None) if isinstance(said, str) else ("", None)
    found = [(_place(item.get("loc")), str(item.get("msg", ""))) for item in said if isinstance(item, dict)]
    message = "; ".join(": ".join(filter(None, item)) for item in found)
    return message, next((place for place, _ in found if place), None)


def _place(said: object) -> str:
    """Return a field as a client would write it; of ``["body", "inputs", 0]`` what is behind the body."""
    parts = said if isinstance(said, list) else []
    return ".".join(str(part) for part in parts[1:])


def broken(what: str) -> UpstreamFailed:
    """Return the refusal for an answer that is not what the protocol says."""
    return UpstreamFailed(f"the model's server answered with {what}")


def tokens_in(size_bytes: int) -> int:
    """Return about how many tokens a text of so many bytes has.

    >>> tokens_in(0), tokens_in(1), tokens_in(9)
    (0, 1, 3)
    """
    return -(-size_bytes // BYTES_PER_TOKEN)


def text_tokens(call: Call) -> int:
    """Return about how many tokens a call's texts have."""
    return sum(tokens_in(len(text.encode())) for text in call.inputs if isinstance(text, str))


def raw_json(body: bytes) -> RawAnswer:
    """Return a whole JSON answer to be passed on."""
    return RawAnswer(200, "application/json", body)
