"""A streaming reader of ``multipart/form-data`` (RFC 7578): small fields in memory, the one file passed on in pieces."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from tightrope.serve.refusals import Malformed

FIELD_BYTES = 4 * 1024
HEADER_BYTES = 4 * 1024
"""One header line of a part; a part has at most 8."""
MOST_FIELDS = 16
LONGEST_BOUNDARY = 70
LONGEST_NAME = 255
Sink = Callable[[bytes], Awaitable[None]]
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every form that it refuses


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a form's parts; raise ``Malformed`` for another type.

    >>> boundary_of('multipart/form-data; boundary="a b"')
    b'a b'
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= LONGEST_BOUNDARY:
        message = f"expected multipart/form-data with a boundary, got Content-Type {content_type[:100]!r}"
        raise Malformed(message, parameter="file")
    return boundary


class MultipartForm:
    """A form's fields and the name of its file, complete after ``read``."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._disposition: dict[bytes, bytes] = {}
        self._name, self._in_file, self._ended = "", False, False
        self._text, self._file_bytes = bytearray(), bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_header_begin": self._text.clear,
                "on_header_value": lambda data, start, end: self._text.extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_content,
                "on_part_data": self._add_content,
                "on_part_end": self._end_part,
                "on_end": self._end_form,
            },
            max_header_size=HEADER_BYTES,
        )

    async def read(self, chunks: AsyncIterator[bytes], sink: Sink) -> None:
        """Read a body and pass the file's bytes to ``sink`` as they come. Raises ``Malformed``, and the errors of ``sink``."""
        async for chunk in chunks:
            try:
                self._parser.write(chunk)
            except MultipartParseError as error:
                msg = f"the form is broken: {error}"
                raise Malformed(msg, parameter="file") from error
            if self._file_bytes:
                await sink(bytes(self._file_bytes))
                self._file_bytes.clear()
        if not self._ended:
            msg = "the form ends before its last boundary"
            raise Malformed(msg, parameter="file")

    def _end_header(self) -> None:
        """Keep the parameters of ``Content-Disposition``, the one header whose value is ``form-data``."""
        kind, options = parse_options_header(bytes(self._text))
        if kind == b"form-data":
            self._disposition = options

    def _begin_content(self) -> None:
        """Take a part's name; raise ``Malformed`` for a missing name, a second file or a field too many."""
        self._text.clear()
        options = self._disposition.copy()
        self._disposition.clear()
        name, filename = (options[key].decode(errors="replace") if key in options else None for key in (b"name", b"filename"))
        if name is None:
            msg = "a part of the form has no name"
            raise Malformed(msg, parameter="file")
        self._name, self._in_file = name, filename is not None
        if filename is not None:
            if name != "file" or self.filename is not None:
                msg = "expected one file, in the field 'file'"
                raise Malformed(msg, parameter=name[:80])
            self.filename = _clean_name(filename)
        elif len(self.fields) >= MOST_FIELDS:
            msg = f"more than {MOST_FIELDS} fields"
            raise Malformed(msg, parameter=name[:80])

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file_bytes += data[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > FIELD_BYTES:
            name = self._name[:80]
            msg = f"{name}: more than {FIELD_BYTES} bytes"
            raise Malformed(msg, parameter=name)

    def _end_part(self) -> None:
        if not self._in_file:
            self.fields[self._name] = self._text.decode(errors="replace")

    def _end_form(self) -> None:
        self._ended = True


def _clean_name(filename: str) -> str:
    r"""Return a file's name without folders and unprintable characters.

    >>> _clean_name("C:\\work\\night\x00 run.jsonl"), _clean_name("../..")
    ('night run.jsonl', '..')
    """
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:LONGEST_NAME]
