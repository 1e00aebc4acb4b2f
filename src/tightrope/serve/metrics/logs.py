"""Logs: one JSON object a line on stderr, written by a thread of its own so that a full pipe holds no request up.

Fields: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``request`` where it is about one, what else was given as ``extra``,
``exception``; ``repeated`` counts the lines like it that were left out before it. No prompt and no key is ever in them (``redact``).
"""

import logging
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO, TypeAlias

import msgspec

from tightrope.serve.metrics.redaction import redacted
from tightrope.serve.records import Call

MOST_LETTERS = 4000
"""Of a message; of an exception twice as many, its end."""
MOST_WAITING = 10_000
"""Lines that wait to be written; further ones are dropped and counted."""
SAME = 5
"""Lines of one kind that are written within ``SAME_S`` seconds."""
SAME_S = 10.0
MOST_KINDS = 1000
KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What a record has without ``extra``."""
FAILED = "request failed"
log = logging.getLogger("tightrope.serve")


@dataclass(slots=True)
class LineCount:
    """Lines of one kind in the seconds that run."""

    since_s: float
    written: int = 0
    left_out: int = 0


Kind: TypeAlias = tuple[str, int, str, object]
"""Logger, level, message, and the code of what went wrong."""


class Repeats:
    """Lets the first lines of a kind through, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Have seen nothing."""
        self._clock = clock
        self._seen: dict[Kind, LineCount] = {}

    def pass_on(self, record: logging.LogRecord) -> int | None:
        """Return how many lines like it were left out before it; None where it is to be left out itself."""
        kind: Kind = (record.name, record.levelno, str(record.msg)[:200], getattr(record, "code", None))
        now_s = self._clock()
        seen = self._seen.get(kind)
        if seen is None or now_s - seen.since_s >= SAME_S:
            if len(self._seen) >= MOST_KINDS:
                self._seen.clear()
            left_out = seen.left_out if seen else 0
            self._seen[kind] = LineCount(now_s, 1)
            return left_out
        if seen.written >= SAME:
            seen.left_out += 1
            return None
        seen.written += 1
        return 0

    def leaves_out(self, kind: Kind) -> bool:
        """Return whether a line of this kind would be left out, and count it as such: no record need be made of it."""
        seen = self._seen.get(kind)
        if seen is None or seen.written < SAME or self._clock() - seen.since_s >= SAME_S:
            return False
        seen.left_out += 1
        return True


class JsonLines(logging.Handler):
    """Writes records to a stream as JSON lines."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to write."""
        super().__init__()
        self._stream, self.repeats, self._dropped = stream, Repeats(clock), 0
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._writer = threading.Thread(target=self._write, name="logs", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:  # pyrefly: ignore[missing-override-decorator] - it is not in 3.11
        """Take a record."""
        try:
            repeated = self.repeats.pass_on(record)
            if repeated is None:
                return
            line = encoded(record, repeated, self._dropped)
            self._waiting.put_nowait(line)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1
        except Exception:  # noqa: BLE001 - as every handler does: a defect in a log line stops nothing
            self.handleError(record)

    def close(self) -> None:  # pyrefly: ignore[missing-override-decorator] - as above
        """Write what waits, within two seconds, and end."""
        if self._writer.is_alive():
            try:
                self._waiting.put(None, timeout=1.0)
                self._writer.join(timeout=1.0)
            except queue.Full:
                pass
        super().close()

    def _write(self) -> None:
        """Write lines until there is a None."""
        while (line := self._waiting.get()) is not None:
            try:
                self._stream.write(line)
                if self._waiting.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # nobody reads, or it is closed: there is nowhere to say so
                continue


def encoded(record: logging.LogRecord, repeated: int = 0, dropped: int = 0) -> str:
    """Return a record as a line."""
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": redacted(record.getMessage()[:MOST_LETTERS]),
    }
    for name, value in vars(record).items():
        if name not in KNOWN:
            fields[name] = _plain(name, value)
    if record.exc_info and record.exc_info[0]:
        fields["exception"] = redacted("".join(traceback.format_exception(*record.exc_info))[-2 * MOST_LETTERS :])
    fields |= {name: count for name, count in (("repeated", repeated), ("dropped", dropped)) if count}
    return f"{msgspec.json.encode(fields).decode()}\n"


def _plain(name: str, value: object) -> object:
    """Return a field's value: numbers as they are, all else as text without keys."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(str(value)[:MOST_LETTERS], identities=name in {"request", "trace"})


def begin_logs(level: str = "info", stream: TextIO | None = None) -> Callable[[], None]:
    """Send all logs of this process to ``stream`` (stderr) from ``level`` on, other programs' parts from warnings on.

    Return what writes the last lines, and puts everything back as it was.
    """
    root, ours = logging.getLogger(), logging.getLogger("tightrope")
    before = root.handlers[:], root.level, ours.level
    handler = JsonLines(stream or sys.stderr)
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    ours.setLevel(level.upper())

    def end() -> None:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        ours.setLevel(before[2])
        handler.close()

    return end


def log_failure(call: Call, *, status: int, code: str, message: str, now_s: float, pool: str = "") -> None:
    """Write the one line of a request that failed: a warning where the fault is here or behind, for one's information where it is not."""
    level = logging.WARNING if status >= 500 else logging.INFO
    if log.isEnabledFor(level) and not _leaves_out((log.name, level, FAILED, code)):
        about = {
            "request": call.identity,
            "tenant": call.caller.tenant,
            "class": call.traffic_class,
            "model": call.model,
            "pool": pool,
            "status": status,
            "code": code,
            "reason": message,
            "ms": round(1000.0 * (now_s - call.arrived_s), 1),
        }
        log.log(level, FAILED, extra={name: value for name, value in about.items() if value != ""})


def _leaves_out(kind: Kind) -> bool:
    """Return whether nobody would write a line: where much is turned away, making it took longer than the refusal."""
    handlers = logging.getLogger().handlers
    return len(handlers) == 1 and isinstance(handlers[0], JsonLines) and handlers[0].repeats.leaves_out(kind)
