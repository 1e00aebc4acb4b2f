"""Authentication: the API keys of a file, found by their SHA-256 digest. The file is read again within seconds of a change."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tightrope.serve.access.keyfile import KeyEntry, key_digest, load_keys
from tightrope.serve.records import Caller, Scope
from tightrope.serve.refusals import Forbidden, Unauthenticated

log = logging.getLogger(__name__)

RELOAD_S = 2.0
"""Seconds between two looks at the file."""
MOST_KEY_CHARACTERS = 256
NO_KEY = "no API key, expected the header `Authorization: Bearer tr_…`"
UNKNOWN_KEY = "this API key is not known"


def check_scope(caller: Caller, scope: Scope, traffic_class: str = "") -> None:
    """Raise ``Forbidden`` if a caller's key lacks the scope, or may not use the traffic class."""
    if scope not in caller.scopes:
        msg = f"this API key lacks the scope {scope!r}"
        raise Forbidden(msg)
    if traffic_class and caller.classes and traffic_class not in caller.classes:
        msg = f"this API key may not use the traffic class {traffic_class!r}, only {', '.join(caller.classes)}"
        raise Forbidden(msg)


def parse_authorization(authorization: str | None) -> str:
    """Return the key in the header ``Authorization``; raise ``Unauthenticated`` if it holds none.

    >>> parse_authorization("Bearer tr_acme-1_s3")
    'tr_acme-1_s3'
    """
    if authorization is None or len(authorization) > MOST_KEY_CHARACTERS:
        raise Unauthenticated(NO_KEY)
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.casefold() != "bearer" or not key:
        raise Unauthenticated(NO_KEY)
    return key


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key's record, and the caller that it identifies."""

    entry: KeyEntry
    caller: Caller


class Keys:
    """The API keys of a file; raises ``InputError`` if the file cannot be trusted. ``start`` watches it for changes."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        """Read the file."""
        self._path, self._wall = path, wall
        self._watcher: asyncio.Task[None] | None = None
        self._version = self._stat_file()
        self._rejected: tuple[int, ...] | None = None
        """Version of the file that could not be read last."""
        self._keys = _load(path)

    def caller(self, authorization: str | None) -> Caller:
        """Return the caller that a request's key identifies; raise ``Unauthenticated``.

        A look-up by digest takes the same time for every wrong key: nobody can choose the digest of a guess.
        """
        known = self._keys.get(key_digest(parse_authorization(authorization)))
        if known is None or known.entry.revoked is not None:
            raise Unauthenticated(UNKNOWN_KEY)
        expires = known.entry.expires
        if expires is not None and self._wall() >= expires.timestamp():
            msg = f"this API key expired at {expires:%Y-%m-%dT%H:%M:%SZ}"
            raise Unauthenticated(msg)
        return known.caller

    async def start(self) -> None:
        """Begin to watch the file."""
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching the file."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])

    def reload(self) -> None:
        """Read the file if it changed. If it cannot be read, log that once and keep the keys."""
        version: tuple[int, ...] = ()
        try:
            version = self._stat_file()
            if version == self._version:
                return
            keys = _load(self._path)
        except Exception as error:  # noqa: BLE001 - the watch must go on, or a key revoked later stays valid
            if version != self._rejected:
                log.error("cannot read the file of API keys, the keys stay as they were: %s", error)  # noqa: TRY400 - no traceback
            self._rejected = version
            return
        self._version, self._rejected, self._keys = version, None, keys
        log.info("read %d API keys", len(keys))

    def _stat_file(self) -> tuple[int, ...]:
        """Return a tuple that differs after a change of the file; empty if there is no file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode

    async def _watch(self) -> None:
        """Reload the file every ``RELOAD_S``, in a thread."""
        while True:
            await asyncio.sleep(RELOAD_S)
            await asyncio.to_thread(self.reload)


def _load(path: Path) -> dict[str, KnownKey]:
    """Return the file's keys by digest; raise ``InputError``."""
    return {
        entry.sha256: KnownKey(entry, Caller(entry.tenant, entry.name, frozenset(entry.scopes), tuple(entry.classes)))
        for entry in load_keys(path).keys
    }


class OpenAccess:
    """Takes the place of ``Keys`` on a gateway without keys: every caller is the tenant ``default``. For loopback only."""

    _caller = Caller("default")

    def caller(self, authorization: str | None) -> Caller:  # noqa: ARG002 - as ``Keys``
        """Return the one tenant."""
        return self._caller

    async def start(self) -> None:
        """Do nothing: there is no file."""

    async def stop(self) -> None:
        """Do nothing."""
