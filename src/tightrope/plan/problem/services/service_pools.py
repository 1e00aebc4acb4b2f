"""Services as the replay sees them: functions whose instances come and go, and token APIs without a queue."""

import math

import numpy as np

from tightrope.base.records import ApiUse, IntArray, RequestEngine, ScalingPolicy, TokenEngine, Workload
from tightrope.base.units import HOURS_PER_WEEK
from tightrope.clouds.service_sizes import CONTAINER, ServiceSize, find_size
from tightrope.plan.problem.arrays import PoolOption
from tightrope.replay.records import FleetPool

ENDLESS = 10_000_000
"""Tokens and sequences of an API: no request waits for another."""


def find_instance_limit(workload: Workload, size: ServiceSize) -> int:
    """Return the most requests that an account runs at one time: the workload's quota, or the service's own."""
    stated = [workload.where.quotas[name] for name in (size.name, size.service.name) if name in workload.where.quotas]
    return min(stated, default=size.service.instances)


def keep_alive_s(workload: Workload, size: ServiceSize) -> float:
    """Return the time for which an idle instance stays."""
    return size.service.keep_alive_s if workload.services.keep_alive_s is None else workload.services.keep_alive_s


def find_start_s(workload: Workload, option: PoolOption) -> float:
    """Return the time from asking for a machine, or a container, to its process."""
    container = option.terms.offer == CONTAINER
    return workload.services.container_start_s if container else workload.scaling.machine_start_s


def build_metered_pool(workload: Workload, option: PoolOption, name: str, at_once: float) -> FleetPool:
    """Return the pool of a metered option; ``at_once`` requests that can wait are done at a time."""
    size, engine, api = find_size(option.machine.name), option.profile.engine, option.variant.api
    if size is not None and isinstance(engine, RequestEngine):
        return build_function_pool(workload, size, engine, name, option.variant.name)
    assert api is not None  # noqa: S101 - what is metered is a function or an API
    return build_api_pool(api, at_once, name, option.variant.name)


def build_function_pool(
    workload: Workload, size: ServiceSize, engine: RequestEngine, name: str = "", group: str = ""
) -> FleetPool:
    """Return a function: instances start when requests come, one for each at a time, and go when they have been idle."""
    return FleetPool(
        name=name,
        group=group,
        engine=engine,
        engines_per_machine=1,
        requests_per_s=1.0 / engine.service_s[0],
        start_s=engine.load_s,
        zones=0,
        interruptions_per_hour=0.0,
        schedule=np.zeros(HOURS_PER_WEEK, dtype=np.int64),
        ceiling=find_instance_limit(workload, size),
        deferrable_limit=0,
        load_s=engine.load_s,
        keep_alive_s=keep_alive_s(workload, size),
        metered=True,
    )


def build_api_engine(api: ApiUse) -> TokenEngine:
    """Return the engine that stands for an API in a replay, where its times are set right afterwards (``FleetPool.answer_s``).

    A step takes what a token does; where the user states no latency, nothing is promised that could be judged by it.
    """
    step_s = api.tpot_s or api.ttft_s or 0.02
    return TokenEngine(0.0, step_s, 0.0, 0.0, ENDLESS * 1000, ENDLESS // 100, ENDLESS, 0.0)


def build_api_pool(api: ApiUse, work_at_once: float, name: str = "", group: str = "") -> FleetPool:
    """Return an API: one engine that takes whatever comes; ``work_at_once`` requests that can wait are done at a time."""
    engine = build_api_engine(api)
    one: IntArray = np.ones(HOURS_PER_WEEK, dtype=np.int64)
    return FleetPool(
        name=name,
        group=group,
        engine=engine,
        engines_per_machine=1,
        requests_per_s=1.0 / engine.weights_s,
        start_s=0.0,
        zones=0,
        interruptions_per_hour=0.0,
        schedule=one,
        ceiling=1,
        deferrable_limit=max(1, math.ceil(work_at_once)),
        answer_s=(api.ttft_s or 0.0, api.tpot_s or 0.0),
        metered=True,
    )


def describe_settings(option: PoolOption, seen: FleetPool, scaling: ScalingPolicy) -> tuple[dict[str, float], dict[str, float]]:
    """Return how a pool batches and how it scales, in figures, as plan.json shows it."""
    engine = option.profile.engine
    if seen.answer_s is not None:
        stated = option.variant.api
        times_s = {"ttft_s": stated.ttft_s, "tpot_s": stated.tpot_s} if stated is not None else {}
        return {}, {name: time_s for name, time_s in times_s.items() if time_s is not None}
    batching = (
        {"max_batch": float(engine.max_batch)}
        if isinstance(engine, RequestEngine)
        else {
            "max_sequences": float(engine.max_sequences),
            "chunk_tokens": float(engine.chunk_tokens),
            "kv_capacity_tokens": float(engine.kv_capacity_tokens),
        }
    )
    if seen.keep_alive_s is not None:
        figures = {"cold_start_s": seen.start_s, "keep_alive_s": seen.keep_alive_s, "most_at_once": float(seen.ceiling)}
        return batching, figures
    return batching, {
        "target_requests_per_s": scaling.target_utilisation * seen.requests_per_s,
        "target_utilisation": scaling.target_utilisation,
        "downscale_stabilization_s": scaling.downscale_stabilization_s,
        "start_s": seen.start_s,
    }
