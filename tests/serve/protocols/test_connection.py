"""Connections that behave badly: each ends in a clear 4xx or is closed, and the server serves on."""

import gc
import json
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from front_door import EMBED, FakeGateway, Served, post, received, served, small
from tests.serve.certificates import certificate

from tightrope.serve.config.settings import Listen, Settings
from tightrope.serve.protocols import options as told
from tightrope.serve.protocols.connection import HEADERS, PIPELINED, GuardedProtocol
from tightrope.serve.protocols.options import KEEP_ALIVE_S, server_options

HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
LIMITS = small(header_bytes=4000, body_bytes=20_000)
BINARY = {"binary_data_output": True}
SLOW = b'{"model":"slow","input":"x"}'


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(FakeGateway(), LIMITS) as running:
        yield running
        assert answer_of(running.send(post("/v1/embeddings", EMBED)))[0] == 200
        until(lambda: not running.uvicorn.server_state.tasks)


@pytest.fixture(scope="module")
def hasty() -> Iterator[Served]:
    """Lend a server that gives its clients little time: only for tests of those that take more."""
    with served(FakeGateway(), small(read_s=0.3)) as running:
        yield running


def answer_of(data: bytes) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of one answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def send_on(connection: socket.socket, within_s: float = 20.0) -> None:
    """Send until it is no longer taken."""
    ends_s = time.monotonic() + within_s
    while time.monotonic() < ends_s:
        connection.sendall(b"x" * 100_000)


def until(condition: Any, within_s: float = 60.0) -> None:
    """Wait for what is to happen in the server's thread."""
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


