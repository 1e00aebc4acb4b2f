"""Memory over a million requests: texts that never come again, and among them errors of all kinds and clients that hang up."""

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clients import closed_loop, written
from benchmarks.serve_noop import new_key
from benchmarks.serving import NOOP, Running, ours_running

NAME = "serve-memory"
DOC = "the gateway's memory after a million requests beside that after 100,000; target 1.1"
TARGET = 1.1
MARKS = (100_000, 500_000, 1_000_000)
SECONDS, IN_FLIGHT, MOST_PER_S = 5, 64, 25_000
KEPT = 20_000
"""Answers in the cache: it is full before the first mark."""
HUNG_UP = 500
"""Clients that hang up in each round: half of them amid their request, half before the answer."""
WRONG = (
    '{"model": "m"}',
    '{"model": "m", "input": ',
    '{"model": "no-%d", "input": "x"}',
    '{"model": "m", "input": "x", "dimensions": 9}',
)
"""One request in fifty is one of these: a field missing, no JSON, no such model, vectors that the model has not."""


def run() -> dict:
    """Return MiB after a million requests beside MiB after 100,000, and the slope from half a million on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        headers = (("authorization", f"Bearer {new_key(path)}"),)
        with ours_running(NOOP, entries=KEPT, more=f"keys: {path}", headers=headers) as server:
            seen = list(readings(server))
    first, half, last = (next(one for one in seen if one[0] >= mark) for mark in MARKS)
    return {
        "name": NAME,
        "value": last[1],
        "unit": "MiB",
        "peer": f"after {first[0]:,} requests",
        "peer_value": first[1],
        "ratio": last[1] / first[1],
        "detail": {
            "target": TARGET,
            "bytes_a_request": round((last[1] - half[1]) * 2**20 / (last[0] - half[0]), 2),
            "mib": {f"{count:,}": round(mib, 1) for count, mib, _ in seen},
            "errors": sum(failed for _, _, failed in seen),
        },
    }


def readings(server: Running) -> Iterator[tuple[int, float, int]]:
    """Yield requests so far, MiB, and errors in the round before, until the last mark is passed."""
    count = made = 0
    while count < MARKS[-1]:
        bodies = [body(number) for number in range(made, made + SECONDS * MOST_PER_S)]
        made += len(bodies)
        hang_up(server, made)
        seen = closed_loop(server.target, bodies, SECONDS, IN_FLIGHT)
        count += seen.requests + HUNG_UP
        yield count, server.memory[0], seen.failed


def body(number: int) -> str:
    """Return the body of one request."""
    if number % 50:
        return json.dumps({"model": "m", "input": f"text {number} of many"})
    wrong = WRONG[number // 50 % len(WRONG)]
    return wrong % number if "%d" in wrong else wrong


def hang_up(server: Running, number: int) -> None:
    """Ask as clients do that do not wait."""
    for place in range(HUNG_UP):
        request = written(server.target, body(50 * (number + place) + 1))
        with socket.create_connection(("127.0.0.1", server.target.port), timeout=10) as client:
            client.sendall(request if place % 2 else request[:-5])
