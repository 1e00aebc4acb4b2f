"""A hand-made plan of realistic size, and the variations that a renderer must stand."""

import os
from dataclasses import replace
from math import fsum
from pathlib import Path

from tightrope.base.explanation import Alternative, BindingLimit, BreakEven, CostRange, FutureCost, WhatIf
from tightrope.base.plan import (
    AnswerCache,
    BillLine,
    Commitment,
    Evidence,
    Lever,
    Node,
    Plan,
    Pool,
    ProfileUse,
    Refusal,
    RoutingRule,
    ServedClass,
    Serving,
    VariantShare,
)
from tightrope.base.records import Deferral, RequestEngine, ScalingPolicy, Slo, TokenEngine

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("TIGHTROPE_UPDATE_GOLDEN") == "1"

SHAPE = (1, 1, 1, 1, 1, 1, 2, 3, 5, 7, 8, 9, 9, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1)
"""A working day's traffic in tenths of its peak."""
WEEKEND = (0.55, 0.5)


def week(peak: float) -> list[float]:
    """Return 168 hourly figures: five working days and a quieter weekend."""
    days = [1.0, 1.04, 1.0, 0.97, 0.92, *WEEKEND]
    return [round(peak * day * hour / 9, 4) for day in days for hour in SHAPE]


def schedule(peak: int, least: int) -> tuple[int, ...]:
    """Return the machines wanted in every hour of the week."""
    return tuple(max(least, round(figure)) for figure in week(peak))


def check_golden(name: str, text: str) -> None:
    """Compare with the golden file; ``TIGHTROPE_UPDATE_GOLDEN=1`` rewrites it."""
    path = GOLDEN / name
    if UPDATE:
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8"), f"{name} differs from its golden file: TIGHTROPE_UPDATE_GOLDEN=1 renews it"


def make_evidence(name: str, slo: str, attainment: float, target: float, requests: int, p95_ms: float) -> Evidence:
    """Return what a replay saw of one promise; a promise is proven when the low end of the interval meets the target."""
    half = 1.96 * (attainment * (1 - attainment) / requests) ** 0.5 * 6
    low, high = attainment - half, min(1.0, attainment + half)
    return Evidence(
        traffic_class=name,
        slo=slo,
        window="5 held-out days",
        requests=requests,
        attainment=attainment,
        attainment_low=low,
        attainment_high=high,
        target=target,
        p50_ms=p95_ms * 0.41,
        p95_ms=p95_ms,
        p99_ms=p95_ms * 1.52,
        seeds=(1, 2),
        verdict="proven" if low >= target else "not proven",
    )


LLM = Serving(
    engine=TokenEngine(0.004, 0.021, 0.00013, 4.369066666666667e-07, 61_234, 64, 2048, 42.0),
    engines_per_machine=1,
    requests_per_s=0.62,
    concurrency=7.5,
    start_s=132.0,
    load_s=42.0,
    interruptions_per_hour=0.0,
    deferrable_limit=24,
    deferrable_classes=("summary",),
)
CLASSIFIER = replace(
    LLM,
    engine=RequestEngine((0.0121, 0.0182, 0.0251), 8.0),
    engines_per_machine=2,
    requests_per_s=0.9,
    concurrency=2.0,
    start_s=98.0,
    load_s=8.0,
    deferrable_limit=1,
    deferrable_classes=(),
    max_wait_s=0.005,
    prefix_block_tokens=0,
)
CLASSES = (
    ServedClass("chat", (Slo("ttft", 0.95, 1.0), Slo("tpot", 0.95, 0.12)), 12_000.0, priority=1, shed_wait_s=8.0, retries=1),
    ServedClass("summary", (), 4_000.0, deferral=Deferral(22.0, 6.0)),
)
SCALING = ScalingPolicy(True, 0.8, 1.5, 0.1, 15.0, 30.0, 300.0, 90.0)

