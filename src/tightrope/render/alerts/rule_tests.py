"""Unit tests of the rules for promtool, made from the plan: what makes each alert fire for its own classes and pools, and what does not.

What an alert should say is put together here a second time, from its words in the rules and the figures that the test feeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import yaml

from tightrope.base.catalogue import SPOT
from tightrope.base.plan import Plan
from tightrope.render.alerts import plan_series as of
from tightrope.render.alerts.promtool import AlertCheck, AlertTest, ExpectedAlert, number, series, test_values
from tightrope.render.infra.deployment import DeployedPool, max_pool_replicas
from tightrope.render.infra.schedule import WEEK

BURNS = ((14.4, "1h", "5m"), (6.0, "6h", "30m"), (3.0, "1d", "2h"), (1.0, "3d", "6h"))
"""Burn rate, long and short window of each alert on promises (SRE workbook, chapter 5, table 5-8)."""
FULL = 0.9
"""Share of missed requests that is enough whatever the budget."""
OVER, UNDER = 1.03, 0.97
"""A little beyond a limit, and a little within it."""
SIDES = {"beyond": OVER, "within": UNDER}
MANY = 60_000
"""Requests a minute of which many miss even the tightest promise."""
CAP_MARGIN = 1.01
"""What the rules allow beyond every pool's cap, for rounding."""
READY = 2
"""Replicas of the tests of queues."""
GATEWAYS = ("one:9090", "other:9090")
"""Both show the whole fleet, which is there once."""
DAY = 1510
"""Minutes of a test that lasts for a day, and until what a day shows has held for an hour."""
TEST_HOUR = 72
"""Hour of the week at promtool's time 0: Thursday, 1 January 1970, 00:00 UTC."""


