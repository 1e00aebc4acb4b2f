"""Small fleets and traffic made by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tightrope.base.records import EngineModel, FloatArray, RequestEngine, ScalingPolicy, TokenEngine
from tightrope.replay.records import Drill, Fleet, FleetClass, FleetPool, Outcome, Traffic
from tightrope.replay.run import replay_fleet

HOURS = 168
FIXED = ScalingPolicy(False, 1.0, 1.0, 0.1, 15.0, 0.0, 0.0, 0.0)
TOKENS = TokenEngine(
    overhead_s=0.01,
    weights_s=0.02,
    per_token_s=0.001,
    per_cached_token_s=0.0001,
    kv_capacity_tokens=1000,
    max_sequences=4,
    chunk_tokens=16,
    load_s=0.0,
)


def engine(*service_s: float) -> RequestEngine:
    return RequestEngine(service_s, 0.0)


def pool(model: EngineModel, machines: int | Sequence[int] = 1, **fields: object) -> FleetPool:
    """Return a pool of always so many machines, or as many as the first hours of the week say."""
    schedule = np.full(HOURS, machines) if isinstance(machines, int) else np.resize(machines, HOURS)
    stated = {
        "name": "pool",
        "group": "model",
        "engine": model,
        "engines_per_machine": 1,
        "requests_per_s": 1.0,
        "start_s": 0.0,
        "zones": 1,
        "interruptions_per_hour": 0.0,
        "schedule": schedule,
        "ceiling": int(schedule.max()),
        "deferrable_limit": 1,
    }
    return FleetPool(**(stated | fields))  # type: ignore[arg-type]


def fleet(*pools: FleetPool, deferrable: Sequence[bool] = (False,), scaling: ScalingPolicy = FIXED) -> Fleet:
    """Return a fleet whose classes go to every group alike, and whose pools do all deferrable work."""
    groups = tuple(dict.fromkeys(item.group for item in pools))
    classes = tuple(FleetClass(f"class {c}", waits) for c, waits in enumerate(deferrable))
    share = np.full((len(classes), len(groups), HOURS), 1.0 / len(groups))
    return Fleet(pools, classes, groups, share, np.ones((len(classes), len(pools)), dtype=bool), scaling)


def traffic(time_s: Sequence[float] | FloatArray, sizes: Sequence[tuple[int, int]] = (), kinds: Sequence[int] = ()) -> Traffic:
    """Return requests of (prompt, answer) tokens, one of each where they are left out, of class 0 or as stated."""
    count = len(time_s)
    tokens = np.array(sizes or np.ones((count, 2)), dtype=np.int64).reshape(count, 2)
    classes = np.array(kinds or np.zeros(count), dtype=np.int64)
    return Traffic(np.array(time_s, dtype=np.float64), classes, tokens[:, 0].copy(), tokens[:, 1].copy())


def poisson(rate_per_s: float, requests: int, seed: int = 1) -> FloatArray:
    return np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate_per_s, requests))


def replay(
    what: Fleet, requests: Traffic, hours: float = 1.0, *, offset_s: float = 0.0, seed: int = 0, drill: Drill | None = None
) -> Outcome:
    return replay_fleet(what, requests, duration_s=3600.0 * hours, block_offset_s=offset_s, seed=seed, drill=drill)


def treated(what: Fleet, *classes: dict[str, object]) -> Fleet:
    """Return the fleet with its classes treated so."""
    changed = [replace(item, **fields) for item, fields in zip(what.classes, classes, strict=True)]  # type: ignore[arg-type]
    return replace(what, classes=tuple(changed))


def with_blocks(requests: Traffic, *prompts: str) -> Traffic:
    """Return the traffic with one block a letter."""
    starts = np.cumsum([0, *[len(prompt) for prompt in prompts]])
    return replace(requests, block_start=starts, blocks=np.array([ord(letter) for letter in "".join(prompts)]))


def seconds_billed(outcome: Outcome) -> list[float]:
    """Return the machine-seconds of each pool."""
    return (outcome.machine_hours.sum(axis=1) * 3600.0).tolist()
