"""How figures are said, the same in the report and on the terminal."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sized
from math import isfinite

from tightrope.base.plan import BillLine, Evidence, Plan, Pool, ProfileUse, RobustnessCase, RobustnessPromise

UNKNOWN = "unknown"
NEVER = "never"
KINDS = {"measured": "measured", "published": "published", "model": "modelled"}
HOURS_PER_DAY = 24
NOTHING_USD = 0.5
"""A lever that moves the bill by less than this many dollars a month is said to do nothing."""


def strip_controls(text: str) -> str:
    r"""Return ``text`` without control characters, so that a name cannot steer a terminal.

    >>> strip_controls("chat\x1b[2J\nbot")
    'chat�[2J bot'
    """
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "�" for sign in text)


def usd(amount: float, digits: int = 0) -> str:
    """Return US dollars with thousands separated; cents where the amount is small.

    >>> usd(15012.4), usd(-0.126), usd(3.5), usd(-0.001), usd(float("nan"))
    ('$15,012', '−$0.13', '$3.50', '$0.00', 'unknown')
    """
    if not isfinite(amount):
        return UNKNOWN
    digits = digits or (2 if 0 < abs(amount) < 10 else 0)
    size = f"${abs(amount):,.{digits}f}"
    return f"−{size}" if amount < 0 and size.strip("$0.") else size


def signed_usd(amount: float) -> str:
    """Return a change in US dollars with its sign.

    >>> signed_usd(-97.0), signed_usd(11.4), signed_usd(0.0)
    ('−$97', '+$11', '$0')
    """
    return f"+{usd(amount)}" if amount > 0 and usd(amount) != "$0" else usd(amount)


ROUNDING = 1e-12
"""A sum of shares may miss 1 by this, which is rounding: no count of requests is as large."""


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction of 1 as a percentage; what is short of 100 % never reads 100 %.

    >>> percent(0.6412), percent(0.99996), percent(1.0), percent(1.0 - 1e-15), percent(0.5, 0), percent(-0.031)
    ('64.1 %', '99.9 %', '100 %', '100 %', '50 %', '−3.1 %')
    """
    if not isfinite(fraction):
        return UNKNOWN
    size = round(100 * abs(fraction), digits)
    if size == 100:
        size, digits = (100, 0) if abs(fraction) >= 1 - ROUNDING else (size - 10**-digits, digits)
    return f"{'−' if fraction < 0 < size else ''}{size:.{digits}f} %"


def change(plan: Plan) -> str:
    """Return what the plan does to today's bill, such as ``−64 %``; empty where no bill of today is known."""
    if not has_today(plan) or not isfinite(plan.saving_fraction):
        return ""
    if abs(plan.saving_fraction) < 0.0005:
        return "±0 %"
    sign = "−" if plan.saving_fraction > 0 else "+"
    return sign + percent(abs(plan.saving_fraction), 0 if abs(plan.saving_fraction) >= 0.1 else 1)


def has_today(plan: Plan) -> bool:
    """Return whether the workload states a fleet of today to compare with."""
    return bool(plan.today_cost_lines) or plan.today_monthly_cost_usd > 0


def duration(milliseconds: float | None) -> str:
    """Return a latency as people say it; None is of what was never answered.

    >>> duration(64.2), duration(712.0), duration(1440.0), duration(93000.0), duration(7.25), duration(21600000.0)
    ('64 ms', '712 ms', '1.44 s', '93 s', '7.2 ms', '6.0 h')
    """
    if milliseconds is None:
        return NEVER
    if not isfinite(milliseconds):
        return UNKNOWN
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 600:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def by_driver(plan: Plan) -> list[tuple[str, float, float]]:
    """Return (driver, today's $ a month, the plan's $ a month), the largest first."""
    today, planned = _sums(plan.today_cost_lines), _sums(plan.cost_lines)
    rows = [(driver, today[driver], planned[driver]) for driver in today | planned]
    return sorted(rows, key=lambda row: (-max(row[1], row[2]), row[0]))


