"""Which calls ask the same: a digest of tenant, model, task, inputs, and the parameters that change the answer.

Two tenants never ask the same. Nor do calls that differ in anything a model may see; which variant of the model answers is no part of it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from tightrope.serve.records import Call, Tensors

MOST_BYTES = 2**20
"""Inputs of more are not kept: a digest of them takes a millisecond, in which nothing else is done."""
MOST_BEGINNINGS = 4096
"""Tenant, model, task and parameters whose part of the digest is remembered."""
NOT_SEEN = frozenset(
    {"model", "stream", "stream_options", "user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier"}
)
"""Fields of a chat's body that its model does not see (OpenAI's API reference, *Create chat completion*, 2026-11)."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class ConversationQuestion:
    """A question within a conversation: two of the same ``scope`` differ in nothing but their text."""

    scope: bytes
    text: str


class CacheKeys:
    """Makes digests, under a key that only this process has."""

    def __init__(self) -> None:
        """Draw the key."""
        self._base = blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._beginnings: dict[tuple[str, str, str, bool, str], Any] = {}

    def keys(self, call: Call) -> list[bytes]:
        """Return a digest for each text of a call, as if it had come alone, or one for all of it; none where it is not to be kept.

        That is where it asks nothing, is too large, or a chat's body cannot be read.
        """
        if call.task in {"embed", "classify"}:
            return self._of_texts(call)
        key = self._of_whole(call)
        return [] if key is None else [key]

    def _of_texts(self, call: Call) -> list[bytes]:
        """Return a digest for each text; none where they are too long to keep."""
        beginning, total = self._beginning(call), 0
        found: list[bytes] = []
        for text in call.inputs:
            digest, content = beginning.copy(), text.encode("utf-8", "surrogatepass")
            total += len(content)
            if total > MOST_BYTES:
                return []
            digest.update(content)
            found.append(digest.digest())
        return found

    def _of_whole(self, call: Call) -> bytes | None:
        """Return the digest of a chat or of tensors; None where it is too large to keep, or not to be read."""
        if call.task == "chat":
            said = self._conversation(call)
            return None if said is None else self._digest(call, _encode(said), b"whole")
        parts = None if isinstance(call.inputs, tuple) else _tensor_parts(call.inputs)
        return None if parts is None else self._digest(call, *parts)

    def question(self, call: Call) -> ConversationQuestion | None:
        """Return what is asked where it is one text, of a chat the user's last words; None where it is not."""
        if call.task == "classify" and len(call.inputs) == 1 and isinstance(call.inputs, tuple):
            return ConversationQuestion(self._digest(call, b"question"), call.inputs[0])
        said = self._conversation(call) if call.task == "chat" else None
        messages = said.get("messages") if said else None
        last = messages[-1] if isinstance(messages, list) and messages else None
        if said is None or not isinstance(last, dict) or last.get("role") != "user" or not isinstance(last.get("content"), str):
            return None
        before = {**said, "messages": [*said["messages"][:-1], {**last, "content": None}]}
        return ConversationQuestion(self._digest(call, _encode(before), b"question"), last["content"])

    def joint(self, keys: list[bytes]) -> bytes:
        """Return the digest of several texts together; of one it is its own."""
        if len(keys) == 1:
            return keys[0]
        digest = self._base.copy()
        digest.update(b"".join(keys))
        return digest.digest()

    def _beginning(self, call: Call) -> Any:  # noqa: ANN401 - a hash that goes on
        """Return the digest of all but the inputs, to be gone on with."""
        stated = call.parameters
        said = _seen(stated) if stated and call.task != "chat" else ""
        name = call.caller.tenant, call.model, call.task, call.stream, said
        found = self._beginnings.get(name)
        if found is None:
            if len(self._beginnings) >= MOST_BEGINNINGS:
                self._beginnings.clear()
            found = self._beginnings[name] = self._base.copy()
            for part in name:
                content = str(part).encode("utf-8", "surrogatepass")
                found.update(b"%d " % len(content) + content)
        return found

    def _digest(self, call: Call, *parts: bytes) -> bytes:
        """Return the digest of a call with these inputs."""
        digest = self._beginning(call).copy()
        for part in parts:
            digest.update(b"%d " % len(part))
            digest.update(part)
        return digest.digest()

    @staticmethod
    def _conversation(call: Call) -> dict[str, Any] | None:
        """Return what the model of a chat sees; None where the body is too large, or no JSON object."""
        if len(call.body) > MOST_BYTES:
            return None
        try:
            said = _decode(call.body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        options = said.get("stream_options")
        shown = {name: value for name, value in said.items() if name not in NOT_SEEN}
        if call.stream and isinstance(options, dict) and options.get("include_usage"):
            shown["stream_options"] = True  # not seen by the model, but by the client
        return shown


def _seen(parameters: Mapping[str, Any]) -> str:
    """Return parameters in one way of writing them, but for what is said to the cache."""
    shown = {name: value for name, value in parameters.items() if name != "cache"}
    return _encode(shown).decode() if shown else ""


def _tensor_parts(tensors: Tensors) -> list[bytes] | None:
    """Return names, types, shapes and contents, in the order of the names; None where there is too much."""
    parts: list[bytes] = []
    total = 0
    for name in sorted(tensors):
        array = tensors[name]
        parts.append(f"{name} {array.dtype.str} {array.shape}".encode())
        total += sum(map(len, array.flat)) if array.dtype.hasobject else array.nbytes
        if total > MOST_BYTES:
            return None
        parts += list(array.flat) if array.dtype.hasobject else [array.tobytes()]
    return parts
