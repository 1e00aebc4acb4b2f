"""Fetches vendors' public price lists: with patience, without losing what has come, in bounded memory.

A request that fails for a passing reason (no connection, 429, 5xx, a body cut midway) is sent again, later each time, or when the
server says (``Retry-After``). A large file is written to the work folder as it comes and continued where it broke off, in the same
run or the next; pages are kept there as they come for the same reason. What is six hours old begins anew.
"""

import gzip
import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from tightrope.base.errors import SourceError, UnreachableError

CHUNK_BYTES = 1024**2
MAX_DOCUMENT_BYTES = 64 * 1024**2
"""A larger answer to ``json`` or ``pages`` is refused: such lists come as files."""
KEPT_S = 6 * 3600.0
"""How long a work folder is continued; an older one begins anew."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 120.0
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
PARTIAL, RANGE_REFUSED = 206, 416
PATIENCE = urllib3.Timeout(connect=20, read=90)
REDIRECTS = urllib3.Retry(total=3, connect=0, read=0, status=0, other=0, redirect=3, respect_retry_after_header=False)
QUERY = re.compile(r"\?\S+")
"""What may be secret in the address that an error message names."""
GZIP_MAGIC = b"\x1f\x8b"
Headers: TypeAlias = Mapping[str, str]
Got = TypeVar("Got")


class FetchProgress(Protocol):
    """Hears how far a list has come: ``total`` is None where the server does not say. A wait is a label of which nothing is done."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Take ``done`` of ``total`` bytes, rows or pages."""
        ...


def silent(label: str, done: int, total: int | None) -> None:
    """Say nothing."""
    del label, done, total


def on_loopback(url: str) -> bool:
    """Return whether a URL is of this machine, as the servers of tests are."""
    return host_of(url) in {"localhost", "127.0.0.1", "::1"}


def host_of(url: str) -> str:
    r"""Return the host that a request of this URL goes to, as urllib3 reads it; empty where it is none.

    >>> host_of("https://evil.example\\@prices.example/list"), host_of("http://[::1]:8000/")
    ('evil.example', '::1')
    """
    try:
        return (urllib3.util.parse_url(url).host or "").strip("[]").lower()
    except urllib3.exceptions.LocationParseError:
        return ""


