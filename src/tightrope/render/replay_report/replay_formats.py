"""How a replay's figures are said, the same on the page and on the terminal."""

from collections.abc import Callable
from typing import TypeAlias

from tightrope.base.replay_report import ClassOutcome, PoolOutcome, ReplayReport, RunOutcome, Spread
from tightrope.render import formats

NOT_KNOWN = "–"
LATE = 0.01
"""Share of answers after the stretch's end from which on it is said."""
Show: TypeAlias = Callable[[RunOutcome], str]
"""Says one figure of a run."""


def number(count: float) -> str:
    """Return a count, which may be a mean over seeds, as people write it.

    >>> number(19366.0), number(2.5), number(0.0), number(1234.25)
    ('19,366', '2.5', '0', '1,234')
    """
    return f"{count:,.0f}" if count == int(count) or count >= 100 else f"{count:,.1f}"


def run_name(run: RunOutcome) -> str:
    """Return what a run is called."""
    return run.scenario or "as recorded"


def sentence(report: ReplayReport) -> str:
    """Return the answer as a sentence."""
    if not report.last.evidence:
        return f"{report.workload}: no promise had a request"
    with_what = f" with {report.last.scenario}" if report.last.scenario else ""
    verb = "keeps" if report.last.kept else "does not prove" if not missed_promises(report.last) else "misses"
    return f"The plan for {report.workload} {verb} its promises on this traffic{with_what}"


def verdict(run: RunOutcome) -> str:
    """Return how it ended, in two words."""
    if not run.evidence:
        return "nothing proven"
    return "promise missed" if missed_promises(run) else "promises kept" if run.kept else "not proven"


def missed_promises(run: RunOutcome) -> list[str]:
    """Return the promises that were attained too rarely, whatever their interval."""
    return [f"{item.traffic_class} {item.slo}" for item in run.evidence if item.attainment < item.target]


def unproven_promises(run: RunOutcome) -> str:
    """Return which promises are not proven, and by how much; empty where all are."""
    return " · ".join(
        f"{item.traffic_class} {item.slo}: {formats.attainment(item)} attained {formats.interval(item)}, "
        f"{formats.target_share(item)} promised"
        for item in run.evidence
        if item.verdict != "proven"
    )


def metrics(run: RunOutcome) -> str:
    """Return what the latency panel shows: the metric of each class's first promise."""
    first: dict[str, str] = {}
    for item in run.evidence:
        if item.target < 1.0:
            first.setdefault(item.traffic_class, item.slo.partition(" ")[0])
    kinds = list(dict.fromkeys(first.values())) or ["latency"]
    return kinds[0] if len(kinds) == 1 else ", ".join(f"{kind} of {name}" for name, kind in first.items())


def width(bin_s: float) -> str:
    """Return the width of a bin in words.

    >>> width(60.0), width(300.0), width(3600.0), width(86400.0)
    ('a minute', '5 minutes', 'an hour', 'a day')
    """
    for unit_s, one, many in ((86_400.0, "a day", "days"), (3600.0, "an hour", "hours"), (60.0, "a minute", "minutes")):
        if bin_s >= unit_s:
            return one if bin_s == unit_s else f"{bin_s / unit_s:.3g} {many}"
    return f"{bin_s:g} s"


def machines(pool: PoolOutcome) -> str:
    """Return how many machines a pool had, by the hour.

    >>> machines(PoolOutcome("a", "m", "spot", 1.0, 0.0, 1.0, 0.0, 5.97, 0.5)), machines(PoolOutcome("a", "m", "spot", 1, 0, 1, 2, 2, 0.5))
    ('0–6', '2')
    """
    low, high = (f"{count:.1f}".removesuffix(".0") for count in (pool.least_machines, pool.most_machines))
    return low if low == high else f"{low}–{high}"


def spreads(item: ClassOutcome) -> list[tuple[str, Spread]]:
    """Return the times of a class that are known, by name."""
    named = (("ttft", item.ttft), ("tpot", item.tpot), ("latency", item.latency), ("queue", item.queue))
    return [(name, spread) for name, spread in named if spread is not None]


def driver_usd(run: RunOutcome, driver: str) -> float:
    """Return what one driver cost."""
    return sum(line.usd for line in run.cost_lines if line.driver == driver)


def shown_sum(name: str) -> Show:
    """Return the function that adds up a count over a run's classes and says it."""
    return lambda run: number(sum(getattr(item, name) for item in run.classes))


def _shown(name: str) -> Show:
    """Return the function that says a count of a run."""
    return lambda run: number(getattr(run, name))


def _prefix(run: RunOutcome) -> str:
    """Return the share of prompt tokens that prefix caches spared, of the classes where it is known."""
    known = [(item.prefix_share, item.prompt_tokens) for item in run.classes if item.prefix_share is not None]
    read = sum(tokens for _, tokens in known)
    return formats.percent(sum(share * tokens for share, tokens in known) / read) if read else NOT_KNOWN


def unbilled(run: RunOutcome) -> str:
    """Say what part of the answers came after the stretch's end, whose work no bill has; empty where it is less than one in a hundred."""
    answered, late = (sum(getattr(pool, name) for pool in run.pools) for name in ("requests", "late"))
    if late < LATE * answered or not late:
        return ""
    return (
        f"{run_name(run)}: {formats.percent(late / answered)} of the answers came after the stretch, what ran then is not billed"
    )


EVENTS: tuple[tuple[str, Show], ...] = (
    ("answers from the cache", shown_sum("cached")),
    ("prompt tokens spared by prefix caches", _prefix),
    ("requests turned away for good", shown_sum("shed")),
    ("times a request was turned away", _shown("attempts_shed")),
    ("preemptions", _shown("preemptions")),
    ("spot interruptions", _shown("interruptions")),
    ("machine failures", _shown("failures")),
    ("requests begun again", _shown("retries")),
    ("cold starts", _shown("cold_starts")),
)
"""What happened, by name, as text for a run."""
