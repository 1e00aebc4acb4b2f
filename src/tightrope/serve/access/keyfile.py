"""The file of API keys: its schema, and how keys are created and revoked. It holds the SHA-256 of each key, ``tr_<name>_<secret>``."""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from filelock import FileLock, Timeout
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from tightrope.base.errors import InputError, Where, build_unknown_name_error
from tightrope.demand.strict_mapping import Strict, validated
from tightrope.demand.yaml_document import Document
from tightrope.serve.records import Scope

PREFIX = "tr"
SECRET_BYTES = 32
LOCK_S = 10.0
PAGE = "docs/how-to/give-access.md"


def parse_moment(value: object) -> datetime:
    """Return a point in time (RFC 3339), in UTC; raise ``ValueError`` if it has no time zone.

    >>> parse_moment("2026-11-26T01:00:00Z").isoformat()
    '2026-11-26T01:00:00+00:00'
    """
    with suppress(ValueError):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    msg = f"got {value!r}, expected a time such as 2026-11-26T01:00:00Z"
    raise ValueError(msg)


Digest: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Moment: TypeAlias = Annotated[
    datetime, BeforeValidator(parse_moment), PlainSerializer(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}")
]
KeyName: TypeAlias = Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Tenant: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]


class KeyEntry(Strict):
    """One key: its tenant, its scopes and its digest."""

    name: KeyName
    tenant: Tenant
    scopes: list[Scope] = Field(min_length=1)
    classes: list[str] = Field(default_factory=list)
    created: Moment
    expires: Moment | None = None
    revoked: Moment | None = None
    sha256: Digest
    """Of the whole key."""

    @model_validator(mode="before")
    @classmethod
    def reject_scrypt(cls, data: Any) -> Any:  # noqa: ANN401 - any JSON
        """Refuse a key of an earlier version."""
        if isinstance(data, dict) and "scrypt" in data:
            kind, message = "unknown_key", "got a scrypt hash of an earlier version, expected sha256"
            resolve = "move this file away and create the keys again with `tightrope keys create`"
            raise PydanticCustomError(kind, message, {"name": "scrypt", "resolve": resolve})
        return data

    def state(self, now: datetime) -> str:
        """Return ``active``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class KeyFile(Strict):
    """All keys."""

    keys: list[KeyEntry]

    @model_validator(mode="after")
    def check_unique(self) -> Self:
        """Refuse two keys of one name or digest."""
        for values in ([entry.name for entry in self.keys], [entry.sha256 for entry in self.keys]):
            if len(set(values)) < len(values):
                repeated = next(value for value in values if values.count(value) > 1)
                msg = f"expected every name and digest once, got {repeated!r} twice"
                raise ValueError(msg)
        return self


def key_digest(key: str) -> str:
    """Return the SHA-256 of a key, in hexadecimal. A secret of 256 random bits needs neither a salt nor a slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def load_keys(path: Path) -> KeyFile:
    """Return the file's content; raise ``InputError`` if it is invalid, or if others may write it."""
    try:
        mode = path.stat().st_mode
        value = json.loads(path.read_bytes())
    except OSError as error:
        msg = f"cannot read the file of keys: {error.strerror}"
        raise InputError(msg, resolve="make one with `tightrope keys create --file`", where=Where(path)) from error
    except ValueError as error:
        msg = f"the file of keys is not JSON: {error}"
        raise InputError(msg, resolve="put the last good file in its place", where=Where(path)) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        msg = f"others may write the file of keys (mode {stat.S_IMODE(mode):03o}), and so let themselves in"
        raise InputError(msg, resolve=f"run `chmod go-w {path}`", where=Where(path))
    return validated(KeyFile, Document(path, value), PAGE)


def create_key(path: Path, fields: Mapping[str, object]) -> tuple[KeyEntry, str]:
    """Add a new key to a file, which need not exist; return its record and the key.

    ``fields`` are those of ``KeyEntry``, without the digest.
    """
    key = f"{PREFIX}_{fields['name']}_{secrets.token_urlsafe(SECRET_BYTES)}"
    made = KeyEntry.model_validate({**fields, "sha256": key_digest(key)})

    def add(file: KeyFile) -> KeyFile:
        if any(made.name == other.name for other in file.keys):
            msg = f"there is a key {made.name!r} already"
            raise InputError(msg, resolve="choose another --name; a name is never used again", where=Where(path))
        return KeyFile(keys=[*file.keys, made])

    _update(path, add, must_exist=False)
    return made, key


def revoke_key(path: Path, name: str, now: datetime) -> KeyEntry:
    """Mark a key as revoked and return its record, with the time of its first revocation. Raises ``InputError`` for an unknown name."""
    revoked: list[KeyEntry] = []

    def mark(file: KeyFile) -> KeyFile:
        entry = next((entry for entry in file.keys if entry.name == name), None)
        if entry is None:
            raise build_unknown_name_error(name, kind="key", known=[entry.name for entry in file.keys], where=Where(path))
        revoked.append(entry if entry.revoked else entry.model_copy(update={"revoked": now}))
        return KeyFile(keys=[revoked[0] if other is entry else other for other in file.keys])

    _update(path, mark, must_exist=True)
    return revoked[0]


def _update(path: Path, change: Callable[[KeyFile], KeyFile], *, must_exist: bool) -> None:
    """Apply ``change`` to the file atomically, under a lock."""
    try:
        path = path.resolve()  # replaces the target of a link, not the link
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock", timeout=LOCK_S, mode=0o600):
            before = load_keys(path) if must_exist or path.exists() else KeyFile(keys=[])
            _replace(path, json.dumps(change(before).model_dump(), indent=1).encode() + b"\n")
    except Timeout as error:
        msg = f"another process has locked the file of keys for {LOCK_S:g} s"
        raise InputError(msg, resolve="try again", where=Where(path)) from error
    except OSError as error:
        msg = f"cannot write the file of keys: {error.strerror}"
        raise InputError(msg, resolve="name a writable place with --file", where=Where(path)) from error


def _replace(path: Path, content: bytes) -> None:
    """Replace a file's content atomically. Its owner and mode stay; a new file is readable by its owner only."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if path.exists():
                before = path.stat()
                with suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
