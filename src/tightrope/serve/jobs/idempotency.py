"""What a client asks twice is done once: the header ``Idempotency-Key``, by which a retry is known as one (IETF draft, 2025).

A file or a batch is kept with the key that it was made by, both as hashes, and is what the same request is answered with again.
"""

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.requests import Request

from tightrope.serve.jobs.records import Batch, File
from tightrope.serve.refusals import Reused

HEADER = "idempotency-key"
Made = TypeVar("Made", Batch, File)


def once_of(request: Request) -> str | None:
    """Return the hash of a request's key; None where it has none."""
    key = request.headers.get(HEADER, "").strip()
    return hashed(key.encode()) if key else None


def hashed(text: bytes) -> str:
    """Return SHA-256 in hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def asked_upload(content_hash: str, filename: str, fields: Mapping[str, str]) -> str:
    """Return the hash of all that a form says."""
    return hashed(msgspec.json.encode([content_hash, filename, sorted(fields.items())]))


def the_same(made: Made, asked: str | None) -> Made:
    """Return what a key made, asked for again; raise ``Reused`` where something else is asked for."""
    if made.asked != asked:
        msg = f"this Idempotency-Key made {made.id} of another request: send a new key with a new request"
        raise Reused(msg, parameter="Idempotency-Key")
    return made