def _sums(lines: Iterable[BillLine]) -> defaultdict[str, float]:
    """Return driver → dollars; a driver without a line costs nothing."""
    sums: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        sums[line.driver] += line.usd
    return sums


def replicas(pool: Pool) -> str:
    """Return how many machines a pool has over the week, such as ``3`` or ``0–6``; none are counted of what is paid by the request."""
    if pool.serving.metered:
        return "by request"
    low, high = pool.min_replicas, pool.max_replicas
    return f"{low}" if low == high else f"{low}–{high}"


def active_hours(pool: Pool) -> str:
    """Return when a pool runs more than its minimum, such as ``always`` or ``HPA, 08–22 h`` (hours of the trace's day)."""
    if pool.serving.metered:
        return "on request"
    if pool.min_replicas == pool.max_replicas:
        return "always"
    steered = "HPA" if pool.autoscaling else "schedule"
    busy = _busy_hours(pool)
    starts = [hour for hour in sorted(busy) if (hour - 1) % HOURS_PER_DAY not in busy]
    if len(starts) != 1:
        return steered
    return f"{steered}, {starts[0]:02d}–{(starts[0] + len(busy)) % HOURS_PER_DAY or HOURS_PER_DAY:02d} h"


def _busy_hours(pool: Pool) -> set[int]:
    """Return the hours of the day at which, on most days of the schedule, more than its smallest fleet is wanted."""
    days, rest = divmod(len(pool.schedule), HOURS_PER_DAY)
    if rest or not days:
        return set()
    least = min(pool.schedule)
    counts = [sum(count > least for count in pool.schedule[hour::HOURS_PER_DAY]) for hour in range(HOURS_PER_DAY)]
    return {hour for hour, count in enumerate(counts) if 2 * count > days}


def attainment(evidence: Evidence) -> str:
    """Return the share of requests within the promise."""
    return percent(evidence.attainment) if evidence.requests else UNKNOWN


def target_share(evidence: Evidence) -> str:
    """Return the share of requests that the promise is about, such as ``95 %``."""
    return f"{100 * evidence.target:g} %"


def interval(evidence: Evidence) -> str:
    """Return the confidence interval of the attainment, such as ``[97.2, 98.3]`` per cent."""
    if not evidence.requests:
        return ""
    ends = (percent(end).removesuffix(" %") for end in (evidence.attainment_low, evidence.attainment_high))
    return f"[{', '.join(ends)}]"


def promised_percentile(evidence: Evidence) -> str:
    """Return the measured latency at the promise's own percentile where the record carries it, else at p95.

    A promise on deferrable work has no percentile: then nothing is said.
    """
    for name, figure in (("p50", evidence.p50_ms), ("p95", evidence.p95_ms), ("p99", evidence.p99_ms)):
        if f" {name} " in evidence.slo:
            return duration(figure)
    return ""


def band(use: ProfileUse) -> str:
    """Return how a profile is known, such as ``modelled, ±25 %``."""
    return f"{KINDS.get(use.kind, use.kind)}, ±{percent(use.error_band, 0)}"


def count_kept(evidence: Iterable[Evidence]) -> tuple[int, int]:
    """Return how many promises were kept, and of how many."""
    verdicts = [item.verdict == "proven" for item in evidence]
    return sum(verdicts), len(verdicts)


def count(things: Sized | int, name: str) -> str:
    """Return a number, or that of things, with its noun.

    >>> count((1,), "pool"), count((), "pool"), count((1, 2), "promise"), count(1200, "price")
    ('1 pool', '0 pools', '2 promises', '1,200 prices')
    """
    number = things if isinstance(things, int) else len(things)
    return f"{number:,} {name}{'' if number == 1 else 's'}"


MOST_POOLS_NAMED = 3


