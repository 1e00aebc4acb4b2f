"""``multipart/form-data`` as it comes (RFC 7578, RFC 2046): small fields in memory, the one file handed on in pieces."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable

from tightrope.serve.refusals import Malformed

FIELD_BYTES = 4 * 1024
HEADER_BYTES = 8 * 1024
MOST_FIELDS = 16
BOUNDARY = re.compile(r"""multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
NAMED = re.compile(rb"""\b(name|filename)="((?:[^"\\]|\\.)*)\"""")
LONGEST_NAME = 255
Sink = Callable[[bytes], Awaitable[None]]


def boundary_of(content_type: str) -> bytes:
    """Return what separates the parts; raise ``Malformed`` where the type is another.

    >>> boundary_of('multipart/form-data; boundary="a b"')
    b'a b'
    """
    found = BOUNDARY.match(content_type)
    if found is None:
        message = f"expected multipart/form-data with a boundary, got Content-Type {content_type[:100]!r}"
        raise Malformed(message, parameter="file")
    return (found[1] or found[2]).encode("latin-1")


class MultipartForm:
    """The fields, and the name of the file, once all of it was read."""

    def __init__(self, boundary: bytes) -> None:
        self._end = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # so that the first boundary looks like the others
        self.fields: dict[str, str] = {}
        self.filename: str | None = None

    async def read(self, chunks: AsyncIterator[bytes], sink: Sink) -> None:
        """Read a body; hand the file's bytes to ``sink`` as they come. Raises ``Malformed``, and what ``sink`` raises."""
        await self._until(chunks, self._end, _nowhere)
        while not await self._closed(chunks):
            head = await self._gathered(chunks, b"\r\n\r\n", HEADER_BYTES, "a part's headers")
            name, filename = _names(head)
            if filename is None:
                if len(self.fields) >= MOST_FIELDS:
                    msg = f"more than {MOST_FIELDS} fields"
                    raise Malformed(msg, parameter=name[:80])
                self.fields[name] = (await self._gathered(chunks, self._end, FIELD_BYTES, name[:80])).decode(errors="replace")
            elif name != "file" or self.filename is not None:
                msg = "expected one file, in the field 'file'"
                raise Malformed(msg, parameter=name[:80])
            else:
                self.filename = filename
                await self._until(chunks, self._end, sink)

    async def _closed(self, chunks: AsyncIterator[bytes]) -> bool:
        """Return whether the boundary just read was the last; step over the end of its line."""
        while len(self._buffer) < 2:
            await self._more(chunks)
        after, self._buffer = self._buffer[:2], self._buffer[2:]
        if after not in (b"--", b"\r\n"):
            msg = "the form is broken: a boundary does not end its line"
            raise Malformed(msg, parameter="file")
        if after == b"--":
            async for _ in chunks:  # an epilogue says nothing, and is read so that the client can finish
                pass
        return after == b"--"

    async def _gathered(self, chunks: AsyncIterator[bytes], end: bytes, most: int, what: str) -> bytes:
        """Return what stands before ``end``, which is little."""
        found = bytearray()

        async def gather(piece: bytes) -> None:
            found.extend(piece)
            if len(found) > most:
                msg = f"{what}: more than {most} bytes"
                raise Malformed(msg, parameter=what)

        await self._until(chunks, end, gather)
        return bytes(found)

    async def _until(self, chunks: AsyncIterator[bytes], end: bytes, sink: Sink) -> None:
        """Hand on what stands before ``end``, and step over it."""
        while (place := self._buffer.find(end)) < 0:
            sure = len(self._buffer) - len(end) + 1  # what may be the beginning of the end is kept
            if sure > 0:
                piece, self._buffer = self._buffer[:sure], self._buffer[sure:]
                await sink(piece)
            await self._more(chunks)
        piece, self._buffer = self._buffer[:place], self._buffer[place + len(end) :]
        if piece:
            await sink(piece)

    async def _more(self, chunks: AsyncIterator[bytes]) -> None:
        chunk = await anext(chunks, None)
        if chunk is None:
            msg = "the form ends before its last boundary"
            raise Malformed(msg, parameter="file")
        self._buffer += chunk


async def _nowhere(piece: bytes) -> None:
    """Drop what stands before the first boundary, which says nothing."""


def _names(head: bytes) -> tuple[str, str | None]:
    """Return a part's field, and its file's name, None where it is no file."""
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-disposition:"):
            found = {key.decode(): value.decode(errors="replace") for key, value in NAMED.findall(line)}
            if "name" in found:
                filename = found.get("filename")
                return found["name"], None if filename is None else _clean(filename)
    msg = "a part of the form has no name"
    raise Malformed(msg, parameter="file")


def _clean(filename: str) -> str:
    r"""Return a file's name as it is kept: without folders, and of letters that can be shown.

    >>> _clean("C:\\work\\night\x00 run.jsonl"), _clean("../..")
    ('night run.jsonl', '..')
    """
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:LONGEST_NAME]
