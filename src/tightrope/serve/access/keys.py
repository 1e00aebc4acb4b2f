"""Who asks: API keys checked against their file, remembered once they are known, and forgotten when the file says so.

A key is hashed once, in a thread; from then on it is known by a digest under a key that only this process has, in about 2 µs. The file
is looked at every few seconds. A name that is not there and a secret that can not be right cost no hash, so that no flood of guesses makes
a good key wait; what is left to guess is held back by name, and slows the key of that name alone.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path

from tightrope.policy.admission import bucket_level, bucket_wait_s
from tightrope.serve.access.keyfile import PREFIX, KeyEntry, load_keys, stand_in
from tightrope.serve.records import Caller, Scope
from tightrope.serve.refusals import Forbidden, TooMany, Unauthenticated

log = logging.getLogger(__name__)

RELOAD_S = 2.0
"""How often the file is looked at."""
MOST_KEY_CHARACTERS = 256
MOST_WAITING = 256
"""Keys not known yet that wait to be checked."""
THREADS = 2
"""That check them."""
GUESSES, GUESSES_PER_S = 10.0, 0.1
"""Secrets for one name that may be hashed at once and turn out wrong, and from then on."""
NO_KEY = "no API key, expected the header `Authorization: Bearer tr_…`"
NOT_KNOWN = "this API key is not known"


def allow(caller: Caller, scope: Scope, traffic_class: str = "") -> None:
    """Raise ``Forbidden`` where a caller's key may not do this, or not in that class."""
    if scope not in caller.scopes:
        msg = f"this API key may not do this: it lacks the scope {scope!r}"
        raise Forbidden(msg)
    if traffic_class and caller.classes and traffic_class not in caller.classes:
        msg = f"this API key may not ask in the class {traffic_class!r}, only in {', '.join(caller.classes)}"
        raise Forbidden(msg)


def parse_authorization(authorization: str | None) -> tuple[str, str, str]:
    """Return the key that a header holds, its name and its secret; raise ``Unauthenticated`` where it holds none.

    >>> parse_authorization("Bearer tr_acme-1_s_3")
    ('tr_acme-1_s_3', 'acme-1', 's_3')
    """
    if authorization is None or len(authorization) > MOST_KEY_CHARACTERS:
        raise Unauthenticated(NO_KEY)
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    prefix, _, rest = key.partition("_")
    name, _, secret = rest.partition("_")
    if scheme.casefold() != "bearer" or not key:
        raise Unauthenticated(NO_KEY)
    if prefix != PREFIX or not name or not secret or not key.isascii():
        raise Unauthenticated(NOT_KNOWN)
    return key, name, secret


