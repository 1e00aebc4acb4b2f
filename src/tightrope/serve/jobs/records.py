"""Files, batches and items as they are kept, and as OpenAI's API shows them (its reference, read 2026-11)."""

import secrets
import time
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from tightrope.serve.records import Caller

Status: TypeAlias = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})


def new_id(kind: str) -> str:
    """Return an id that nobody guesses; ids in order of their letters are in order of time.

    >>> new_id("file")[:21] <= new_id("file")[:21], len(new_id("batch"))
    (True, 38)
    """
    return f"{kind}{'-' if kind == 'file' else '_'}{time.time_ns():016x}{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class File:
    """A file: one that was uploaded, in parts, or one that a batch wrote, which is the batch's items of one state."""

    id: str
    tenant: str
    purpose: str
    name: str
    size: int
    created_s: float
    expires_s: float
    batch: str | None = None
    state: int | None = None
    once: str | None = None
    """Hash of the key of the request that made it,"""
    asked: str | None = None
    """and of what was asked with it."""

    def shown(self) -> dict[str, Any]:
        """Return OpenAI's File object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": int(self.created_s),
            "expires_at": int(self.expires_s),
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a batch is not done at all; ``line`` of its input file counts from 1, ``param`` is the field."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def shown(self) -> dict[str, Any]:
        """Return OpenAI's error of a batch."""
        return {"object": "error", "code": self.code, "message": self.message, "line": self.line, "param": self.param}


@dataclass(frozen=True, slots=True)
class Batch:
    """Many requests to one endpoint, to be answered by ``due_s``."""

    id: str
    tenant: str
    caller: str
    """JSON of the ``Caller`` on whose behalf it runs."""
    endpoint: str
    file: str
    due_within: str
    """As the client wrote it, such as ``24h``."""
    metadata: str
    """JSON of an object of texts."""
    traffic_class: str
    output_keep_s: float
    """How long its files are kept once they are written."""
    created_s: float
    due_s: float
    status: Status = "validating"
    moments: str = "{}"
    """JSON: status → Unix time that it was reached."""
    errors: str = "[]"
    """JSON: of ``LineError.shown``."""
    total: int = 0
    completed: int = 0
    """Items in the output file."""
    failed: int = 0
    """Items in the error file."""
    output_bytes: int = 0
    error_bytes: int = 0
    output_file: str | None = None
    error_file: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    """Of the input, what was not reckoned anew."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the output, what is not shown."""
    counted: int = 0
    """Items in the output file whose answer says its tokens: what a gateway of an earlier version writes down is none of them."""
    once: str | None = None
    """Hash of the key of the request that made it,"""
    asked: str | None = None
    """and of what was asked with it."""

    @property
    def left(self) -> int:
        """Items that are not done."""
        return self.total - self.completed - self.failed

    def shown(self) -> dict[str, Any]:
        """Return OpenAI's Batch object."""
        moments, errors = msgspec.json.decode(self.moments), msgspec.json.decode(self.errors)
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": errors} if errors else None,
            "input_file_id": self.file,
            "completion_window": self.due_within,
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": int(self.created_s),
            "expires_at": int(self.due_s),
            **{f"{status}_at": int(moments[status]) if status in moments else None for status in SHOWN_MOMENTS},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": self._usage(),
            "metadata": msgspec.json.decode(self.metadata) or None,
        }

    def _usage(self) -> dict[str, Any] | None:
        """Return OpenAI's usage of a batch, of the items that are done; None where one of them does not say its tokens."""
        if self.counted < self.completed:
            return None
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": self.cached_tokens},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.input_tokens + self.output_tokens,
        }


SHOWN_MOMENTS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def marks(count: int) -> str:
    """Return the places of so many values in a statement.

    >>> marks(3)
    '$1, $2, $3'
    """
    return ", ".join(f"${number}" for number in range(1, count + 1))


BATCH_COLUMNS = ", ".join(field.name for field in fields(Batch))
FILE_COLUMNS = ", ".join(field.name for field in fields(File))


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One line of a batch's input file; ``start`` and ``size`` say where it lies, in bytes."""

    line: int
    custom_id: str
    start: int
    size: int
    tries: int = 0
    last_status: int | None = None
    """What the last try that did not succeed was answered."""


class TokenCounts(NamedTuple):
    """What an answer says that it took."""

    input: int
    cached: int
    output: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class ItemResult:
    """An item's line of the output file (``answered``) or error file, its newline included."""

    line: int
    answered: bool
    bytes: bytes
    tokens: TokenCounts | None = None
    """None where the answer does not say."""


def packed(caller: Caller) -> str:
    """Return a caller as it is kept: what it may do, never its key."""
    said = {"tenant": caller.tenant, "key": caller.key, "scopes": sorted(caller.scopes), "classes": caller.classes}
    return msgspec.json.encode(said).decode()


def unpacked(text: str) -> Caller:
    """Return the caller that ``packed`` wrote.

    >>> unpacked(packed(Caller("acme", classes=("night",)))) == Caller("acme", classes=("night",))
    True
    """
    return msgspec.json.decode(text, type=Caller)