def shown(url: str) -> str:
    """Return a URL without what may be secret in it: its user, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def reshaped(where: str, got: object, expected: str) -> SourceError:
    """Return the error for a list that no longer has the shape that its reader knows."""
    msg = f"{where}: the list has another shape than known: got {str(got)[:200]!r}, expected {expected}"
    return SourceError(msg, resolve="report it with the name of the list; the prices you have stay as they are")


def is_zipped(path: Path) -> bool:
    """Return whether a file is gzip."""
    with path.open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def opened(path: Path) -> BinaryIO:
    """Return a file's content as a stream that undoes gzip as it is read."""
    return cast("BinaryIO", gzip.open(path, "rb")) if is_zipped(path) else path.open("rb")


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """A request failed for a reason that may pass."""

    def __init__(self, what: str, wait_s: float | None = None, end: SourceError | None = None) -> None:
        """Say how long to wait, if the server did, and what to raise where it does not pass at the second try."""
        super().__init__(what)
        self.wait_s, self.end = wait_s, end


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (a number or a date), None where it says nothing sensible."""
    if not value:
        return None
    try:
        return (
            max(0.0, float(value))
            if value.strip().isdigit()
            else max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        )
    except (ValueError, TypeError):
        return None


class Fetcher:
    """Fetches lists into a work folder; see the module. ``notes`` is what an importer has to tell the user."""

    def __init__(
        self, work: Path, progress: FetchProgress = silent, *, sleep: Callable[[float], None] = time.sleep, tries: int = 6
    ) -> None:
        """Keep what comes in ``work`` (made if need be); give up after ``tries`` failures in a row."""
        self.work, self.progress, self.notes = work, progress, list[str]()
        self._sleep, self._tries = sleep, tries
        self._pools: dict[str, urllib3.PoolManager] = {}
        work.mkdir(parents=True, exist_ok=True)

    def note(self, text: str) -> None:
        """Keep something that the user should be told, once."""
        if text not in self.notes:
            self.notes.append(text)

    def json(self, url: str, label: str, headers: Headers = {}) -> object:  # noqa: B006 - a Mapping is never changed
        """Return one document of at most 64 MiB, fractions as ``Decimal``; raise ``SourceError``."""
        return self._patiently(url, label, lambda: self._received(url, headers))[1]

    def pages(
        self,
        url: str,
        next_url: Callable[[object], str | None],
        label: str,
        headers: Headers = {},  # noqa: B006
    ) -> Iterator[object]:
        """Yield a list's pages, each parsed; ``next_url`` finds the next page's address in a page, None in the last.

        A page is kept on disk before the next is asked for, so a list that broke off continues where it was. Raises
        ``SourceError`` where the pages lead to another host or in a circle.
        """
        folder, here, seen = self._place(url), url, set[str]()
        folder.mkdir(exist_ok=True)
        while True:
            seen.add(here)
            yield (page := self._page(folder, here, label, headers))
            self.progress(label, len(seen), None)
            following = next_url(page)
            if following is None:
                return
            if following in seen or urlsplit(following)[:2] != urlsplit(url)[:2]:
                raise reshaped(shown(url), shown(following), "a next page of the same server, not seen before")
            here = following

    def _page(self, folder: Path, url: str, label: str, headers: Headers) -> object:
        """Return one page, from the disk if it is there."""
        kept = folder / _name(url)
        if kept.exists():
            return _parse(kept.read_bytes(), url)
        body, document = self._patiently(url, label, lambda: self._received(url, headers))
        _replace(kept, body)
        return document

    def open(self, url: str, label: str, headers: Headers = {}) -> BinaryIO:  # noqa: B006
        """Return a file's content as a stream that undoes gzip as it is read; the file is downloaded first."""
        path = self.download(url, label, headers)
        return opened(path)

    def download(self, url: str, label: str, headers: Headers = {}) -> Path:  # noqa: B006
        """Return a file as it was sent (perhaps gzip), continued where an earlier try broke off; raise ``SourceError``."""
        target = self._place(url)
        while not target.exists():
            before = _size(_part(target))
            try:
                self._patiently(url, label, lambda: self._continue(url, target, label, headers))
            except UnreachableError:
                if _size(_part(target)) <= before:
                    raise  # nothing came in all these tries; else it is a slow way, not a closed one
        return target

    def _continue(self, url: str, target: Path, label: str, headers: Headers) -> None:
        """Bring a file to its end, from where it is; raise ``_Broken`` with all kept that has come."""
        part, mark = _part(target), target.with_suffix(".mark")
        have = _size(part) if mark.exists() else 0
        onward = {"Range": f"bytes={have}-", "If-Range": mark.read_text(encoding="utf-8")} if have else {}
        with self._answer(url, {"Accept-Encoding": "gzip", **headers, **onward}) as answer:
            if answer.status != PARTIAL:
                have = 0
                _keep_mark(mark, answer.headers)
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink()
                msg = f"continued at {answer.headers.get('Content-Range')!r} instead of byte {have}"
                raise _Broken(msg)
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else None
            with part.open("ab" if have else "wb") as file:
                for chunk in answer.stream(CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    have += len(chunk)
                    self.progress(label, have, total)
        part.replace(target)

    def _received(self, url: str, headers: Headers) -> tuple[bytes, object]:
        """Return one answer's body and what it says; raise ``_Broken`` where it is no JSON, for it may have been cut."""
        body = bytearray()
        with self._answer(url, {"Accept-Encoding": "gzip", **headers}) as answer:
            for chunk in answer.stream(CHUNK_BYTES, decode_content=True):
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise reshaped(
                        shown(url), f"more than {len(body)} bytes", f"a document of at most {MAX_DOCUMENT_BYTES} bytes"
                    )
        try:
            return bytes(body), _parse(bytes(body), url)
        except ValueError as error:
            msg = f"answered what is no JSON ({error})"
            raise _Broken(msg, end=reshaped(shown(url), bytes(body[:80]), "a JSON document")) from error

    @contextmanager
    def _answer(self, url: str, headers: Headers) -> Iterator[urllib3.BaseHTTPResponse]:
        """Lend an answer whose body is to come; raise ``_Broken`` for what may pass, ``SourceError`` for what will not."""
        with closing(
            self._pool(url).request("GET", url, headers=dict(headers), preload_content=False, retries=REDIRECTS)
        ) as answer:
            if answer.status in AGAIN or answer.status == RANGE_REFUSED:
                if answer.status == RANGE_REFUSED:
                    _part(self._place(url)).unlink(missing_ok=True)
                msg = f"answered {answer.status} {answer.reason or ''}".rstrip()
                raise _Broken(msg, _retry_after_s(answer.headers.get("Retry-After")))
            if answer.status not in {200, PARTIAL}:
                raise _refused(url, answer, headers)
            yield answer

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Return the connections for a URL: by the proxy that the environment names, never for this machine itself."""
        parts = urlsplit(url)
        host, proxies = parts.hostname or "", getproxies()
        near = on_loopback(url) or bool(proxy_bypass(host))
        proxy = "" if near else proxies.get(parts.scheme, "")
        if proxy not in self._pools:
            kind = urllib3.ProxyManager(proxy, timeout=PATIENCE) if proxy else urllib3.PoolManager(timeout=PATIENCE)
            self._pools[proxy] = kind
        return self._pools[proxy]

    def _patiently(self, url: str, label: str, attempt: Callable[[], Got]) -> Got:
        """Return what ``attempt`` returns, tried again with longer and longer waits; raise ``UnreachableError`` in the end."""
        for failures in range(1, self._tries + 1):
            try:
                return attempt()
            except (_Broken, urllib3.exceptions.HTTPError, OSError) as error:
                broken = error if isinstance(error, _Broken) else _Broken(_said(error))
                asked_s = broken.wait_s
                if broken.end is not None and failures > 1:
                    raise broken.end from None
                if failures == self._tries or (asked_s or 0) > LONGEST_WAIT_S:
                    raise _unreachable(url, QUERY.sub("", str(broken)), failures, asked_s) from None
                wait_s = max(asked_s or 0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1)) * random.uniform(0.5, 1))  # noqa: S311
                self.progress(f"{label}: {QUERY.sub('', str(broken))[:100]}; again in {wait_s:.0f} s", 0, None)
                self._sleep(wait_s)
        raise AssertionError  # the last failure raised

    def _place(self, url: str) -> Path:
        """Return where a URL's content is kept."""
        return self.work / _name(url)


def _said(error: Exception) -> str:
    """Return what went wrong with a connection, without the library's own words around it."""
    cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason else error
    return str(cause).rpartition("): ")[2] or type(cause).__name__


def _name(url: str) -> str:
    """Return a file name for a URL, which may hold what is secret."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def _part(target: Path) -> Path:
    """Return the file that a download grows in."""
    return target.with_suffix(".part")


def _size(path: Path) -> int:
    """Return a file's bytes, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    _part(path).write_bytes(content)
    _part(path).replace(path)


def _keep_mark(mark: Path, headers: Headers) -> None:
    """Keep what tells whether a file is still the same (a strong ETag, or its date); without one it cannot be continued."""
    etag = headers.get("ETag", "")
    said = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    if said:
        mark.write_text(said, encoding="utf-8")
    else:
        mark.unlink(missing_ok=True)


def _parse(body: bytes, url: str) -> object:
    """Return a JSON document with fractions as ``Decimal``; raise ``ValueError`` where it is none, or holds NaN or infinity."""

    def refuse(constant: str) -> NoReturn:
        msg = f"{shown(url)} holds {constant}"
        raise ValueError(msg)

    try:
        return json.loads(body, parse_float=Decimal, parse_constant=refuse)
    except RecursionError as error:
        msg = "nested too deep"
        raise ValueError(msg) from error


def _refused(url: str, answer: urllib3.BaseHTTPResponse, headers: Headers) -> SourceError:
    """Return the error for an answer that will not change, with what the server said of it, and nothing of what was sent."""
    said = answer.read(2000, decode_content=True).decode("utf-8", "replace")
    for sent in headers.values():
        said = said.replace(sent, "…").replace(sent.rpartition(" ")[2], "…") if len(sent) > 8 else said
    msg = f"{shown(url)} answered {answer.status} {answer.reason or ''}: {' '.join(said.split())[:300]!r}"
    return SourceError(msg, resolve="check the region's name, the credentials and what they may read, and the endpoint")


def _unreachable(url: str, what: str, failures: int, asked_s: float | None) -> UnreachableError:
    """Return the error for a server that does not answer, or asks for more patience than one has."""
    wait = f", and asks to wait {asked_s:.0f} s" if asked_s else ""
    msg = f"{shown(url)}: {what}{wait} ({failures} {'try' if failures == 1 else 'tries'})"
    return UnreachableError(msg, resolve="run it again later: what has come is kept for 6 hours and continued")