@dataclass(slots=True, eq=False)
class AttemptLimit:
    """Counts secrets that are hashed, by the name of a key that there is; those that turn out right are given back."""

    clock: Callable[[], float]
    level: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Name → how many it has left, and when that was."""

    def take(self, name: str) -> None:
        """Take one; raise ``TooMany`` where too many were wrong, or are being hashed."""
        level = self._level(name)
        if level < 1.0:
            msg = "too many wrong secrets were tried for this API key"
            raise TooMany(msg, retry_after_s=bucket_wait_s(level, GUESSES_PER_S), reason="keys")
        self.level[name] = level - 1.0, self.clock()

    def give_back(self, name: str) -> None:
        """Give back one that was right."""
        self.level[name] = self._level(name) + 1.0, self.clock()

    def forget(self, names: Container[str]) -> None:
        """Forget the names that are not among these."""
        self.level = {name: held for name, held in self.level.items() if name in names}

    def _level(self, name: str) -> float:
        """Return how many a name has left."""
        now_s = self.clock()
        level, at_s = self.level.get(name, (GUESSES, now_s))
        return bucket_level(level, GUESSES_PER_S, GUESSES, now_s - at_s)


@dataclass(frozen=True, slots=True)
class CheckedKey:
    """A key that was checked."""

    entry: KeyEntry
    caller: Caller
    expires_s: float | None
    """Unix time."""


class Keys:
    """The keys of a file; raises ``InputError`` where the file can not be trusted.

    ``caller`` is for every request, ``verify`` for the keys that it does not know yet; ``start`` watches the file.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        """Read the file."""
        self._path, self._wall = path, wall
        self._base = blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._guesses = AttemptLimit(clock)
        self._stand_in = stand_in()
        self._known: dict[bytes, CheckedKey] = {}
        self._checks: dict[bytes, asyncio.Task[CheckedKey | None]] = {}
        self._thread = ThreadPoolExecutor(THREADS, "api-keys")
        self._watcher: asyncio.Task[None] | None = None
        self._seen = self._look()
        self._refused: tuple[int, ...] | None = None
        """As the file was when it last could not be read."""
        self._entries = {entry.name: entry for entry in load_keys(path).keys}

    def caller(self, authorization: str | None) -> Caller | None:
        """Return who asks, by a key checked before; None where ``verify`` has to check it. Raises ``Unauthenticated``."""
        key, _, _ = parse_authorization(authorization)
        digest = self._digest(key.encode())
        known = self._known.get(digest)
        if known is None:
            return None
        if self._entries.get(known.entry.name) is not known.entry:  # changed, revoked or gone since
            del self._known[digest]
            return None
        return self._unless_expired(known)

    async def verify(self, authorization: str | None) -> Caller:
        """Return who asks; raise ``Unauthenticated``, or ``TooMany`` where too many secrets were wrong to hash this one."""
        caller = self.caller(authorization)
        if caller is not None:
            return caller
        key, name, secret = parse_authorization(authorization)
        if not self._may_be(name, secret):
            raise Unauthenticated(NOT_KNOWN)
        digest = self._digest(key.encode())
        check = self._checks.get(digest)
        if check is None:
            if len(self._checks) >= MOST_WAITING:
                msg = "too many API keys wait to be checked"
                raise TooMany(msg, retry_after_s=1.0, reason="keys")
            self._guesses.take(name)
            check = self._checks[digest] = asyncio.create_task(self._check(name, secret, digest))
            check.add_done_callback(lambda _: self._checks.pop(digest, None))
        known = await asyncio.shield(check)  # another waits for it too, or will ask again
        if known is None:
            raise Unauthenticated(NOT_KNOWN)
        return self._unless_expired(known)

    async def start(self) -> None:
        """Look at the file every few seconds from now on."""
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop looking, and checking."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        self._thread.shutdown(wait=False, cancel_futures=True)

    def reload(self) -> None:
        """Read the file where it has changed; until it can be read and trusted, which is said once, the keys stay as they were."""
        seen: tuple[int, ...] = ()
        try:
            seen = self._look()
            if seen == self._seen:
                return
            fresh = load_keys(self._path)
        except Exception as error:  # noqa: BLE001 - whatever it is, a key that is revoked later must not stay good
            if seen != self._refused:
                log.error("the file of API keys was not read, the keys stay as they were: %s", error)  # noqa: TRY400 - no traceback
            self._refused = seen
            return
        self._seen, self._refused = seen, None
        before = self._entries
        # Those that are as they were stay the same objects, by which `caller` sees that they are still good.
        self._entries = {entry.name: before[entry.name] if before.get(entry.name) == entry else entry for entry in fresh.keys}
        log.info("read %d API keys", len(fresh.keys))

    # ------------------------------------------------------------------------------------------------------------ inside

    def _digest(self, text: bytes) -> bytes:
        """Return a digest that only this process can compute."""
        digest = self._base.copy()
        digest.update(text)
        return digest.digest()

    def _unless_expired(self, known: CheckedKey) -> Caller:
        """Return who a checked key names; raise ``Unauthenticated`` where it has expired."""
        if known.expires_s is not None and self._wall() >= known.expires_s:
            msg = f"this API key expired at {known.entry.expires:%Y-%m-%dT%H:%M:%SZ}"
            raise Unauthenticated(msg)
        return known.caller

    def _may_be(self, name: str, secret: str) -> bool:
        """Return False where there is no such name, the secret can not be its, or it is revoked: at the same small cost each."""
        entry = self._entries.get(name)
        likely = (self._stand_in if entry is None else entry.scrypt).may_be(secret)
        return likely and entry is not None and entry.revoked is None

    async def _check(self, name: str, secret: str, digest: bytes) -> CheckedKey | None:
        """Return what is known of a key, and remember it; None where its secret is wrong, or it is gone or revoked meanwhile."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        made = await asyncio.get_running_loop().run_in_executor(self._thread, entry.scrypt.of, secret)
        right = compare_digest(made, bytes.fromhex(entry.scrypt.hash))
        if not right or entry.revoked is not None or self._entries.get(name) is not entry:
            return None
        self._guesses.give_back(name)
        expires_s = None if entry.expires is None else entry.expires.timestamp()
        caller = Caller(entry.tenant, entry.name, frozenset(entry.scopes), tuple(entry.classes))
        known = self._known[digest] = CheckedKey(entry, caller, expires_s)
        return known

    def _look(self) -> tuple[int, ...]:
        """Return what tells a changed file from an unchanged one; nothing where there is none."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode

    async def _watch(self) -> None:
        """Look at the file, in a thread, for as long as it takes."""
        while True:
            await asyncio.sleep(RELOAD_S)
            await asyncio.to_thread(self.reload)
            self._guesses.forget(self._entries)
            self._known = {key: known for key, known in self._known.items() if self._entries.get(known.entry.name) is known.entry}


class OpenAccess:
    """Stands for ``Keys`` where none are asked for: whoever asks is the tenant ``default``. For loopback alone."""

    _caller = Caller("default")

    def caller(self, authorization: str | None) -> Caller:  # noqa: ARG002 - as ``Keys``
        """Return the one tenant."""
        return self._caller

    async def verify(self, authorization: str | None) -> Caller:  # noqa: ARG002
        """Return the one tenant."""
        return self._caller

    async def start(self) -> None:
        """Do nothing: there is no file."""

    async def stop(self) -> None:
        """Do nothing."""