BASE = Pool(
    name="chat-base",
    cloud="aws",
    region="us-east-1",
    zones=3,
    machine="g6.xlarge",
    variant="assistant-7b/int8",
    offer="on-demand",
    min_replicas=3,
    max_replicas=3,
    schedule=(3,) * 168,
    batching={"max_batch": 48.0},
    autoscaling={},
    serving=LLM,
    node=Node("g6", 4, 16.0, "amd64", "l4", 1, 24.0, 0.8048),
)
PEAK = replace(
    BASE,
    name="chat-peak",
    machine="g4dn.xlarge",
    region="us-west-2",
    offer="spot",
    min_replicas=0,
    max_replicas=6,
    schedule=schedule(6, 0),
    batching={"max_batch": 16.0},
    autoscaling={"target_utilisation": 0.8, "tolerance": 0.1},
    serving=replace(LLM, interruptions_per_hour=0.00021347),
    node=Node("g4dn", 4, 16.0, "amd64", "t4", 1, 16.0, 0.1946),
)
SIMPLE = replace(
    BASE,
    name="simple",
    machine="c6i.large",
    variant="faq/int8",
    min_replicas=1,
    max_replicas=4,
    schedule=schedule(4, 1),
    batching={"max_batch": 8.0},
    autoscaling={"target_utilisation": 0.8, "tolerance": 0.1},
    serving=CLASSIFIER,
    node=Node("c6i", 2, 4.0, "amd64", "", 0, 0.0, 0.085),
)
CAPACITY = {"chat-base": 0.62, "chat-peak": 0.38, "simple": 0.9}
"""Requests a second that one replica of the pool sustains."""
SHARES = {"chat-base": 0.44, "chat-peak": 0.18, "simple": 0.38}

COST_LINES = (
    BillLine("compute", "chat-base", "compute-savings-plan-1y-no-upfront", 1203.18),
    BillLine("compute", "chat-peak", "spot", 318.4471),
    BillLine("compute", "simple", "on-demand", 92.2),
    BillLine("idle", "chat-base", "compute-savings-plan-1y-no-upfront", 210.06),
    BillLine("idle", "chat-peak", "spot", 61.7),
    BillLine("idle", "simple", "on-demand", 24.91),
    BillLine("commitment unused", "", "compute-savings-plan-1y-no-upfront", 11.4),
    BillLine("storage", "chat-base", "", 42.0),
    BillLine("egress", "chat-base", "", 97.2929),
)
TODAY_LINES = (
    BillLine("compute", "today", "on-demand", 4020.5),
    BillLine("idle", "today", "on-demand", 10_897.54),
    BillLine("storage", "today", "", 61.0),
    BillLine("egress", "today", "", 97.2929),
)
COST = fsum(line.usd for line in COST_LINES)
TODAY = fsum(line.usd for line in TODAY_LINES)
BOUND = 1990.4
LEVERS = (
    Lever("right-size", 1900.2, "g6.xlarge and c6i.large beside g4dn.xlarge", 1900.2),
    Lever("autoscale", 5610.75, "machines follow the hour of the week", 7420.0),
    Lever("batch", 0.0, "already on today"),
    Lever("quantise", 3122.4, "int8 instead of fp16", 6150.5),
    Lever("route", 1480.9, "38 % of chat to faq/int8"),
    Lever("spot", 622.15, "chat-peak over 3 zones", 3480.0),
    Lever("commit", 278.4, "", 2890.0),
    Lever("defer", -0.3, "the nightly batch moves into the valley"),
)
EVIDENCE = (
    make_evidence("chat", "ttft p95 ≤ 1 s", 0.978, 0.95, 1_481_207, 712.0),
    make_evidence("chat", "tpot p95 ≤ 120 ms", 0.9961, 0.95, 1_481_207, 64.2),
    make_evidence("summary", "done within 8 h", 1.0, 1.0, 60_000, 19_800_000.0),
)
TODAY_EVIDENCE = (
    make_evidence("chat", "ttft p95 ≤ 1 s", 0.9993, 0.95, 1_481_207, 221.0),
    make_evidence("chat", "tpot p95 ≤ 120 ms", 0.9402, 0.95, 1_481_207, 131.0),
    make_evidence("summary", "done within 8 h", 1.0, 1.0, 60_000, 10_800_000.0),
)
PROVENANCE = (
    ProfileUse("assistant-7b/int8 on g6.xlarge", "model", "roofline of the L4 data sheet, calibrated on MLPerf v4.1", 0.25),
    ProfileUse("assistant-7b/int8 on g4dn.xlarge", "model", "roofline of the T4 data sheet", 0.25),
    ProfileUse("faq/int8 on c6i.large", "measured", "service times of batches 1 to 8, 2026-11-20, 4 runs", 0.04),
)
PRICE_SOURCES = (
    "AWS price list as carried by Karpenter (Apache-2.0), seen 2026-07-20",
    "AWS Spot Advisor data (Apache-2.0), seen 2025-06-28",
)
REFUSALS = (
    Refusal("assistant-7b/fp16 on g4dn.xlarge", "its KV cache holds 1,024 tokens, a request needs 1,366"),
    Refusal("assistant-7b/int8 on c6i.large", "tpot p95 ≤ 120 ms cannot be met: one token alone takes 410 ms"),
    Refusal("spot for g6e.xlarge in us-west-2", "no spot price is known there"),
)


