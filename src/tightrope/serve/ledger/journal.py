"""The lines themselves: one file an hour and gateway, added to before an answer goes, whole again after a kill.

``FOLDER/GATEWAY/2026-10-31T14.jsonl`` is added to while that hour lasts and becomes ``….parquet`` after it (``compaction.py``). A line is
handed to the kernel at once, so that a killed process loses none; a thread calls ``sync`` every second, so that a machine that loses
its power loses no more than that.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

import msgspec
from msgspec import Struct

from tightrope.base.errors import InputError, Where
from tightrope.serve.ledger.meter import SECOND

HOUR = 3600 * SECOND
PATIENCE_S = 120.0
LOCK = "lock"
TRIES = 100
"""To enter a folder that others remove at the same time."""
PACKING = b"p"
"""In the file of the lock, while it is another gateway's that packs."""
MOST_HELD_BYTES = 16 * 2**20
"""Of lines that the disk does not take: so long answers go on, then they stop, since what they cost would be lost."""
LOG = logging.getLogger(__name__)


def hour_name(at_ns: int) -> str:
    """Return an hour's name in UTC.

    >>> hour_name(1_793_455_200 * 10**9)
    '2026-10-31T14'
    """
    return datetime.fromtimestamp(at_ns // HOUR * 3600, UTC).strftime("%Y-%m-%dT%H")


def utc(at_ns: int) -> str:
    """Return an instant as people write it.

    >>> utc(1_792_584_000 * 10**9)
    '2026-10-21T12:00:00Z'
    """
    return datetime.fromtimestamp(at_ns // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def safe_name(gateway: str) -> str:
    """Return a gateway's name as that of a folder.

    >>> safe_name("pod-7.eu/1")
    'pod-7-eu-1'
    """
    return re.sub(r"[^A-Za-z0-9_-]", "-", gateway) or "gateway"


class Journal:
    """Appends lines with a sequence that grows by one, of one gateway, which alone may write there."""

    def __init__(self, folder: Path) -> None:
        """Open the gateway's folder; raise ``InputError`` where another process writes to it or this one may not."""
        self.folder = folder
        self.seq = 0
        """Of the last line."""
        self.lock = RLock()
        """Held by whoever appends."""
        self.hour = ""
        self.offset = 0
        """Bytes of the hour's file."""
        self._hour_ends = 0
        self._fd = -1
        self._ended: list[int] = []  # files of hours that ended, which the disk may not have yet
        self._held = bytearray()
        self._encode = msgspec.json.Encoder().encode
        try:
            claim = entered(folder)
        except OSError as error:
            raise unwritable(folder, error) from error
        if claim is None:
            what = "another gateway on this machine writes this part of the ledger, which goes by the host's name"
            raise InputError(what, resolve="end the other one, or name another folder as `ledger:`", where=Where(folder))
        self._claim = claim

    @property
    def held(self) -> int:
        """Bytes that the disk has not taken yet: 0 unless it is full or failing."""
        return len(self._held)

    @property
    def is_full(self) -> bool:
        """Whether so much is held that nothing more may be answered."""
        return len(self._held) > MOST_HELD_BYTES

    def append(self, at_ns: int, rows: Sequence[Struct]) -> None:
        """Write rows with their numbers, all in one go; the caller holds ``lock``.

        What the disk does not take is held, and tried again with each ``sync``. Raises ``InputError`` where it never took any.
        """
        lines = b""
        another = not self._hour_ends - 2 * HOUR <= at_ns < self._hour_ends  # the clock may have been set back
        if another and not self._held:  # a line is never cut in two by the end of an hour
            try:
                lines = self._turn(at_ns)
            except OSError as error:
                if self._fd < 0:
                    raise unwritable(self.folder, error) from error
        for row in rows:
            self.seq += 1
            row.seq = self.seq  # type: ignore[attr-defined] - each kind of row has one
            lines += self._encode(row) + b"\n"
        if self._held:
            self._held += lines
        else:
            self._held += lines[self._write(lines) :]

    def _write(self, lines: bytes | bytearray) -> int:
        """Hand lines to the kernel; return how many bytes it took."""
        try:
            taken = os.write(self._fd, lines)
        except OSError:
            return 0
        self.offset += taken
        return taken

    def _turn(self, at_ns: int) -> bytes:
        """Go on to the file of the hour; return the end of a line that a kill has torn there. Raises ``OSError``."""
        hour = hour_name(at_ns)
        fd = os.open(self.folder / f"{hour}.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if self._fd >= 0:
            self._ended.append(self._fd)
        self._fd, self.hour, self._hour_ends = fd, hour, (at_ns // HOUR + 1) * HOUR
        self.offset = os.fstat(fd).st_size
        return b"\n" if self.offset and os.pread(fd, 1, self.offset - 1) != b"\n" else b""

    def sync(self) -> None:
        """Wait until the disk has all that was appended; not on the event loop."""
        with contextlib.ExitStack() as closing:
            with self.lock:
                if self._held:
                    del self._held[: self._write(self._held)]
                files = [*self._ended, os.dup(self._fd)]
                self._ended.clear()
            for fd in files:
                closing.callback(os.close, fd)
            for fd in files:
                os.fsync(fd)

    def close(self) -> None:
        """Let go of the folder; what the disk does not take now is lost, and that is said."""
        self.sync()
        if self._held:
            LOG.error(
                "the disk did not take %d lines of the ledger in %s: what they say is lost", self._held.count(b"\n"), self.folder
            )
        with self.lock:
            os.close(self._fd)
            self._fd = -1  # nothing that comes later is written into another's file
        os.close(self._claim)


def unwritable(folder: Path, error: OSError) -> InputError:
    """Return the error for a folder that the disk does not let us write to."""
    what = f"the ledger cannot be written: {error.strerror}"
    return InputError(what, resolve="give ledger: a folder you may write to", where=Where(folder))


def is_first(folder: Path, identity: str) -> bool:
    """Return whether nobody has asked this before, in any gateway; where the disk does not say: rather twice than never."""
    mark = folder / hashlib.sha256(identity.encode()).hexdigest()[:32]
    try:
        folder.mkdir(exist_ok=True)
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError as error:
        LOG.warning("%s cannot be written: %s", mark, error.strerror)
    return True


def entered(folder: Path) -> int | None:
    """Return the lock of a gateway's folder, which is this process's until it is closed; None where it is another's.

    Another gateway may just remove the folder, since nothing was left in it: then it is made anew. Raises ``OSError``.
    """
    for last in range(1 - TRIES, 1):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            if not last:
                raise
            continue
        if not claimed(fd, PATIENCE_S):
            os.close(fd)
            return None
        if is_at(fd, folder / LOCK):
            return fd
        os.close(fd)
    return None


def is_at(fd: int, path: Path) -> bool:
    """Return whether an open file is what is at a path: it was not removed since it was opened."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def claimed(fd: int, patience_s: float = 0.0) -> bool:
    """Return whether the lock of a gateway's folder is this process's now; it is until the file is closed.

    While another gateway packs there, which it does only where nobody writes, it waits this long; who does not say so at a second look
    either, writes.
    """
    until, looked = time.monotonic() + patience_s, False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            writes = os.pread(fd, 1, 0) != PACKING
            if (writes and looked) or time.monotonic() > until:
                return False
            looked = writes
            time.sleep(0.05)
        else:
            os.ftruncate(fd, 0)
            return True


@contextlib.contextmanager
def visiting(folder: Path) -> Iterator[bool]:
    """Claim the folder of another gateway, which is to be gone; yield whether it is. A folder that is removed by then is not."""
    try:
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        if gone := claimed(fd) and is_at(fd, folder / LOCK):
            os.pwrite(fd, PACKING, 0)  # it stays: who gets the lock next takes it out
        yield gone
    finally:
        os.close(fd)
