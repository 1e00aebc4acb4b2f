"""Requests that come whether or not answers do: the highest rate at which nearly all are in time, and what becomes of twice that load."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.clients import Open, arrivals, closed_loop, open_loop
from benchmarks.serving import (
    BENTOML,
    FASTAPI,
    LITSERVE,
    RAY,
    Bodies,
    Peer,
    Running,
    minilm_model,
    model_folder,
    ours_running,
    peer_running,
    shown,
)
from tightrope.base.errors import UnreachableError

NAME = "serve-overload"
DOC = "requests a second, Poisson, of which 95 % are answered within 100 ms, beside the best peer; at twice what it can, p95 within 100 ms"
PROMISE_S, SHARE = 0.1, 0.95
LOOSE_MS = 5000.0
"""A promise with which nobody is turned away, to see what a closed loop gets."""
ARRIVALS = {"poisson": 1.0, "bursty": 3.0}
"""Coefficients of variation of the gaps between requests; 3 is gamma with a shape of 1/9."""
IN_FLIGHT = 32
STEPS, SECONDS = 4, 2.5
"""Halvings of the range in which the rate is, and how long each is tried."""
RANGE = (0.2, 1.2)
"""Of the closed loop's rate."""
OVERLOADED_S, AFTER_S, SETTLES_S = 8.0, 6.0, 1.0
"""Seconds of twice the load, of half of it afterwards, and from its beginning until it is looked at."""
PEERS = (FASTAPI, LITSERVE, BENTOML, RAY)


def run() -> dict:
    """Return our rate beside the best peer's; each one's in detail, and ours at twice the load."""
    folder = model_folder()
    bodies = Bodies.of(folder)
    with ours_running(minilm_model(folder), LOOSE_MS) as server:
        capacity_per_s = capacity(server, bodies)
    with ours_running(minilm_model(folder), 1e3 * PROMISE_S) as server:
        ours = rates(server, bodies, capacity_per_s)
        overload, storm = (overloaded(server, bodies, ours["closed_loop"], again=again) for again in (False, True))
    peers = {peer.name: of_peer(peer, bodies, folder) for peer in PEERS}
    best_per_s, best = max(((found.get("poisson", 0.0), name) for name, found in peers.items()), default=(0.0, ""))
    if not best_per_s:  # none ran, or none kept the promise
        best_per_s, best = capacity_per_s, "our own closed loop: no peer kept the promise"
    return {
        "name": NAME,
        "value": ours["poisson"],
        "unit": "requests/s",
        "peer": best,
        "peer_value": best_per_s,
        "ratio": ours["poisson"] / best_per_s,
        "detail": {
            "promise": f"{SHARE:.0%} of all within {1e3 * PROMISE_S:g} ms",
            "ours_per_s": ours,
            "at_twice_the_load": overload,
            "where_clients_ask_again": storm,
            "peers_per_s": peers,
        },
    }


def of_peer(peer: Peer, bodies: Bodies, folder: Path) -> dict:
    """Return a peer's rates, or why it does not run."""
    try:
        with peer_running(peer, folder) as server:
            return rates(server, bodies, capacity(server, bodies))
    except UnreachableError as error:
        return {"did_not_run": str(error)}


def capacity(server: Running, bodies: Bodies) -> float:
    """Return the closed loop's rate, once the server is warm."""
    return [closed_loop(server.target, bodies.more(5000, server.form), 2.0, IN_FLIGHT).per_s for _ in range(2)][-1]


def rates(server: Running, bodies: Bodies, capacity_per_s: float) -> dict:
    """Return the closed loop's rate, and the highest at which the promise is kept for each kind of arrivals; 0 where at none tried."""
    found = {"closed_loop": round(capacity_per_s, 1)}
    for name, cv in ARRIVALS.items():
        found[name] = round(highest(lambda rate_per_s, cv=cv: in_time(server, bodies, rate_per_s, cv), capacity_per_s), 1)
    return found


def highest(share: Callable[[float], float], around_per_s: float) -> float:
    """Return the highest rate tried at which the promise was kept, by halving."""
    low, high, kept = RANGE[0] * around_per_s, RANGE[1] * around_per_s, 0.0
    for _ in range(STEPS):
        rate_per_s = (low + high) / 2.0
        if share(rate_per_s) >= SHARE:
            low = kept = rate_per_s
        else:
            high = rate_per_s
    return kept


def in_time(server: Running, bodies: Bodies, rate_per_s: float, cv: float) -> float:
    """Return the share of requests that are answered, and in time."""
    at_s = arrivals(rate_per_s, SECONDS, cv, seed=1)
    seen = open_loop(server.target, bodies.more(len(at_s), server.form), at_s)
    good = (np.array(seen.status) == 200) & (np.array(seen.latency_s) <= PROMISE_S)
    return float(good.mean())


def overloaded(server: Running, bodies: Bodies, capacity_per_s: float, *, again: bool) -> dict:
    """Return what becomes of twice the load; with clients that heed ``Retry-After`` and ask ``again``, more than that comes.

    These keep our client busy, whose own delays are in the latencies then: what the server saw is said beside.
    """
    at_s = arrivals(2.0 * capacity_per_s, OVERLOADED_S, 1.0, seed=2)
    at_s += [OVERLOADED_S + later_s for later_s in arrivals(capacity_per_s / 2.0, AFTER_S, 1.0, seed=3)]
    before = answered_in_time(server)
    seen = open_loop(server.target, bodies.more(len(at_s), server.form), at_s, again=again)
    in_time, late = (now - then for now, then in zip(answered_in_time(server), before, strict=True))
    return outcome(seen, len(at_s)) | {"in_time_share_as_the_server_saw": round(in_time / max(1.0, in_time + late), 4)}


def answered_in_time(server: Running) -> list[float]:
    """Return how many answers the server gave within the promise, and how many later."""
    return [shown(server, "tightrope_requests_total", f'outcome="{outcome}"') for outcome in ("ok", "late")]


def outcome(seen: Open, clients: int) -> dict:
    """Return figures of the overloaded time, and how many clients had an answer in the end."""
    due_s, status, latency_s = np.array(seen.due_s), np.array(seen.status), np.array(seen.latency_s)
    asked = (due_s >= SETTLES_S) & (due_s < OVERLOADED_S)
    admitted = np.sort(latency_s[asked & (status == 200)])
    shed = status == 429
    return {
        "asked_per_s": round(float(asked.sum()) / (OVERLOADED_S - SETTLES_S), 1),
        "admitted_per_s": round(len(admitted) / (OVERLOADED_S - SETTLES_S), 1),
        "admitted_p95_ms": round(1e3 * float(np.quantile(admitted, 0.95)), 1) if len(admitted) else None,
        "shed_share": round(float(shed[asked].mean()), 3),
        "other_failures": int(((status != 200) & ~shed).sum()),
        "shed_without_retry_after": int((np.array(seen.retry_after_s)[shed] <= 0.0).sum()),
        "clients_answered_share": round(float((status == 200).sum()) / clients, 4),
    }