def make_plan(**changes: object) -> Plan:
    """Return the plan, with some fields changed."""
    pools = (BASE, PEAK, SIMPLE)
    demand = week(3.2)
    share_by_block = {name: tuple(share for _ in demand) for name, share in SHARES.items()}
    plan = Plan(
        workload="chatgenius",
        horizon="a week of 168 hours, sized on 9 days, proven on 5 held-out days",
        status="proven",
        monthly_cost_usd=COST,
        today_monthly_cost_usd=TODAY,
        saving_fraction=1 - COST / TODAY,
        lower_bound_monthly_usd=BOUND,
        gap_fraction=(COST - BOUND) / COST,
        cost_lines=COST_LINES,
        today_cost_lines=TODAY_LINES,
        pools=pools,
        routing=(
            *(RoutingRule("chat", name, share, share_by_block[name]) for name, share in SHARES.items()),
            RoutingRule("summary", "chat-base", 1.0, (1.0,) * 168),
        ),
        commitments=(
            Commitment("compute-savings-plan-1y-no-upfront", "aws", "", 1.95, 1, "nothing upfront", 0.992),
            Commitment(
                "instance-savings-plan-1y-no-upfront", "aws", "us-east-1/g6", 0.4, 1, "nothing upfront", 1.0, existing=True
            ),
        ),
        levers=LEVERS,
        evidence=EVIDENCE,
        replay_monthly_cost_usd=COST * 1.011,
        today_evidence=TODAY_EVIDENCE,
        provenance=PROVENANCE,
        price_sources=PRICE_SOURCES,
        binding=(
            BindingLimit("spot-share", "one point more", 4.10, "duals"),
            BindingLimit("quota", "one machine more", 31.25, "relaxations"),
        ),
        sensitivities=(
            WhatIf("every profile slower by its error band", COST + 380.0, 380.0),
            WhatIf("spot prices +50 %", COST + 190.0, 190.0),
            WhatIf("traffic +25 %"),
        ),
        cost_range=CostRange(COST - 240.0, COST + 380.0),
        alternatives=(
            Alternative("without chat-peak", ("chat-base", "simple"), COST + 88.0, 88.0),
            Alternative("in us-west-2", ("chat-base", "chat-peak", "simple"), COST + 12.5, 12.5),
        ),
        break_evens=(
            BreakEven("spot stops paying above", "times today's price", 1.9, 1.0, "chat-peak goes to on-demand then"),
            BreakEven("self-hosting beats the API above", "million tokens a day", note="no API serves chat"),
        ),
        futures=(
            FutureCost("steady", 0.6, 1900.0, 2300.0, (0.99, 1.0)),
            FutureCost("half goes away", 0.4, 1650.0, 1420.0, (0.61, 0.8)),
        ),
        refusals=REFUSALS,
        warnings=("losing the largest zone at the peak: ttft p95 reaches 1.4 s for 6 minutes",),
        classes=CLASSES,
        variant_shares=(
            VariantShare("chat", "assistant-7b/int8", (0.62,) * 168),
            VariantShare("chat", "faq/int8", (0.38,) * 168),
        ),
        scaling=SCALING,
        cache=AnswerCache(5000, 3600.0, 0.002),
        charts={
            "demand:chat": demand,
            "demand:summary": [0.4 if hour % 24 < 6 else 0.0 for hour in range(168)],
            **{f"capacity:{pool.name}": [CAPACITY[pool.name] * count for count in pool.schedule] for pool in pools},
            **{f"replicas:{pool.name}": [float(count) for count in pool.schedule] for pool in pools},
        },
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def _not_proven() -> Plan:
    missed = make_evidence("chat", "ttft p95 ≤ 1 s", 0.9312, 0.95, 1_481_207, 1440.0)
    return make_plan(status="not proven", evidence=(missed, *EVIDENCE[1:]))


def _no_saving() -> Plan:
    return make_plan(monthly_cost_usd=TODAY, cost_lines=TODAY_LINES, saving_fraction=0.0, levers=())


def _dearer() -> Plan:
    lines = (BillLine("compute", "today", "on-demand", 1500.0),)
    levers = (Lever("keep the promises", -(COST - 1500.0), "today's fleet breaks tpot p95"),)
    return make_plan(today_cost_lines=lines, today_monthly_cost_usd=1500.0, saving_fraction=1 - COST / 1500.0, levers=levers)


def _no_today() -> Plan:
    return make_plan(today_cost_lines=(), today_monthly_cost_usd=0.0, saving_fraction=0.0, levers=(), today_evidence=())


def _bare() -> Plan:
    nothing = ("routing", "commitments", "levers", "evidence", "today_evidence", "provenance", "price_sources", "binding")
    nothing += ("alternatives", "break_evens", "futures")
    empty = dict.fromkeys((*nothing, "sensitivities", "refusals", "warnings"), ())
    return make_plan(charts={}, cache=None, cost_range=None, **empty)


def _hostile() -> Plan:
    evil = "<script>alert('x')</script>&\x1b[2J\"[bold]"
    return make_plan(
        workload=evil,
        pools=(replace(BASE, name=evil, variant=evil), PEAK),
        routing=(RoutingRule(evil, evil, 1.0, (1.0,) * 168),),
        levers=(Lever(evil, 10.0, evil),),
        evidence=(replace(EVIDENCE[0], traffic_class=evil, slo=evil),),
        warnings=(evil,),
        refusals=(Refusal(evil, evil),),
        provenance=(ProfileUse(evil, "model", evil, 0.25),),
        cost_lines=(BillLine(evil, evil, evil, COST),),
        charts={f"demand:{evil}": [1.0] * 168, f"capacity:{evil}": [2.0] * 168},
    )


def _many_pools() -> Plan:
    pools = tuple(replace(PEAK, name=f"a-pool-with-a-long-name-{index}", max_replicas=index + 6) for index in range(12))
    return make_plan(pools=pools, charts={f"replicas:{pool.name}": list(map(float, pool.schedule)) for pool in pools})


VARIATIONS = {
    "full": make_plan,
    "not proven": _not_proven,
    "no saving": _no_saving,
    "more expensive": _dearer,
    "no fleet of today": _no_today,
    "bare": _bare,
    "hostile names": _hostile,
    "many pools": _many_pools,
}
"""Name → builder of a plan."""