# ------------------------------------------------------------------------------------------------------------------------ heads


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(HEADERS)) + b"\r\n",
        HEAD + b"X: " + b"y" * 5000 + b"\r\n\r\n",
        HEAD + b"X: " + b"y" * 300_000,
        HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
        b"POST /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X" * 300_000,
    ],
    ids=["fields", "a field", "no end", "fields without end", "a path", "a name"],
)
def test_a_head_has_limits(server: Served, sent: bytes) -> None:
    status, answer = answer_of(server.send(sent))
    assert (status, answer["error"]["code"]) == (431, "too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\nA b: c\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(server: Served, sent: bytes) -> None:
    status, answer = answer_of(server.send(sent))
    assert (status, answer["error"]["message"]) == (400, "what came is not HTTP/1.1")


def test_there_is_no_way_through(server: Served) -> None:
    assert answer_of(server.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"))[1]["error"]["message"] == "CONNECT is not taken"


def test_trailers_are_no_header_fields(server: Served) -> None:
    """Else they could say who asks, behind whatever checked the head."""
    chunk = b"%x\r\n%b\r\n" % (len(EMBED), EMBED)
    assert answer_of(server.send(CHUNKED, chunk, b"0\r\nX-Tightrope-Tag: sneaky\r\n\r\n"))[0] == 200
    assert server.gateway.asked[-1].tag == ""


def test_trailers_have_a_limit(server: Served) -> None:
    chunk = b"%x\r\n%b\r\n" % (len(EMBED), EMBED)
    for flood in (b"X: " + b"y" * 300_000, b"".join(b"X-%d: y\r\n" % number for number in range(60_000))):
        assert answer_of(server.send(CHUNKED, chunk, b"0\r\n", flood))[0] == 431


# ----------------------------------------------------------------------------------------------------------------------- bodies


def test_a_body_that_is_too_large_is_refused_by_its_length(server: Served) -> None:
    """The answer comes although the client first sends all of it, and the connection lives on."""
    with server.connect() as connection:
        connection.sendall(post("/v1/embeddings", b"x" * 30_000, close=False))
        assert b"413" in connection.recv(65536)
        connection.sendall(post("/v1/embeddings", EMBED))
        assert answer_of(received(connection))[0] == 200


def test_what_is_sent_after_a_refusal_has_a_limit(server: Served) -> None:
    head = HEAD + b"Content-Length: 100000000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head)
        assert b"413" in connection.recv(65536)
        with pytest.raises(OSError, match=r"reset|Broken pipe|aborted"):
            send_on(connection)


def test_a_body_that_is_too_large_is_refused_by_counting(server: Served) -> None:
    status, answer = answer_of(server.send(CHUNKED, *[b"4e20\r\n" + b"x" * 20_000 + b"\r\n"] * 2))
    assert (status, answer["error"]["message"]) == (413, "the body has more than the 20000 bytes that are taken")


def test_who_asks_first_is_not_told_to_go_on(server: Served) -> None:
    found = server.send(HEAD + b"Content-Length: 30000\r\nExpect: 100-continue\r\n\r\n")
    assert answer_of(found)[0] == 413
    found = server.send(HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n" % len(EMBED), EMBED)
    assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd, gzip"])
def test_compressed_bodies_are_refused(server: Served, encoding: str) -> None:
    status, answer = answer_of(server.send(post("/v1/embeddings", b"\x1f\x8b", f"Content-Encoding: {encoding}")))
    assert (status, answer["error"]["param"]) == (415, "Content-Encoding")


def test_a_body_may_come_in_small_parts(server: Served) -> None:
    parts = [b"1\r\n%b\r\n" % EMBED[at : at + 1] for at in range(len(EMBED))]
    assert answer_of(server.send(CHUNKED, *parts, b"0\r\n\r\n"))[0] == 200


# --------------------------------------------------------------------------------------------------------------------- too slow


@pytest.mark.parametrize("sent", [b"POST /v1/emb", HEAD, HEAD + b"Content-Length: 30\r\n\r\n{", CHUNKED, CHUNKED + b"5\r\n{"])
def test_a_request_must_come_whole_in_time(hasty: Served, sent: bytes) -> None:
    status, answer = answer_of(hasty.send(sent))
    assert (status, answer["error"]["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("sent", [b"", b"\r\n" * 100])
def test_a_connection_without_a_request_is_closed(hasty: Served, sent: bytes) -> None:
    assert hasty.send(sent) == b""


def test_bytes_that_trickle_in_gain_no_time(hasty: Served) -> None:
    with hasty.connect() as connection:
        for sent in range(500):
            if select.select([connection], [], [], 0.02)[0]:
                break
            connection.sendall(b"GET /"[sent : sent + 1] or b"a")
        assert b" 408 " in received(connection)


def test_a_slow_request_behind_an_answer_is_closed_too() -> None:
    with served(FakeGateway(), small(read_s=2.0)) as server, server.connect() as connection:
        connection.sendall(post("/v1/embeddings", EMBED, close=False))
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"POST /v1")
        assert answer_of(received(connection))[0] == 408


def test_who_does_not_read_is_cut_off(hasty: Served) -> None:
    """Each answer is of 4 MiB, more than the system holds for a socket that is not read."""
    body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}], "parameters": BINARY}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", hasty.port))
        connection.sendall(post("/v2/models/large/infer", body, close=False) * 4)
        until(lambda: not hasty.uvicorn.server_state.connections)


# -------------------------------------------------------------------------------------------------------------------- who goes


@pytest.mark.parametrize("half", [True, False])
def test_who_hangs_up_takes_the_request_along(server: Served, half: bool) -> None:
    """A half-closed connection cannot be told from one that is closed, and nothing is worked out for nobody."""
    gateway = server.gateway
    gateway.began.clear()
    gateway.closed.clear()
    with server.connect() as connection:
        connection.sendall(post("/v1/embeddings", SLOW, close=False))
        assert gateway.began.wait(60)
        if half:
            connection.shutdown(socket.SHUT_WR)
            assert gateway.closed.wait(60)
    assert gateway.closed.wait(60)
    assert gateway.asked[-1].gone


def test_who_hangs_up_ends_a_stream(server: Served) -> None:
    gateway = server.gateway
    gateway.began.clear()
    gateway.closed.clear()
    body = b'{"model":"slow-talker","stream":true,"messages":[{"role":"user"}]}'
    with server.connect() as connection:
        connection.sendall(post("/v1/chat/completions", body))
        assert b"text/event-stream" in connection.recv(65536)
        assert gateway.began.wait(60)
    assert gateway.closed.wait(60)
    assert gateway.asked[-1].gone


def test_who_hangs_up_while_sending_leaves_nothing(server: Served) -> None:
    for sent in (b"POST", HEAD, HEAD + b"Content-Length: 30\r\n\r\n{"):
        with server.connect() as connection:
            connection.sendall(sent)
    until(lambda: not server.uvicorn.server_state.connections)


# ------------------------------------------------------------------------------------------------------------------- pipelined


def test_a_connection_that_is_reset_is_not_kept(server: Served) -> None:
    def kept() -> int:
        gc.collect()
        return sum(
            issubclass(type(found), GuardedProtocol) for found in gc.get_objects()
        )  # of a weak proxy `isinstance` may fail

    until(lambda: not server.uvicorn.server_state.connections)
    before = kept()
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(post("/v1/embeddings", EMBED, close=False))
            assert connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
    until(lambda: not server.uvicorn.server_state.connections)
    assert kept() <= before + 2  # the newest may be in somebody's hands


def test_pipelined_requests_are_answered_in_order(server: Served) -> None:
    bodies = [json.dumps({"model": "embedder", "input": "x" * size, "encoding_format": "float"}).encode() for size in range(1, 9)]
    requests = [post("/v1/embeddings", body, close=size == 8) for size, body in enumerate(bodies, 1)]
    found = server.send(b"".join(requests))
    assert [float(part.split(b",")[0]) for part in found.split(b'"embedding":[')[1:]] == list(range(1, 9))


def test_pipelined_requests_have_a_limit(server: Served) -> None:
    """What was begun is answered, then the connection is closed."""
    found = server.send(post("/v1/embeddings", EMBED, close=False) * (2 * PIPELINED + 2))
    assert 1 <= found.count(b"HTTP/1.1 200 OK") <= PIPELINED + 1
    assert found.count(b"HTTP/1.1") == found.count(b"HTTP/1.1 200 OK")


def test_garbage_behind_a_request_does_not_spoil_its_answer(server: Served) -> None:
    found = server.send(post("/v1/embeddings", EMBED, close=False) + b"\x00garbage\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 200 OK")
    assert found.count(b"HTTP/1.1") == 1


def test_an_upgrade_is_not_made(server: Served) -> None:
    """Some clients wish for HTTP/2 with their first request, and are content with the answer."""
    for upgrade in ("h2c", "websocket"):
        with server.connect() as connection:
            connection.sendall(post("/v1/embeddings", EMBED, f"Upgrade: {upgrade}", "Connection: Upgrade", close=False))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
            connection.sendall(post("/v1/embeddings", EMBED))
            assert answer_of(received(connection))[0] == 200


# --------------------------------------------------------------------------------------------------------------------- the rest


def test_connections_have_a_limit() -> None:
    with served(FakeGateway(), small(connections=2)) as server, server.connect() as one, server.connect() as two:
        for connection in (one, two):
            connection.sendall(post("/v1/embeddings", EMBED, close=False))
            assert b"200 OK" in connection.recv(65536)
        found = server.send(post("/v1/embeddings", EMBED, close=False))
        assert answer_of(found)[0] == 429
        assert b"retry-after: 1" in found


def test_an_idle_connection_is_closed_after_its_time_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "KEEP_ALIVE_S", 0.4)
    with served(FakeGateway(), small()) as server, server.connect() as connection:
        asked_s = time.monotonic()
        connection.sendall(post("/v1/embeddings", EMBED, close=False))
        assert b"200 OK" in received(connection)
        assert time.monotonic() - asked_s > 0.35


