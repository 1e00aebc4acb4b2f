"""The file of API keys: what it may say, how a key is made, hashed and revoked. It holds no key, only what one can be checked by.

A key is ``tr_<name>_<secret>``: its record is found by the name, which is no secret. A few bytes of a cheap digest turn wrong secrets
away; of one that has them the dear hash is computed.
"""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Self, TypeAlias

from filelock import FileLock, Timeout
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from tightrope.base.errors import InputError, Where, unknown_name
from tightrope.demand.strict_mapping import Strict, validated
from tightrope.demand.yaml_document import Document
from tightrope.serve.records import Scope

PREFIX = "tr"
SECRET_BYTES = 32
SCRYPT = (2**14, 8, 1)
"""N, r, p: 16 MiB and about 50 ms of one core, for interactive use (Percival, "Stronger key derivation via sequential memory-hard
functions", 2009). For passwords that people think up OWASP asks for p = 5 (Password Storage Cheat Sheet, 2024); a secret of 256 random
bits can not be guessed at any cost. They stand in each record, so that they may change."""
MOST_MEMORY = 64 * 2**20
"""What a record's parameters may ask for: 128 N r bytes."""
LOCK_S = 10.0
PAGE = "docs/how-to/give-access.md"


def parse_moment(value: object) -> datetime:
    """Return a point in time as RFC 3339 writes it; raise ``ValueError`` where it says no time zone.

    >>> parse_moment("2026-11-26T01:00:00Z").isoformat()
    '2026-11-26T01:00:00+00:00'
    """
    with suppress(ValueError):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    msg = f"got {value!r}, expected a time such as 2026-11-26T01:00:00Z"
    raise ValueError(msg)


Hex: TypeAlias = Annotated[str, Field(pattern="^([0-9a-f]{2}){16,64}$")]
Moment: TypeAlias = Annotated[
    datetime, BeforeValidator(parse_moment), PlainSerializer(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}")
]
KeyName: TypeAlias = Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Tenant: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]


class Scrypt(Strict):
    """A hashed secret, and how it was hashed (RFC 7914)."""

    n: int = Field(ge=2, le=2**20)
    r: int = Field(ge=1, le=64)
    p: int = Field(ge=1, le=64)
    salt: Hex
    hash: Hex
    check: Annotated[str, Field(pattern="^[0-9a-f]{8}$")] | None = None
    """``check_of`` the secret: all but one in 2³² wrong ones differ. It leaves 224 of a secret's 256 bits to be guessed, at any speed.
    None in files that were written without."""

    @model_validator(mode="after")
    def bounded(self) -> Self:
        """Refuse parameters that scrypt does not take, or that would fill the memory."""
        if self.n & (self.n - 1) or 128 * self.n * self.r > MOST_MEMORY:
            msg = f"expected n to be a power of 2, and 128 n r to be at most {MOST_MEMORY} bytes"
            raise ValueError(msg)
        return self

    def may_be(self, secret: str) -> bool:
        """Return False for nearly every wrong secret, in about 1 µs; True says nothing where there is no ``check``."""
        return self.check is None or compare_digest(self.check, self.check_of(secret))

    def check_of(self, secret: str) -> str:
        """Return the first 4 bytes of SHA-256 over salt and secret."""
        return hashlib.sha256(bytes.fromhex(self.salt) + secret.encode()).hexdigest()[:8]

    def of(self, secret: str) -> bytes:
        """Return the hash of a secret, computed as this one was; it takes a while, so call it in a thread."""
        wanted = len(self.hash) // 2
        room = 2 * 128 * self.n * self.r + 2**20
        salt = bytes.fromhex(self.salt)
        return hashlib.scrypt(secret.encode(), salt=salt, n=self.n, r=self.r, p=self.p, maxmem=room, dklen=wanted)


