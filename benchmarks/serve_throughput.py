"""MiniLM in int8 behind HTTP: answers a second of ours beside a bare loop of the same work, and beside each peer, in turns."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.clients import Closed, closed_loop
from benchmarks.serving import (
    FASTAPI,
    PEER_SERVERS,
    Bare,
    Bodies,
    Peer,
    Running,
    cache_hits,
    minilm_model,
    model_folder,
    ours_running,
    peer_running,
)
from tightrope.base.errors import UnreachableError

NAME = "serve-throughput"
DOC = (
    "answers a second of the gateway, MiniLM-L6 int8, beside a bare loop of tokenise + onnxruntime and beside peers; target 0.85"
)
TARGET = "0.85 of the bare loop; 1.4 × the best of LitServe, BentoML and Ray Serve; p95 below FastAPI's"
TURNS, PEER_TURNS, SECONDS = 6, 3, 3
"""Turns with the bare loop and with each peer, and how long each takes."""
IN_FLIGHT = 32
PROMISE_MS = 5000.0
"""So much that nobody is turned away: how that goes is for ``serve-overload``."""
MOST_PER_S = 2000
"""Bodies are made for so many requests a second."""


def run() -> dict:
    """Return our rate beside the bare loop's; the peers' in detail."""
    folder = model_folder()
    bodies = Bodies.of(folder)
    with ours_running(minilm_model(folder), PROMISE_MS) as ours:
        load(ours, bodies)
        with Bare(folder) as bare:
            turns = [(load(ours, bodies), bare.work(SECONDS)) for _ in range(TURNS)]
        peers = {peer.name: beside(peer, ours, bodies, folder) for peer in PEER_SERVERS}
        memory, hits = ours.memory, cache_hits(ours)
    per_s, bare_per_s = (
        statistics.median(values) for values in zip(*((one.per_s, alone[0]) for one, alone in turns), strict=True)
    )
    cpu_s, bare_cpu_s = (min(values) for values in zip(*((one.cpu_s, alone[1]) for one, alone in turns), strict=True))
    batching = [found["ours_over_it"] for name, found in peers.items() if name != FASTAPI.name and "ours_over_it" in found]
    return {
        "name": NAME,
        "value": per_s,
        "unit": "answers/s",
        "peer": "bare loops with one thread on each core, batches of 8 in order of length",
        "peer_value": bare_per_s,
        "ratio": per_s / bare_per_s,
        "detail": {
            "target": TARGET,
            "over_best_peer": min(batching, default=None),
            "ours": figures([one for one, _ in turns], memory),
            "cache_hits": hits,
            "turns_per_s": [[round(one.per_s), round(alone[0])] for one, alone in turns],
            "cpu_ms": [round(1e3 * cpu_s, 3), round(1e3 * bare_cpu_s, 3)],
            "peers": peers,
        },
    }


@dataclass(frozen=True, slots=True)
class Turn(Closed):
    """What a closed loop saw, and processor seconds of the server for a request."""

    cpu_s: float


def load(server: Running, bodies: Bodies) -> Turn:
    """Return what a closed loop sees, no text of which was asked before."""
    asked, before_s = bodies.more(MOST_PER_S * SECONDS, server.form), server.cpu_s
    seen = closed_loop(server.target, asked, SECONDS, IN_FLIGHT)
    return Turn(**asdict(seen), cpu_s=(server.cpu_s - before_s) / max(1, seen.requests))


def beside(peer: Peer, ours: Running, bodies: Bodies, folder: Path) -> dict:
    """Return a peer's figures, ours from turns with it, or why it does not run."""
    try:
        with peer_running(peer, folder) as server:
            load(server, bodies)
            turns = [(load(server, bodies), load(ours, bodies)) for _ in range(PEER_TURNS)]
            memory = server.memory
    except UnreachableError as error:
        return {"did_not_run": str(error)}
    theirs, mine = ([turn[side] for turn in turns] for side in (0, 1))
    found = figures(theirs, memory)
    return found | {
        "ours_per_s": figures(mine, memory)["per_s"],
        "ours_p95_ms": figures(mine, memory)["p95_ms"],
        "ours_over_it": round(statistics.median(one.per_s for one in mine) / statistics.median(one.per_s for one in theirs), 2),
    }


def figures(seen: Sequence[Turn], memory: tuple[float, int]) -> dict:
    """Return the medians of several turns, and what the server takes."""
    mib, processes = memory
    return {
        "per_s": round(statistics.median(one.per_s for one in seen), 1),
        "p50_ms": round(statistics.median(one.p50_ms for one in seen), 1),
        "p95_ms": round(statistics.median(one.p95_ms for one in seen), 1),
        "failed": sum(one.failed for one in seen),
        "cpu_ms": round(1e3 * min(one.cpu_s for one in seen), 2),
        "mib": round(mib),
        "processes": processes,
    }
