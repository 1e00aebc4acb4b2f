"""Who asks: API keys checked against their file, remembered once they are known, and forgotten when the file says so.

A key is hashed once, in a thread; from then on it is known by a digest under a key that only this process has, in about 2 µs. The file
is looked at every few seconds. Guesses are held back by name and in all, whether or not there is a key of that name.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path

from tightrope.policy.admit import bucket_level, bucket_wait_s
from tightrope.serve.access.keyfile import PREFIX, Entry, hashed, load_keys
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
SLOTS = 1024
"""Names that guesses are counted by; two may share one."""
GUESSES, GUESSES_PER_S = 10.0, 0.1
"""Wrong secrets for one name that may come at once, and from then on."""
ALL_GUESSES, ALL_GUESSES_PER_S = 50.0, 4.0
"""The same for all names together: in the long run a fifth of a core."""
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
class Guesses:
    """Counts wrong secrets, in so much memory whatever names come."""

    clock: Callable[[], float]
    digest: Callable[[bytes], bytes]
    level: dict[int, float] = field(default_factory=dict)
    at_s: dict[int, float] = field(default_factory=dict)
    """By slot; -1 is all names together."""

    def check(self, name: str) -> None:
        """Raise ``TooMany`` where too many wrong secrets came for this name, or in all."""
        for slot, most, per_s in self._counts(name):
            level = self._level(slot, most, per_s)
            if level < 1.0:
                msg = "too many API keys that are not known were tried"
                raise TooMany(msg, retry_after_s=bucket_wait_s(level, per_s), reason="keys")

    def was_wrong(self, name: str) -> None:
        """Count a wrong secret; those that were being checked already may take a count below 0."""
        for slot, most, per_s in self._counts(name):
            self.level[slot], self.at_s[slot] = self._level(slot, most, per_s) - 1.0, self.clock()

    def _counts(self, name: str) -> tuple[tuple[int, float, float], ...]:
        """Return what a name is counted by: slot, most at once, and how many a second."""
        slot = int.from_bytes(self.digest(name.encode())[:4], "big") % SLOTS
        return (slot, GUESSES, GUESSES_PER_S), (-1, ALL_GUESSES, ALL_GUESSES_PER_S)

    def _level(self, slot: int, most: float, per_s: float) -> float:
        """Return how many guesses a slot has left."""
        now_s = self.clock()
        return bucket_level(self.level.get(slot, most), per_s, most, now_s - self.at_s.get(slot, now_s))


@dataclass(frozen=True, slots=True)
class Known:
    """A key that was checked."""

    entry: Entry
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
        self._guesses = Guesses(clock, self._digest)
        self._stand_in = hashed(secrets.token_hex(16))  # checks an unknown name in the time of a known one
        self._known: dict[bytes, Known] = {}
        self._checks: dict[bytes, asyncio.Task[Known | None]] = {}
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
        """Return who asks; raise ``Unauthenticated``, or ``TooMany`` where there are too many guesses to check this one."""
        caller = self.caller(authorization)
        if caller is not None:
            return caller
        key, name, secret = parse_authorization(authorization)
        digest = self._digest(key.encode())
        check = self._checks.get(digest)
        if check is None:
            if len(self._checks) >= MOST_WAITING:
                msg = "too many API keys wait to be checked"
                raise TooMany(msg, retry_after_s=1.0, reason="keys")
            self._guesses.check(name)
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

    def _unless_expired(self, known: Known) -> Caller:
        """Return who a checked key names; raise ``Unauthenticated`` where it has expired."""
        if known.expires_s is not None and self._wall() >= known.expires_s:
            msg = f"this API key expired at {known.entry.expires:%Y-%m-%dT%H:%M:%SZ}"
            raise Unauthenticated(msg)
        return known.caller

    async def _check(self, name: str, secret: str, digest: bytes) -> Known | None:
        """Return what is known of a key, and remember it; None where its name is not known, its secret wrong, or it is revoked."""
        entry = self._entries.get(name)
        stored = self._stand_in if entry is None else entry.scrypt
        made = await asyncio.get_running_loop().run_in_executor(self._thread, stored.of, secret)
        right = compare_digest(made, bytes.fromhex(stored.hash))
        if entry is None or not right or entry.revoked is not None or self._entries.get(name) is not entry:
            self._guesses.was_wrong(name)
            return None
        expires_s = None if entry.expires is None else entry.expires.timestamp()
        caller = Caller(entry.tenant, entry.name, frozenset(entry.scopes), tuple(entry.classes))
        known = self._known[digest] = Known(entry, caller, expires_s)
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
            self._known = {key: known for key, known in self._known.items() if self._entries.get(known.entry.name) is known.entry}


class Everybody:
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
