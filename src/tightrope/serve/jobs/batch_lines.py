"""Lines of files: those of a batch's input file, read and checked, and those of its output and error file, written.

The shapes are those of OpenAI's batch API (its guide and reference, read 2026-11): an item that was answered with a success goes to the
output file; one that was answered otherwise goes to the error file with that answer; one that was not answered, with an ``error``.
"""

import re
from collections.abc import Sequence
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from tightrope.serve.jobs.records import BatchItem, ItemResult, LineError, TokenCounts

MOST_ERRORS = 50
"""Errors of one file that are told; reading stops there."""
MOST_ID = 512
WINDOW = re.compile(r"([1-9]\d{0,5})(m|h|d)", re.ASCII)
WINDOW_S = {"m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 30 * 86_400
EXPIRED = "This request could not be executed before the completion window expired."
CANCELLED = "This batch was cancelled before this request was executed."

T = TypeVar("T")
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class _Line(msgspec.Struct):
    """What a line must have."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _Body(msgspec.Struct):
    """What is looked at of a request before its turn."""

    model: str
    stream: bool | None = None


class _Details(msgspec.Struct):
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class _UsageTokens(msgspec.Struct):
    """What answers of chats, embeddings and classifications say of their tokens."""

    prompt_tokens: Count
    completion_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _AnswerUsage(msgspec.Struct):
    """What is looked at of an answer."""

    usage: _UsageTokens | None = None


def window_s(text: str) -> float | None:
    """Return the seconds of a completion window, one minute to thirty days; None where it is none.

    >>> window_s("24h"), window_s("90m"), window_s("soon"), window_s("31d")
    (86400.0, 5400.0, None, None)
    """
    found = WINDOW.fullmatch(text)
    seconds = int(found[1]) * WINDOW_S[found[2]] if found else LONGEST_S + 1
    return float(seconds) if seconds <= LONGEST_S else None


# ------------------------------------------------------------------------------------------------------------------ input


class InputReader:
    """Reads an input file as it comes; ``errors`` is what is wrong with it, ``total`` the items so far."""

    def __init__(self, endpoint: str, line_bytes: int, most_lines: int) -> None:
        self._endpoint, self._line_bytes, self._most_lines = endpoint, line_bytes, most_lines
        self._rest, self._start, self._line = b"", 0, 0
        self.errors: list[LineError] = []
        self.total = 0

    @property
    def stopped(self) -> bool:
        """Whether there is no use in reading on."""
        return len(self.errors) >= MOST_ERRORS or self.total > self._most_lines or len(self._rest) > self._line_bytes

    def feed(self, page: bytes) -> list[BatchItem]:
        """Take more of the file; return the items that are whole and right."""
        *lines, self._rest = (self._rest + page).split(b"\n")
        items = [item for line in lines if (item := self._read(line, 1)) is not None]
        if len(self._rest) > self._line_bytes:
            self._too_long(self._line + 1)
        return items

    def end(self) -> list[BatchItem]:
        """Return the item of the last line, where no newline ends it."""
        item = None if self.stopped else self._read(self._rest, 0)
        if not self.total and not self.errors:
            self.errors.append(LineError("empty_file", "The input file has no requests."))
        return [] if item is None else [item]

    def doubled(self, items: Sequence[BatchItem]) -> None:
        """Note items whose ``custom_id`` an earlier line has."""
        self.errors += [
            LineError(
                "duplicate_custom_id",
                f"The custom_id {_short(item.custom_id)} is that of an earlier line too.",
                item.line,
                "custom_id",
            )
            for item in items
        ]

    def _read(self, text: bytes, newline: int) -> BatchItem | None:
        self._line += 1
        start, self._start = self._start, self._start + len(text) + newline
        if not text.strip() or self.stopped:
            return None
        self.total += 1
        if self.total > self._most_lines:
            message = f"The input file has more than {self._most_lines:,} requests."
            self.errors.append(LineError("too_many_requests", message, self._line))
            return None
        if len(text) > self._line_bytes:
            self._too_long(self._line)
            return None
        try:
            return BatchItem(self._line, read_line(text, self._endpoint)[0], start, len(text))
        except _Wrong as wrong:
            self.errors.append(LineError(wrong.code, wrong.message, self._line, wrong.param))
        return None

    def _too_long(self, line: int) -> None:
        message = f"The line has more than {self._line_bytes:,} bytes."
        self.errors.append(LineError("line_too_long", message, line))


class _Wrong(Exception):  # noqa: N818 - of the client
    """A line that is not as it must be."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        self.code, self.message, self.param = code, message, param
        super().__init__(message)


def read_line(text: bytes, endpoint: str) -> tuple[str, bytes]:
    """Return ``custom_id`` and body of a line; raise what is wrong with it, with the field."""
    line = _decoded(text, _Line, "")
    if not 0 < len(line.custom_id) <= MOST_ID or not line.custom_id.isprintable():
        message = f"custom_id must be 1 to {MOST_ID} printable letters, got {_short(line.custom_id)}."
        msg = "invalid_custom_id"
        raise _Wrong(msg, message, "custom_id")
    if line.method != "POST":
        msg = "invalid_method"
        raise _Wrong(msg, f"method must be 'POST', got {_short(line.method)}.", "method")
    if line.url != endpoint:
        msg = "invalid_url"
        raise _Wrong(msg, f"url must be the batch's endpoint {endpoint!r}, got {_short(line.url)}.", "url")
    body = bytes(line.body)
    if _decoded(body, _Body, "body").stream:
        msg = "invalid_request"
        raise _Wrong(msg, "A request of a batch cannot be streamed: leave body.stream out.", "body.stream")
    return line.custom_id, body


def _decoded(text: bytes, kind: type[T], within: str) -> T:
    """Return ``text`` as what it must be; raise what is wrong, in the words of the client's JSON."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        missing = re.search(r"missing required field `(\w+)`", said)
        names = [within, *path.strip("`").split("."), missing[1] if missing else ""]
        param = ".".join(name for name in names if name) or None
        code = "missing_required_parameter" if missing else "invalid_type"
        message = f"{param} is missing." if missing else f"{param or 'The line'}: {said[:1].lower()}{said[1:]}."
        raise _Wrong(code, message, param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = "invalid_json_line"
        raise _Wrong(msg, f"The {within or 'line'} is not valid JSON: {error}.", within or None) from None


def _short(text: str) -> str:
    """Return a client's text as it is said back: not all of it where it is long."""
    return repr(text if len(text) <= 80 else f"{text[:80]}…")


# ----------------------------------------------------------------------------------------------------------------- output


def answered(batch_id: str, item: BatchItem, status: int, body: bytes, request_id: str) -> ItemResult:
    """Return the line of an item that was answered, whatever the status."""
    try:
        packed = msgspec.json.format(body, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        text = body[:1000].decode(errors="replace")
        packed = msgspec.json.encode({"error": {"message": text, "type": "server_error", "param": None, "code": None}})
    response = {"status_code": status, "request_id": request_id, "body": msgspec.Raw(packed)}
    return ItemResult(item.line, 200 <= status < 300, _line(batch_id, item, response, None), tokens_of(packed))


def tokens_of(body: bytes) -> TokenCounts | None:
    """Return the tokens that an answer says it took; None where it does not say, or says what cannot be.

    >>> tokens_of(b'{"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}}}')
    TokenCounts(input=9, cached=8, output=3, reasoning=0)
    >>> tokens_of(b'{"data": []}'), tokens_of(b'{"usage": {"prompt_tokens": -1}}')
    (None, None)
    """
    try:
        said = msgspec.json.decode(body, type=_AnswerUsage).usage
    except (msgspec.DecodeError, RecursionError):
        return None
    if said is None:
        return None
    before, after = said.prompt_tokens_details or _Details(), said.completion_tokens_details or _Details()
    return TokenCounts(said.prompt_tokens, before.cached_tokens or 0, said.completion_tokens or 0, after.reasoning_tokens or 0)


def unanswered(batch_id: str, item: BatchItem, cancelled: bool) -> ItemResult:
    """Return the line of an item that was not answered: its batch was cancelled, or has expired."""
    code, message = ("batch_cancelled", CANCELLED) if cancelled else ("batch_expired", EXPIRED)
    if item.last_status is not None:
        message += f" It was tried {item.tries} times; the last answer was {item.last_status}."
    return ItemResult(item.line, answered=False, bytes=_line(batch_id, item, None, {"code": code, "message": message}))


def _line(batch_id: str, item: BatchItem, response: object, error: object) -> bytes:
    identity = f"batch_req_{batch_id.removeprefix('batch_')}_{item.line}"
    return msgspec.json.encode({"id": identity, "custom_id": item.custom_id, "response": response, "error": error}) + b"\n"