def list_tests(plan: Plan, rules: str) -> dict[str, Any]:
    """Return what the file of unit tests is filled with."""
    groups = yaml.load(rules, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["groups"]  # noqa: S506 - both are safe
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {"groups": [group["name"] for group in groups], "tests": [test_values(plan, item, alerts) for item in _all(plan)]}


def _all(plan: Plan) -> Iterator[AlertTest]:
    """Yield the tests of every alert that the plan's rules have."""
    yield from _of_promises(plan)
    yield from _of_waiting(plan)
    if parts := of.replica_pools(plan):
        yield from _of_cost(plan, parts)
        yield from _of_busy_pools(plan, parts)
        yield from _of_replicas(plan, parts)
        yield from _of_spot(plan, [part for part in parts if part.pool.offer == SPOT])
    yield from _of_days(plan)
    yield from _of_budget(plan)
    yield from _of_requests(plan)


# --------------------------------------------------------------------------------------------------------------- promises


def _of_promises(plan: Plan) -> Iterator[AlertTest]:
    """Yield a test for each speed at which a budget burns, of too few misses and just enough, and of misses that are over."""
    promised = of.promises(plan)
    if not promised:
        return
    speeds = [(f"{side} the limit of {long}", factor, rate) for rate, long, _ in BURNS for side, factor in SIDES.items()]
    for said, factor, rate in (*speeds, ("at no speed", 0.0, 1.0)):
        shares = {item: min(1.0, factor * item.budget * _least(item, rate)) for item in promised}
        missed = {item: round(MANY * share, 6) for item, share in shares.items()}
        counts = {item: (f"0+{number(count)}x60", f"0+{number(MANY - count)}x60") for item, count in missed.items()}
        yield AlertTest(
            f"promises burn {said}",
            _judged(plan, counts),
            (AlertCheck("TightropePromiseBurn", 30, tuple(_burning(shares))),),
        )
    least = int(of.LIMITS["least_missed"])
    for said, few, fires in (("too few", least - 1, ()), ("enough", least, tuple(_burning(dict.fromkeys(promised, 1.0))))):
        yield AlertTest(
            f"all requests of ten minutes are missed, {said} to tell",
            _judged(plan, dict.fromkeys(promised, (f"0x{10 - few} 1+1x{few - 1}", "0x10"))),
            (AlertCheck("TightropePromiseBurn", 10, fires),),
        )
    yield AlertTest(
        "promises were missed for an hour, seven hours ago",
        _judged(plan, dict.fromkeys(promised, ("0+60x60 3600x420", "0x60 0+60x420"))),
        (AlertCheck("TightropePromiseBurn", 70, tuple(_burnt(promised))), AlertCheck("TightropePromiseBurn", 480)),
    )


def _least(item: of.Promise, rate: float) -> float:
    """Return the burn rate beyond which an alert fires."""
    return min(rate, FULL / item.budget)


def _burnt(promised: Sequence[of.Promise]) -> Iterator[ExpectedAlert]:
    """Yield the alerts ten minutes after an hour of misses: of five minutes nothing was missed, of half an hour two thirds."""
    missed, lately = 3600.0 / 4140.0, 2.0 / 3.0
    for item in promised:
        for rate, long, short in BURNS[1:]:
            if min(missed, lately if short == "30m" else 1.0) / item.budget > _least(item, rate):
                yield ExpectedAlert(missed / item.budget, {"class": item.traffic_class, "slo": item.slo}, long)


def _burning(shares: Mapping[of.Promise, float]) -> Iterator[ExpectedAlert]:
    """Yield the alerts that such shares of missed requests give."""
    for item, share in shares.items():
        for rate, long, _ in BURNS:
            if share / item.budget > _least(item, rate):
                yield ExpectedAlert(share / item.budget, {"class": item.traffic_class, "slo": item.slo}, long)


def _judged(plan: Plan, counts: Mapping[of.Promise, tuple[str, str]]) -> dict[str, str]:
    """Return the series of requests that missed each promise, and of those that kept it."""
    return {
        series(plan, "promises_total", {"class": item.traffic_class, "slo": item.slo, "kept": kept}): values
        for item, both in counts.items()
        for kept, values in zip(("false", "true"), both, strict=True)
    }


def _of_waiting(plan: Plan) -> Iterator[AlertTest]:
    """Yield the tests of deferrable work: late, about to be, and in time."""
    for name in of.windows_s(plan):
        missed = series(plan, "promises_total", {"class": name, "slo": "done in time", "kept": "false"})
        slack = series(plan, "deferred_slack_seconds", {"class": name})
        late, soon, labels = "TightropeDeadlineMissed", "TightropeDeferredWorkLate", {"class": name}
        yield AlertTest(
            "deferrable work is late",
            {missed: "0+1x90", slack: "-1x90"},
            (AlertCheck(late, 90, (ExpectedAlert(60.0, labels),)), AlertCheck(soon, 90, (ExpectedAlert(-1.0, labels),))),
        )
        yield AlertTest(
            "deferrable work is in time", {missed: "7x90", slack: "0x90"}, (AlertCheck(late, 90), AlertCheck(soon, 90))
        )


# ------------------------------------------------------------------------------------------------------------------- cost


def _of_cost(plan: Plan, parts: Sequence[DeployedPool]) -> Iterator[AlertTest]:
    """Yield tests in which replicas cost a little more and less than the limit over the plan, and than all caps allow."""
    planned = [of.planned_usd_per_hour(plan, hour) for hour in range(WEEK)]
    hours = [max(usd, sum(planned) / WEEK) for usd in planned[TEST_HOUR : TEST_HOUR + 4]]
    limit, cap = of.LIMITS["cost_over_plan"], CAP_MARGIN * of.most_usd_per_hour(plan)
    for name, usd in (
        ("more than the plan and its limit", OVER * limit * max(hours)),
        ("less than the plan and its limit", UNDER * limit * min(hours)),
        ("more than at the caps", OVER * cap),
        ("less than at the caps", UNDER * cap),
    ):
        inputs = {
            series(plan, "usd_per_hour", {"pool": part.pool.name, "offer": part.pool.offer, "instance": gateway}): (
                f"{number(usd) if part is parts[0] else 0}x190"
            )
            for part in parts
            for gateway in GATEWAYS
        }
        over, beyond = "TightropeCostOverPlan", "TightropeCostOverCap"
        checks = [AlertCheck(over, 100), AlertCheck(beyond, 190, (ExpectedAlert(usd),) if usd > cap else ())]
        if usd > limit * max(hours) or usd < limit * min(hours):
            checks.append(AlertCheck(over, 190, (ExpectedAlert(usd),) if usd > limit * max(hours) else ()))
        yield AlertTest(f"the replicas cost {name}", inputs, tuple(checks))


def _of_budget(plan: Plan) -> Iterator[AlertTest]:
    """Yield the tests of the month: spent, to be spent at this pace, and within its budget.

    At 02:00 of the first of January 2,671,200 s of the month are left, 530 times the two hours of a week that were seen.
    """
    budget = float(ceil(of.limits(plan)["budget_usd_per_month"])) + 1.0
    months = [series(plan, "month_to_date_usd", {"instance": gateway}) for gateway in GATEWAYS]
    spent, soon = "TightropeBudgetSpent", "TightropeBudgetForecast"
    yield AlertTest(
        "the budget is spent",
        dict.fromkeys(months, f"{number(budget)}x120"),
        (AlertCheck(spent, 120, (ExpectedAlert(budget),)), AlertCheck(soon, 120, (ExpectedAlert(budget),))),
    )
    yield AlertTest(
        "the budget will be spent",
        dict.fromkeys(months, f"0+{number(budget / 128.0)}x120"),
        (AlertCheck(spent, 120), AlertCheck(soon, 120, (ExpectedAlert((120.0 + 530.0) / 128.0 * budget),))),
    )
    kept = f"{number(UNDER * of.limits(plan)['budget_usd_per_month'])}x120"
    yield AlertTest("the budget is kept", dict.fromkeys(months, kept), (AlertCheck(spent, 120), AlertCheck(soon, 120)))


# ------------------------------------------------------------------------------------------------------------------ pools


def _of_busy_pools(plan: Plan, parts: Sequence[DeployedPool]) -> Iterator[AlertTest]:
    """Yield the tests of pools that are a little too busy, and a little less."""
    for said, factor in (("too busy", OVER), ("as busy as they may be", UNDER)):
        busy = {part.pool.name: factor * of.LIMITS["high_utilisation"] * of.target_utilisation(part) for part in parts}
        fires = tuple(ExpectedAlert(value, {"pool": name}) for name, value in busy.items() if factor > 1.0)
        yield AlertTest(f"pools are {said}", _utilised(plan, busy, 50), (AlertCheck("TightropeUtilisationHigh", 50, fires),))


def _of_days(plan: Plan) -> Iterator[AlertTest]:
    """Yield a day that is just as it may be, and one on which pools do too little and what is paid by the request costs far more."""
    parts, spent = of.replica_pools(plan), {part.pool.name: of.usd_per_day(part) for part in of.metered_pools(plan)}
    known = {part.pool.name: value for part in parts if (value := of.planned_utilisation(plan, part)) is not None}
    little, usual = (
        {name: factor * of.LIMITS["low_utilisation"] * value for name, value in known.items()} for factor in (UNDER, OVER)
    )
    much = {name: float(ceil(3.0 * usd)) + 1.0 for name, usd in spent.items()}
    high, low, dear = "TightropeUtilisationHigh", "TightropeUtilisationLow", "TightropeMeteredCostOverPlan"
    idle, paid = (tuple(ExpectedAlert(value, {"pool": name}) for name, value in found.items()) for found in (little, much))
    if parts or spent:
        yield AlertTest(
            "a day that is just as it may be",
            {**_utilised(plan, usual, DAY), **_spent(plan, spent)},
            (AlertCheck(high, DAY), AlertCheck(low, DAY), AlertCheck(dear, DAY)),
        )
        yield AlertTest(
            "a day on which pools do too little, and functions and APIs too much",
            {**_utilised(plan, little, DAY), **_spent(plan, much)},
            (AlertCheck(low, 900), AlertCheck(low, DAY, idle), AlertCheck(dear, DAY, paid)),
        )


def _spent(plan: Plan, usd_per_day: Mapping[str, float]) -> dict[str, str]:
    """Return the series of what is paid by the request, spent at this pace."""
    return {
        series(plan, "usd_total", {"class": "", "pool": name, "driver": "compute"}): f"0+{number(usd / 1440.0)}x{DAY}"
        for name, usd in usd_per_day.items()
    }


def _utilised(plan: Plan, shares: Mapping[str, float], minutes: int) -> dict[str, str]:
    """Return the series of pools whose utilisation stays as it is; each gateway shows its half."""
    return {
        series(plan, "utilisation_ratio", {"pool": name, "instance": gateway}): f"{number(value / 2.0)}x{minutes}"
        for name, value in shares.items()
        for gateway in GATEWAYS
    }


def _of_replicas(plan: Plan, parts: Sequence[DeployedPool]) -> Iterator[AlertTest]:
    """Yield the tests of replicas: at their cap, missing, with a queue that grows, and as they should be."""
    patience = of.patience_minutes(plan)
    most = {part.pool.name: max_pool_replicas(plan, part) for part in parts}
    capped = tuple(
        ExpectedAlert(float(most[part.pool.name]), {"pool": part.pool.name})
        for part in parts
        if most[part.pool.name] > max(part.week[TEST_HOUR : TEST_HOUR + 2]) * part.replicas_per_machine
    )
    cap, missing, held = "TightropeReplicasAtCap", "TightropeReplicasMissing", "TightropeRequestsHeld"
    yield AlertTest(
        "pools stay at their caps",
        _ready(plan, most, 80),
        (AlertCheck(cap, 30), AlertCheck(cap, 80, capped), AlertCheck(missing, 80)),
    )
    below = {name: max(0, count - 1) for name, count in most.items()}
    yield AlertTest("pools stay below their caps", _ready(plan, below, 80), (AlertCheck(cap, 80),))
    last = {name: count - below[name] for name, count in most.items()}
    yield AlertTest(
        "the last replica of each pool starts",
        {**_ready(plan, below, 80), **_ready(plan, last, 80, "starting")},
        (AlertCheck(cap, 80, capped),),
    )
    hours = {_first_hour(part) for part in parts}
    times = sorted({60 * (hour - TEST_HOUR) + patience + 5 for hour in hours if hour is not None})
    yield AlertTest(
        "no replica is ready",
        {**_ready(plan, dict.fromkeys(most, 0), times[-1] if times else 60), **_held(plan, parts, 1)},
        (
            *(AlertCheck(missing, at, tuple(_missing(parts, at, patience))) for at in times),
            AlertCheck(held, patience + 5, tuple(ExpectedAlert(1.0, {"pool": part.pool.name}) for part in parts)),
        ),
    )
    yield AlertTest("no request is held", _held(plan, parts, 0), (AlertCheck(held, patience + 5),))
    yield from _of_queues(plan, parts)


def _first_hour(part: DeployedPool) -> int | None:
    """Return the first hour of the two days from the tests' beginning in which the schedule wants a machine; None where it wants none."""
    return next((hour for hour in range(TEST_HOUR, TEST_HOUR + 48) if part.week[hour]), None)


def _missing(parts: Sequence[DeployedPool], at_minute: int, patience: int) -> Iterator[ExpectedAlert]:
    """Yield the alerts on pools that the schedule wanted for so long, none of whose replicas is ready."""
    for part in parts:
        wanted = [part.week[TEST_HOUR + minute // 60] for minute in range(max(0, at_minute - patience), at_minute + 1)]
        if min(wanted) > 0 and len(wanted) > patience:
            yield ExpectedAlert(float(wanted[-1] * part.replicas_per_machine), {"pool": part.pool.name})


def _ready(plan: Plan, counts: Mapping[str, int], minutes: int, state: str = "ready") -> dict[str, str]:
    """Return the series of pools with so many replicas, as each gateway shows them."""
    return {
        series(plan, "replicas", {"pool": name, "state": state, "instance": gateway}): f"{count}x{minutes}"
        for name, count in counts.items()
        for gateway in GATEWAYS
    }


def _held(plan: Plan, parts: Sequence[DeployedPool], count: int) -> dict[str, str]:
    """Return the series of pools with so many requests held."""
    return {series(plan, "held_requests", {"pool": part.pool.name}): f"{count}x60" for part in parts}


def _of_queues(plan: Plan, parts: Sequence[DeployedPool]) -> Iterator[AlertTest]:
    """Yield the tests of queues: one that grows, one that is long but does not, one of deferrable work."""
    waiting = of.windows_s(plan)
    names = {
        part.pool.name: series(plan, "queue_requests", {"pool": part.pool.name, "class": _interactive(part, waiting)})
        for part in parts
    }
    worked_on = {part.pool.name: READY * part.pool.serving.concurrency / part.replicas_per_machine for part in parts}
    grows, short = ({names[name]: f"{number(count + more)}+0.01x40" for name, count in worked_on.items()} for more in (1.0, -1.0))
    still = dict.fromkeys(grows, "100000x40")
    batch = {
        series(plan, "queue_requests", {"pool": part.pool.name, "class": name}): "0+1000x40" for part in parts for name in waiting
    }
    ready = _ready(plan, dict.fromkeys(names, READY), 40)
    fires = tuple(ExpectedAlert(count + 1.3, {"pool": name}) for name, count in worked_on.items())
    yield AlertTest("queues grow, and are short", {**ready, **short}, (AlertCheck("TightropeQueueGrows", 30),))
    yield AlertTest("queues grow", {**ready, **grows}, (AlertCheck("TightropeQueueGrows", 30, fires),))
    yield AlertTest(
        "queues are long, and what can wait waits", {**ready, **still, **batch}, (AlertCheck("TightropeQueueGrows", 30),)
    )


def _interactive(part: DeployedPool, waiting: Mapping[str, float]) -> str:
    """Return a class of the pool that cannot wait; any name that is none which can where it has none."""
    return next((name for name in part.classes if name not in waiting), "".join(waiting) + ".")


def _of_spot(plan: Plan, parts: Sequence[DeployedPool]) -> Iterator[AlertTest]:
    """Yield the tests of spot machines: one notice too many, and one fewer."""
    if not parts:
        return
    most = {part.pool.name: of.unusual_notices(part) for part in parts}
    last = 10 * (max(most.values()) // 10 + 2)
    for said, more in (("more often than is likely", 1), ("as they may", 0)):
        inputs = {
            series(plan, "spot_notices_total", {"pool": name}): f"0+1x{count + more} {count + more}x{last}"
            for name, count in most.items()
        }
        fires = tuple(ExpectedAlert(float(count + 1), {"pool": name}) for name, count in most.items() if more)
        yield AlertTest(f"spot machines go {said}", inputs, (AlertCheck("TightropeSpotInterruptions", last, fires),))


# --------------------------------------------------------------------------------------------------------------- requests


def _of_requests(plan: Plan) -> Iterator[AlertTest]:
    """Yield the tests of requests turned away, of the cache, and of a gateway that is not seen."""
    names = list(dict.fromkeys(item.asked_as or item.name for item in plan.classes)) or ["any"]
    share = of.LIMITS["shed_ratio"]
    over = tuple(ExpectedAlert(OVER * share, {"class": name}) for name in names)
    for said, count, fires in (("", 60.0 * OVER * share, over), ("hardly ", 60.0 * UNDER * share, ())):
        inputs = {
            series(plan, metric, {"class": name, label: value}): f"0+{number(step)}x40"
            for name in names
            for metric, label, value, step in (
                ("shed_requests_total", "reason", "wait", count),
                ("requests_total", "outcome", "ok", 60.0 - count),
                ("requests_total", "outcome", "shed", count),
            )
        }
        yield AlertTest(f"requests are {said}turned away", inputs, (AlertCheck("TightropeRequestsShed", 40, fires),))
    if plan.cache is not None:
        yield from _of_cache(plan, names)
    seen = series(plan, "requests_in_flight", {"pool": "any"})
    yield AlertTest("the gateway is not seen", {}, (AlertCheck("TightropeGatewayAbsent", 10, (ExpectedAlert(1.0),)),))
    yield AlertTest("the gateway is seen", {seen: "0x10"}, (AlertCheck("TightropeGatewayAbsent", 10),))


def _of_cache(plan: Plan, names: Sequence[str]) -> Iterator[AlertTest]:
    """Yield the test of a cache that hits every second request for a day, and none on the next."""
    inputs = {
        series(plan, "cache_requests_total", {"class": item, "result": result}): values
        for item in names
        for result, values in (("hit", "0+50x1440 72000x1440"), ("miss", "0+50x2880"))
    }
    fires = tuple(ExpectedAlert(0.0, {"class": item}) for item in names)
    alert = "TightropeCacheHitsFew"
    yield AlertTest("the cache hits no more", inputs, (AlertCheck(alert, 1500), AlertCheck(alert, 2880, fires)))
