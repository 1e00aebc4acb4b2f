"""A server on the loopback that speaks as vendors' price servers do: pages, gzip, ranges, throttling, cut connections."""

import gzip
import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


Body: TypeAlias = bytes | str | Iterable[bytes]
Answer: TypeAlias = Body | tuple[int, Mapping[str, str], Body]


@dataclass(frozen=True, slots=True)
class Route:
    """How one path is answered."""

    content: Answer | Callable[[Request], Answer]
    gzip: bool
    etag: bool
    ranges: bool


@dataclass
class Loopback:
    """The server: say what it serves, then ask it; ``requests`` is what was asked (path with query)."""

    routes: dict[str, Route] = field(default_factory=dict)
    failures: dict[str, list[tuple[int, str | None]]] = field(default_factory=lambda: defaultdict(list))
    cuts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    requests: list[str] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(
        self,
        path: str,
        content: Answer | Callable[[Request], Answer],
        *,
        gzip: bool = False,
        etag: bool = True,
        ranges: bool = True,
    ) -> None:
        """Answer ``path`` with bytes, with (status, headers, bytes), or with what a function of the request returns.

        An iterable of bytes is sent in chunks as it comes, without ranges.
        """
        self.routes[path] = Route(content, gzip, etag, ranges)

    def fail(self, path: str, *statuses: int, retry_after: str | None = None) -> None:
        """Answer the next requests of ``path`` with these statuses."""
        self.failures[path] += [(status, retry_after) for status in statuses]

    def cut(self, path: str, *after_bytes: int) -> None:
        """Cut the connection after so many bytes of the next answers of ``path``."""
        self.cuts[path] += after_bytes

    def __enter__(self) -> Self:
        """Begin to serve on a free port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"loopback": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *args: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answer_of(route: Route, request: Request) -> tuple[int, dict[str, str], Body]:
    """Return status, headers and body for a request."""
    content: Any = route.content(request) if callable(route.content) else route.content
    status, headers, body = content if isinstance(content, tuple) else (200, {}, content)
    body = body.encode() if isinstance(body, str) else body
    headers = dict(headers)
    if not isinstance(body, bytes):
        return status, headers, body
    if route.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    if route.etag and status == 200:
        headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return in_range(route, request, headers, body) if status == 200 else (status, headers, body)


def in_range(route: Route, request: Request, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return the part that a ``Range`` asks for, if the content is still the one that ``If-Range`` names."""
    asked = request.headers.get("Range", "")
    if not (route.ranges and asked) or request.headers.get("If-Range") not in {None, headers.get("ETag")}:
        return 200, headers, body
    start = int(asked.removeprefix("bytes=").partition("-")[0])
    if start >= len(body):
        return 416, headers | {"Content-Range": f"bytes */{len(body)}"}, b""
    return 206, headers | {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, body[start:]


class Handler(BaseHTTPRequestHandler):
    """Answers one connection for a ``Loopback``."""

    loopback: Loopback
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for an acknowledgement

    def do_GET(self) -> None:
        """Answer as the route, its failures and its cuts say."""
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), self.rfile.read(length)
        )
        with self.loopback.lock:
            self.loopback.requests.append(self.path)
            self.loopback.seen.append(request)
            failure = self.loopback.failures[parts.path].pop(0) if self.loopback.failures[parts.path] else None
            cut = self.loopback.cuts[parts.path].pop(0) if self.loopback.cuts[parts.path] and not failure else None
        if failure:
            status, wait = failure
            self.send(status, {"Retry-After": wait} if wait is not None else {}, b"not now", None)
        elif parts.path not in self.loopback.routes:
            self.send(404, {}, b"no such list", None)
        else:
            self.send(*answer_of(self.loopback.routes[parts.path], request), cut)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the names that http.server asks for

    def send(self, status: int, headers: Mapping[str, str], body: Body, cut: int | None) -> None:
        """Send an answer, all of it or ``cut`` bytes; the connection then ends."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if isinstance(body, bytes):
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if cut is None else body[:cut])
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.send_chunks(body, cut)
        if cut is not None:
            self.close_connection = True

    def send_chunks(self, body: Body, cut: int | None) -> None:
        """Send an iterable as chunks, as far as ``cut``."""
        sent = 0
        for chunk in body:
            data = chunk if isinstance(chunk, bytes) else str(chunk).encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            sent += len(data)
            if cut is not None and sent >= cut:
                return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Say nothing."""