def test_the_server_logs_no_requests_and_trusts_no_forwarding() -> None:
    options = server_options(Settings("w", (), (), (), listen=Listen("::1", 8443, None, Path("a"), Path("b"))))
    assert (options["host"], options["port"], options["ssl_certfile"], options["ssl_keyfile"]) == (
        "::1",
        8443,
        Path("a"),
        Path("b"),
    )
    assert (options["access_log"], options["proxy_headers"], options["server_header"]) == (False, False, False)
    assert options["timeout_keep_alive"] == KEEP_ALIVE_S


def test_with_a_certificate_there_is_tls_alone(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    with served(FakeGateway(), LIMITS, Listen(certificate=files[0], certificate_key=files[1])) as server:
        context = ssl.create_default_context(cafile=str(files[0]))
        with server.connect() as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(post("/v1/embeddings", EMBED))
            assert answer_of(received(connection))[0] == 200
        assert b"HTTP/1.1" not in server.send(post("/v1/embeddings", EMBED))


def test_who_is_still_waiting_at_the_end_is_told() -> None:
    gateway = FakeGateway()
    with served(gateway) as server, server.connect() as connection:
        server.uvicorn.config.timeout_graceful_shutdown = 0
        connection.sendall(post("/v1/embeddings", SLOW))
        assert gateway.began.wait(60)
        server.uvicorn.should_exit = True
        status, answer = answer_of(received(connection))
    assert (status, answer["error"]["message"]) == (503, "the server is going away")


@pytest.mark.parametrize("host", [b"[", b"", b"a b", b"\xff", b"x:99999999", b"@:/?#"])
def test_what_the_host_is_called_matters_to_nobody(server: Served, host: bytes) -> None:
    for path, status in ((b"/healthz", 200), (b"/nix", 404), (b"/v1/models/nix", 404), (b"/v2/%00%ff", 404), (b"/?%zz", 404)):
        found = server.send(b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")
        assert answer_of(found)[0] == status


def test_a_server_that_leaves_closes_each_connection_behind_its_answer(server: Served) -> None:
    server.app.leaving = True
    try:
        found = server.send(post("/v1/embeddings", EMBED, close=False))
    finally:
        server.app.leaving = False
    assert answer_of(found)[0] == 200
    assert b"connection: close" in found


def test_old_clients_are_answered_and_left(server: Served) -> None:
    found = server.send(post("/v1/embeddings", EMBED, close=False).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (answer_of(found)[0], found.count(b"connection: close")) == (200, 1)


def test_a_server_elsewhere_writes_no_headers_of_ours(server: Served) -> None:
    """Its content type is passed on, but no line of it beyond the first."""
    found = server.send(post("/v1/chat/completions", b'{"model":"splitter","messages":[{"role":"user"}]}'))
    head = found.partition(b"\r\n\r\n")[0].lower()
    assert b"content-type: text/plain??x-evil: 1" in head
    assert b"\nx-evil" not in head
