"""The whole path with a model that does nothing, asked by wrk with one thread; every text is new, and cache, meter and ledger are on."""

import statistics
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.clients import Closed, closed_loop
from benchmarks.processes import TIGHTROPE
from benchmarks.serving import LITSERVE, NOOP, Bodies, Running, cache_hits, ours_running, peer_running
from tightrope.base.errors import UnreachableError

NAME = "serve-noop"
DOC = "requests a second through the whole gateway with a no-op model, keys and cache on, beside LitServe's; target 10,000"
TARGET_PER_S = 10_000
TURNS, SECONDS, IN_FLIGHT = 7, 3, 64
MOST_PER_S = 30_000


def run() -> dict:
    """Return the rate with keys beside LitServe's; without keys in detail."""
    bodies = Bodies(["a text of a few words, as short ones are"])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "keys.json"
        headers = (("authorization", f"Bearer {new_key(path)}"),)
        servers = {
            "open": stack.enter_context(ours_running(NOOP)),
            "keys": stack.enter_context(ours_running(NOOP, more=f"keys: {path}", headers=headers)),
        }
        for server in servers.values():
            load(server, bodies)
        used_s = {name: server.cpu_s for name, server in servers.items()}
        seen: dict[str, list[Closed]] = {name: [] for name in servers}
        for _ in range(TURNS):
            for name, server in servers.items():
                seen[name].append(load(server, bodies))
        cpu_us = {
            name: 1e6 * (server.cpu_s - used_s[name]) / sum(one.requests for one in seen[name])
            for name, server in servers.items()
        }
        hits = sum(map(cache_hits, servers.values()))
    per_s = {name: statistics.median(one.per_s for one in turns) for name, turns in seen.items()}
    peer = litserve(bodies)
    ran = "per_s" in peer
    peer_per_s = peer["per_s"] if ran else TARGET_PER_S
    return {
        "name": NAME,
        "value": per_s["keys"],
        "unit": "answers/s",
        "peer": "LitServe, 2 workers, the same no-op" if ran else "the target: LitServe did not run",
        "peer_value": peer_per_s,
        "ratio": per_s["keys"] / peer_per_s,
        "detail": {
            "target_per_s": TARGET_PER_S,
            "per_s": {name: [round(one.per_s) for one in turns] for name, turns in seen.items()},
            "cpu_us": {name: round(value, 1) for name, value in cpu_us.items()},
            "p95_ms": {name: round(statistics.median(one.p95_ms for one in turns), 2) for name, turns in seen.items()},
            "failed": sum(one.failed for turns in seen.values() for one in turns),
            "cache_hits": hits,
            "litserve": peer,
        },
    }


def load(server: Running, bodies: Bodies) -> Closed:
    """Return what a closed loop sees, no text of which was asked before."""
    return closed_loop(server.target, bodies.more(MOST_PER_S * SECONDS, server.form), SECONDS, IN_FLIGHT)


def new_key(path: Path) -> str:
    """Return a key that is written to a new file of keys."""
    command = [TIGHTROPE, "keys", "create", "--file", str(path), "--tenant", "bench"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def litserve(bodies: Bodies) -> dict:
    """Return LitServe's rate with the same model, or why there is none."""
    try:
        with peer_running(LITSERVE, "-") as server:
            turns = [load(server, bodies) for _ in range(3)][1:]
    except UnreachableError as error:
        return {"did_not_run": str(error)}
    return {
        "per_s": round(statistics.median(one.per_s for one in turns), 1),
        "p95_ms": round(statistics.median(one.p95_ms for one in turns), 1),
        "failed": sum(one.failed for one in turns),
    }
