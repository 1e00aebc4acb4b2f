"""A hand-made report of a replay, in a scenario, and the variations that its renderers must stand."""

from dataclasses import replace

from plan_fixture import make_evidence

from tightrope.base.plan import BillLine
from tightrope.base.replay_report import ClassOutcome, DrillEvidence, PoolOutcome, ReplayReport, RunOutcome, Spread, TimeSeries

BINS = 60
QUEUED = tuple(float(40 if 20 <= place < 32 else place % 5) for place in range(BINS))
SERIES = TimeSeries(
    start_h=18.25,
    bin_s=60.0,
    ready={"chat-base": (3.0,) * BINS, "chat-peak": tuple(2.0 if place < 20 else 4.0 for place in range(BINS))},
    starting={"chat-peak": tuple(2.0 if 16 <= place < 20 else 0.0 for place in range(BINS))},
    queued=QUEUED,
    latency_p50_ms={"chat": tuple(None if place == 7 else 210.0 + place for place in range(BINS))},
    latency_p95_ms={"chat": tuple(None if place == 7 else 700.0 + 30.0 * QUEUED[place] for place in range(BINS))},
    promised_ms={"chat": 1000.0},
    usd_per_hour={"chat-base": (2.415,), "chat-peak": (0.83,), "commitment unused": (0.02,)},
)
CHAT = ClassOutcome(
    name="chat",
    requests=19_366.0,
    answered=18_900.5,
    cached=451.5,
    shed=14.0,
    too_large=0.0,
    no_pool=0.0,
    unanswered=0.0,
    prompt_tokens=7_100_000.0,
    prefix_share=0.213,
    latency=Spread(5300.0, 33_000.0, 48_000.0),
    ttft=Spread(237.0, 712.0, 1130.0),
    tpot=Spread(58.0, 84.0, 101.0),
    queue=Spread(0.2, 310.0, 720.0),
)
SUMMARY = replace(CHAT, name="summary", requests=200.0, answered=200.0, cached=0.0, shed=0.0, ttft=None, tpot=None)
POOLS = (
    PoolOutcome("chat-base", "g6.xlarge", "on-demand", 12_000.0, 2.0, 3.0, 3.0, 3.0, 0.71),
    PoolOutcome("chat-peak", "g4dn.xlarge", "spot", 6900.5, 0.5, 3.1, 2.0, 4.0, 0.66),
)
EVIDENCE = (
    make_evidence("chat", "ttft p95 ≤ 1 s", 0.978, 0.95, 19_366, 712.0),
    make_evidence("chat", "tpot p95 ≤ 120 ms", 0.9961, 0.95, 19_001, 84.0),
    make_evidence("summary", "done by 06:00", 1.0, 1.0, 200, 19_800_000.0),
)
PLAIN = RunOutcome(
    scenario="",
    notes=(),
    evidence=EVIDENCE,
    drill_evidence=(),
    classes=(CHAT, SUMMARY),
    pools=POOLS,
    interruptions=0.0,
    failures=0.0,
    retries=0.0,
    cold_starts=0.0,
    preemptions=12.5,
    attempts_shed=21.0,
    cost_lines=(BillLine("compute", "chat-base", "on-demand", 2.415), BillLine("egress", "", "chat", 0.02)),
    stretch_cost_usd=2.435,
    monthly_cost_usd=1777.5,
    series=SERIES,
)
DRILLED = replace(
    PLAIN,
    scenario="zone-loss + surge=2x",
    notes=("zone 2 of 3 is lost without notice (the worst of them), day 1, 18:31–19:01", "2 times the requests"),
    evidence=(make_evidence("chat", "ttft p95 ≤ 1 s", 0.931, 0.95, 38_700, 1610.0), *EVIDENCE[1:]),
    drill_evidence=(DrillEvidence("chat", "ttft p95 ≤ 1 s", 21_000.0, 0.874, 0.95),),
    interruptions=1.5,
    retries=31.0,
    stretch_cost_usd=4.1,
    monthly_cost_usd=2990.0,
    drill_start_h=18.5166,
    drill_end_h=19.0166,
)


def make_replayed(**changes: object) -> ReplayReport:
    """Return the report, with some fields changed."""
    report = ReplayReport(
        workload="chatgenius",
        plan_status="proven",
        plan_monthly_cost_usd=2061.0,
        plan_replay_monthly_cost_usd=2083.0,
        sources=("conv.csv.gz: 19,566 requests",),
        window="day 1, 18:15–19:15",
        duration_h=1.0,
        seeds=(1, 2),
        runs=(PLAIN, DRILLED),
        warnings=("less than a day of traffic",),
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def _hostile() -> ReplayReport:
    evil = "<script>alert('x')</script>&\x1b[2J\"[bold]"
    series = replace(
        SERIES,
        ready={evil: (1.0,) * BINS},
        starting={},
        latency_p50_ms={evil: (1.0,) * BINS},
        latency_p95_ms={evil: (2.0,) * BINS},
        promised_ms={},
        usd_per_hour={evil: (1.0,)},
    )
    run = replace(
        PLAIN,
        scenario=evil,
        notes=(evil,),
        evidence=(replace(EVIDENCE[0], traffic_class=evil, slo=evil),),
        classes=(replace(CHAT, name=evil),),
        pools=(replace(POOLS[0], name=evil, machine=evil, offer=evil),),
        cost_lines=(BillLine(evil, evil, evil, 1.0),),
        series=series,
    )
    return make_replayed(workload=evil, sources=(evil,), window=evil, runs=(run,), warnings=(evil,))


def _nothing_promised() -> ReplayReport:
    run = replace(PLAIN, evidence=(), classes=(replace(CHAT, latency=None, ttft=None, tpot=None, queue=None),))
    quiet = replace(SERIES, latency_p50_ms={}, latency_p95_ms={}, promised_ms={}, queued=(0.0,) * BINS)
    return make_replayed(runs=(replace(run, series=quiet),), warnings=())


def _not_shown() -> ReplayReport:
    close = replace(EVIDENCE[0], attainment=0.952, attainment_low=0.941, attainment_high=0.962, verdict="not proven")
    return make_replayed(runs=(replace(PLAIN, evidence=(close, *EVIDENCE[1:])),))


def _days() -> ReplayReport:
    series = replace(
        SERIES,
        start_h=0.0,
        bin_s=3600.0,
        usd_per_hour={"chat-base": tuple(2.0 + place % 24 / 24 for place in range(60))},
    )
    return make_replayed(duration_h=60.0, window="days 1–3", runs=(replace(PLAIN, series=series),))


VARIATIONS = {
    "a scenario": make_replayed,
    "one run": lambda: make_replayed(runs=(PLAIN,)),
    "hostile names": _hostile,
    "nothing promised": _nothing_promised,
    "not shown": _not_shown,
    "several days": _days,
}
"""Name → builder of a report."""