class KeyEntry(Strict):
    """One key: whose it is, what it may, and what it is checked by."""

    name: KeyName
    tenant: Tenant
    scopes: list[Scope] = Field(min_length=1)
    classes: list[str] = Field(default_factory=list)
    created: Moment
    expires: Moment | None = None
    revoked: Moment | None = None
    scrypt: Scrypt

    def state(self, now: datetime) -> str:
        """Return ``active``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class KeyFile(Strict):
    """All keys."""

    keys: list[KeyEntry]

    @model_validator(mode="after")
    def names_differ(self) -> Self:
        """Want every name once."""
        names = [entry.name for entry in self.keys]
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            msg = f"expected every name once, got {twice!r} twice"
            raise ValueError(msg)
        return self


def hashed(secret: str) -> Scrypt:
    """Return a secret's hash under a new salt."""
    n, r, p = SCRYPT
    blank = Scrypt(n=n, r=r, p=p, salt=secrets.token_hex(16), hash="00" * 32)
    return blank.model_copy(update={"hash": blank.of(secret).hex(), "check": blank.check_of(secret)})


def stand_in() -> Scrypt:
    """Return what an unknown name's secret is looked at by, in the time of a known one's."""
    n, r, p = SCRYPT
    return Scrypt(n=n, r=r, p=p, salt=secrets.token_hex(16), hash="00" * 32, check=secrets.token_hex(4))


def load_keys(path: Path) -> KeyFile:
    """Return the file's content; raise ``InputError`` where it can not be trusted: not as it should be, or writable by others."""
    try:
        mode = path.stat().st_mode
        value = json.loads(path.read_bytes())
    except OSError as error:
        msg = f"the file of keys can not be read: {error.strerror}"
        raise InputError(msg, resolve="make one with `tightrope keys create --file`", where=Where(path)) from error
    except ValueError as error:
        msg = f"the file of keys is not JSON: {error}"
        raise InputError(msg, resolve="put the last good file in its place", where=Where(path)) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        msg = f"others may write the file of keys (mode {stat.S_IMODE(mode):03o}), and so let themselves in"
        raise InputError(msg, resolve=f"run `chmod go-w {path}`", where=Where(path))
    return validated(KeyFile, Document(path, value), PAGE)


def create_key(path: Path, entry: Callable[[Scrypt], KeyEntry]) -> tuple[KeyEntry, str]:
    """Add a key, whose record ``entry`` makes of its hash, to a file that need not be there yet; return both, the key for this once."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    made = entry(hashed(secret))

    def add(file: KeyFile) -> KeyFile:
        if any(made.name == other.name for other in file.keys):
            msg = f"there is a key {made.name!r} already"
            raise InputError(msg, resolve="give another --name; a name is never used again", where=Where(path))
        return KeyFile(keys=[*file.keys, made])

    _change(path, add, must_be_there=False)
    return made, f"{PREFIX}_{made.name}_{secret}"


def revoke_key(path: Path, name: str, now: datetime) -> KeyEntry:
    """Mark a key as revoked, from when it first was, and return its record; raise ``InputError`` where there is none of that name."""
    found: list[KeyEntry] = []

    def mark(file: KeyFile) -> KeyFile:
        mine = next((entry for entry in file.keys if entry.name == name), None)
        if mine is None:
            raise unknown_name(name, kind="key", known=[entry.name for entry in file.keys], where=Where(path))
        found.append(mine if mine.revoked else mine.model_copy(update={"revoked": now}))
        return KeyFile(keys=[found[0] if entry is mine else entry for entry in file.keys])

    _change(path, mark, must_be_there=True)
    return found[0]


def _change(path: Path, change: Callable[[KeyFile], KeyFile], *, must_be_there: bool) -> None:
    """Replace the file by what ``change`` makes of it, whole or not at all, one writer at a time."""
    try:
        path = path.resolve()  # the file that a link names is replaced, not the link
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock", timeout=LOCK_S, mode=0o600):
            before = load_keys(path) if must_be_there or path.exists() else KeyFile(keys=[])
            _replace(path, json.dumps(change(before).model_dump(), indent=1).encode() + b"\n")
    except Timeout as error:
        msg = f"somebody else has been changing the file of keys for {LOCK_S:g} s"
        raise InputError(msg, resolve="try again", where=Where(path)) from error
    except OSError as error:
        msg = f"the file of keys can not be written: {error.strerror}"
        raise InputError(msg, resolve="give --file a place that you may write to", where=Where(path)) from error


def _replace(path: Path, content: bytes) -> None:
    """Put new content in a file's place; it stays readable by those that could read it, and is the writer's alone where it is new."""
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
