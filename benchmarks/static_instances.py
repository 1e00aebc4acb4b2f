"""Shared by the benchmark of the static plan and its tests: instances whose cheapest fleet is known, as a peer and as ours sees them."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np

from tightrope.base.catalogue import MachineType, PriceRow
from tightrope.base.plan import OfferTerms
from tightrope.base.records import ModelVariant, Profile, Provenance, RequestEngine
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.compare.bucket_ilp import BucketInstance
from tightrope.plan.problem.arrays import PoolOption, Problem
from tightrope.plan.solve.bound import price_apart

FOUR_GPUS = Path(__file__).with_name("data") / "llama31_8b_four_gpus.json"
RATES_PER_S = (8, 16, 32, 64, 128)
KNOWN_USD_PER_HOUR = {
    120: {8: 3.722, 16: 7.444, 32: 13.443, 64: 25.201, 128: 49.333},
    40: {32: 15.032, 64: 28.871, 128: 54.196},
}
"""Milliseconds a token → requests/s → US dollars an hour of the four GPUs' cheapest fleet, found with Mélange's own release and CBC."""
TOY = BucketInstance(
    buckets=("short/short", "short/long", "long/short", "long/long"),
    machines=("A10G", "A100-80GB"),
    rate_per_s=30.0 * np.array([0.2, 0.1, 0.5, 0.2]),
    max_per_s=np.array([[2.0, 20.0], [1.0, 20.0], [5.0, 40.0], [2.0, 20.0]]),
    usd_per_hour=np.array([1.01, 3.67]),
)
"""The figures of the example that Mélange's release ships (tyler-griggs/melange-release, 2024): 3 A10G and 1 A100, $6.70 an hour."""
SEEN = date(2024, 6, 26)


def four_gpus(rate_per_s: float, tpot_ms: int) -> BucketInstance:
    """Return Llama-3.1-8B on L40S, A100, H100 and H200 at a mean rate; a token may take ``tpot_ms`` (120 or 40)."""
    data = json.loads(FOUR_GPUS.read_text(encoding="utf-8"))
    requests, prices = np.array(data["requests"], dtype=np.float64), data["usd_per_hour"]
    return BucketInstance(
        buckets=tuple(data["buckets"]),
        machines=tuple(prices),
        rate_per_s=rate_per_s * requests / requests.sum(),
        max_per_s=np.array([data["max_per_s"][f"tpot_{tpot_ms}_ms"][gpu] for gpu in prices]).T,
        usd_per_hour=np.array(list(prices.values())),
    )


def one_block(instance: BucketInstance) -> Problem:
    """Return the same as the planner's own problem: one block, a class for each bucket, nothing but on-demand machines."""
    buckets, machines = instance.max_per_s.shape
    return Problem(
        options=tuple(_option(name, usd) for name, usd in zip(instance.machines, instance.usd_per_hour, strict=True)),
        interactive=instance.buckets,
        deferrable=(),
        rate=instance.rate_per_s[:, None],
        mean_rate=instance.rate_per_s[:, None],
        mu=instance.max_per_s[:, :, None],
        work_per_s=np.zeros((0, machines)),
        share_cap=np.ones((buckets, 1)),
        quality=np.ones(1),
        quality_floor=np.zeros(buckets),
        variant_of=np.zeros(machines, dtype=np.int64),
        usd_per_hour=instance.usd_per_hour,
        disk_usd_per_hour=np.zeros(machines),
        usd_per_request=np.zeros((buckets, machines)),
        usd_per_work=np.zeros((0, machines)),
        metered=np.zeros(machines, dtype=np.bool_),
        only_covered=np.zeros(machines, dtype=np.bool_),
        covers=(),
        block_hours=np.array([HOURS_PER_MONTH]),
        zones=np.ones(machines, dtype=np.int64),
        interruptible=np.zeros(machines, dtype=np.bool_),
        windows=(),
        quotas=(),
        max_spot_share=1.0,
        spot_zone_loss_share=0.0,
        max_pools=machines,
        pool_worth=0.0,
        refusals=(),
    )


def certified_usd_per_hour(instance: BucketInstance) -> float:
    """Return what no plan of an instance can cost less than, by the planner's own bound, searched to its end."""
    problem = one_block(instance)
    none = np.zeros((0, problem.blocks))
    return price_apart(problem, none, np.zeros(0), gap=0.0).usd_per_month / float(problem.block_hours.sum())


def _option(name: str, usd_per_hour: float) -> PoolOption:
    """Return the pool option of a machine of which only the price is known."""
    variant = ModelVariant("model/v0", "model", "request", "bf16", 1.0, 0.0, {})
    machine = MachineType("aws", name, name, 1, 1.0, "amd64", "", 0, 0.0, "instance", SEEN)
    profile = Profile(variant.name, name, RequestEngine((1.0,), 0.0), 1, Provenance("published", "instance", 0.0))
    row = PriceRow("aws", "r", name, "on-demand", Decimal(str(usd_per_hour)), 1, None, "list", "instance", SEEN)
    return PoolOption(variant, machine, "r", profile, OfferTerms("on-demand", name, "r", usd_per_hour, 0.0, 1, row))
