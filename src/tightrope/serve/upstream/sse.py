r"""Server-sent events, cut without losing a byte (WHATWG HTML, section 9.2, read 2026-11).

A line ends with ``\r\n``, ``\n`` or ``\r``; an empty line ends an event. Where a chunk ends within an event or an end of line, what is
there waits for the next, so that events are the same however the bytes were cut.
"""

import re

_END = re.compile(rb"(?:\r\n|\n|\r(?=[^\n])){2}")
_LINE = re.compile(rb"\r\n|\n|\r")
DONE = b"[DONE]"
"""Data of the event that ends an answer of OpenAI's."""


class Splitter:
    r"""Cuts a stream of bytes into events, each with the empty line that ends it.

    >>> splitter = Splitter(most_bytes=100)
    >>> splitter.feed(b'data: {"a"'), splitter.feed(b': 1}\r\n\r\n: a comment\n\ndata: [DO')
    ([], [b'data: {"a": 1}\r\n\r\n', b': a comment\n\n'])
    >>> splitter.rest
    b'data: [DO'
    """

    def __init__(self, most_bytes: int) -> None:
        """Begin with nothing; one event may have so many bytes."""
        self.most_bytes = most_bytes
        self._parts: list[bytes] = []
        """Bytes that came after the last event,"""
        self._size = 0
        """how many,"""
        self._seen = 0
        """and in how many of them no event ends."""

    @property
    def rest(self) -> bytes:
        """Bytes that came after the last event."""
        return b"".join(self._parts)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are whole now; raise ``ValueError`` where one is longer than may be."""
        may_end = b"\n" in chunk or b"\r" in chunk or (bool(self._parts) and self._parts[-1].endswith(b"\r"))
        if chunk:
            self._parts.append(chunk)
        self._size += len(chunk)
        events = self._cut() if may_end else []
        self._seen = max(0, self._size - 3)  # an end that is not whole has three bytes at most
        if self._size > self.most_bytes or any(len(event) > self.most_bytes for event in events):
            msg = f"an event of more than {self.most_bytes:,} bytes"
            raise ValueError(msg)
        return events

    def _cut(self) -> list[bytes]:
        """Return the events that are whole, and keep the rest."""
        data, events, start, seen = self.rest, list[bytes](), 0, self._seen
        while (end := _END.search(data, seen)) is not None:
            events.append(data[start : end.end()])
            start = seen = end.end()
        rest = data[start:] if start else data
        self._parts, self._size = [rest], len(rest)
        return events


def data_of(event: bytes) -> bytes:
    r"""Return an event's data, its lines joined; empty where it has none.

    >>> data_of(b'data: {"a": 1}\n\n'), data_of(b"event: x\r\ndata:1\r\ndata: 2\r\n\r\n"), data_of(b": comment\n\n")
    (b'{"a": 1}', b'1\n2', b'')
    """
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]  # as nearly all are
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)