def source_dates(sources: Iterable[str]) -> str:
    """Return how many price sources there are and between which dates they were seen."""
    sources = list(sources)
    dates = sorted(found for text in sources for found in re.findall(r"seen (\d{4}-\d{2}-\d{2})", text))
    span = f", seen {dates[0]} to {dates[-1]}" if dates else ""
    return f"{count(sources, 'source')}{span}" if sources else ""


def fleet_parts(lines: Iterable[BillLine]) -> list[str]:
    """Return the pools that a bill pays for, then their offers, such as ``33 × g4dn.xlarge for chat`` and ``on-demand``."""
    lines = [line for line in lines if line.pool and line.driver in {"compute", "idle"}]
    pools, offers = list(dict.fromkeys(line.pool for line in lines)), sorted({line.offer for line in lines} - {""})
    return [*(pools if len(pools) <= MOST_POOLS_NAMED else [count(pools, "pool")]), *offers] if pools else []


def fleet(lines: Iterable[BillLine]) -> str:
    """Return the same in one line, such as ``33 × g4dn.xlarge for chat · on-demand``."""
    return " · ".join(fleet_parts(lines))


def routes(plan: Plan) -> list[str]:
    """Return one line per class: which pools answer it, the largest share first."""
    shares: dict[str, list[str]] = {rule.traffic_class: [] for rule in plan.routing}
    for rule in sorted(plan.routing, key=lambda rule: -rule.share):
        shares[rule.traffic_class].append(f"{rule.pool} {percent(rule.share, 0)}")
    return [f"{name} → {', '.join(said)}" for name, said in shares.items()]


def commitments(plan: Plan) -> list[str]:
    """Return one line per commitment."""
    return [
        f"{item.offer}{f' of {item.scope}' if item.scope else ''}: {usd(item.usd_per_hour, 3)} an hour"
        f"{', made already' if item.existing else ''}, {percent(item.utilisation)} used"
        for item in plan.commitments
    ]


def missed_promises(plan: Plan) -> str:
    """Return which promises the replay did not prove, and by how much."""
    misses = [
        f"{item.traffic_class} {item.slo}: {attainment(item)} attained, {target_share(item)} promised"
        + (", and more machines do not keep it" if item.verdict == "infeasible" else "")
        for item in plan.evidence
        if item.verdict != "proven"
    ]
    return " · ".join(misses) or "the plan was not proven; the warnings say why"


def replay_basis(plan: Plan) -> str:
    """Return the plan's status with the replayed traffic and its seeds."""
    windows = ", ".join(dict.fromkeys(item.window for item in plan.evidence))
    seeds = {seed for item in plan.evidence for seed in item.seeds}
    return f"{plan.status}: replayed on {windows}, {count(seeds, 'seed')}"


def proof(plan: Plan) -> str:
    """Return the basis of the proof, the replay's bill, and the promises that today's fleet keeps."""
    text = f"{replay_basis(plan)}, bill {usd(plan.replay_monthly_cost_usd)} a month"
    good, of = count_kept(plan.today_evidence)
    return f"{text}; today's fleet keeps {good} of {of}" if of else text


def drills(plan: Plan) -> list[str]:
    """Return the result of every drill, such as ``zone-loss recovers (chat ttft p95 ≤ 4 s: 93.1 % at worst)``."""
    return [f"{case.name} {case.verdict}{_worst_promise(case)}" for case in plan.robustness]


def _worst_promise(case: RobustnessCase) -> str:
    """Return the promise that fares worst over the stretch, in brackets; nothing where all hold."""
    if case.verdict == "holds":
        return ""
    worst = min(case.promises, key=lambda item: min(item.attainment, _during(item)) - item.target)
    return f" ({worst.traffic_class} {worst.slo}: {percent(min(worst.attainment, _during(worst)))} at worst)"


def _during(item: RobustnessPromise) -> float:
    """Return what was attained while it lasted; all of it where that was not looked at."""
    return 1.0 if item.during_attainment is None else item.during_attainment
