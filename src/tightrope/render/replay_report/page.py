"""``replay.html``: what a replay showed, for people; one file with its charts inside, no network."""

from collections.abc import Callable, Iterable

from tightrope.base.replay_report import ClassOutcome, ReplayReport, RunOutcome
from tightrope.render import formats
from tightrope.render.html import Html, join, listing, table, tag
from tightrope.render.page_elements import NOTHING, document, evidence, figure, section, share
from tightrope.render.replay_report import charts, replay_formats


def page(report: ReplayReport) -> Html:
    """Return the document."""
    sections = (headline, alerts, promises, time_line, requests, events, pools, cost)
    footer = f"Written by Tightrope. The same figures, for programs: replay.json, schema version {report.schema_version}."
    return document(f"{report.workload}, replayed · Tightrope", (part(report) for part in sections), footer)


def headline(report: ReplayReport) -> Html:
    """Return the verdict in one look, and what it is about."""
    good, of = formats.count_kept(report.last.evidence)
    kept = report.last.kept and of > 0
    badge = tag(
        "span",
        "✓ promises kept" if kept else f"✗ {replay_formats.verdict(report.last)}",
        class_=f"badge {'good' if kept else 'bad'}",
    )
    facts = [
        (f"{good} of {of} proven" if of else "none", f"promises, {replay_formats.run_name(report.last)}"),
        (replay_formats.number(sum(item.requests for item in report.last.classes)), "requests a replay"),
        (formats.usd(report.last.stretch_cost_usd), "the stretch cost"),
        (
            formats.usd(report.last.monthly_cost_usd),
            f"at the scale of a month; the plan says {formats.usd(report.plan_monthly_cost_usd)}",
        ),
    ]
    return tag(
        "header",
        tag("p", badge, " ", " · ".join([*report.sources, report.window, formats.count(report.seeds, "seed")]), class_="quiet"),
        tag("h1", replay_formats.sentence(report)),
        tag("dl", *(tag("div", tag("dt", meaning), tag("dd", amount)) for amount, meaning in facts), class_="facts"),
    )


def alerts(report: ReplayReport) -> Html:
    """Return what must be read before anything is believed."""
    boxes = []
    missed = replay_formats.unproven_promises(report.last)
    if missed:
        boxes.append(
            tag(
                "div",
                tag("h2", replay_formats.verdict(report.last).capitalize()),
                tag("p", missed),
                class_="alert bad",
                role="alert",
            )
        )
    warnings = [*report.warnings, *filter(None, map(replay_formats.unbilled, report.runs))]
    if warnings:
        boxes.append(tag("div", tag("h2", "Watch out"), listing(warnings), class_="alert"))
    return join(boxes)


def promises(report: ReplayReport) -> Html:
    """Return the evidence of every run, and how the promises were kept during the drill."""
    parts = [
        evidence(replay_formats.run_name(run).capitalize(), run.evidence, "proven", "not proven")
        for run in report.runs
        if run.evidence
    ]
    rows = [
        (
            item.traffic_class,
            item.slo,
            formats.percent(item.attainment),
            formats.percent(item.target),
            replay_formats.number(item.requests),
        )
        for item in report.last.drill_evidence
    ]
    if rows:
        heads = ("class", "promise", ">attained", ">promised", ">requests")
        parts.append(table("Requests that arrived during the drill only", heads, rows, class_="stack"))
    note = (
        "The bar shows the confidence interval of the share attained; the tick is the share promised. A promise is proven when the "
        "low end of the interval reaches it."
    )
    return section("The promises", *parts, note=note) if parts else NOTHING


def time_line(report: ReplayReport) -> Html:
    """Return the panels of every run, the scenario's first."""
    parts = [part for run in reversed(report.runs) for part in _panels(report, run)]
    width = replay_formats.width(report.last.series.bin_s)
    note = f"The first seed, in steps of {width}, on the trace's clock. What is shaded is the time of the drill."
    return section("The time-line", *parts, note=note if report.last.drill_start_h is not None else note.partition(" What")[0])


def _panels(report: ReplayReport, run: RunOutcome) -> Iterable[Html]:
    """Yield the panels of one run."""
    drawn: tuple[tuple[str, Callable[[RunOutcome, float], charts.Chart]], ...] = (
        ("Machines", charts.machines),
        ("Requests waiting", charts.queue),
        (f"Latency: {replay_formats.metrics(run)}", charts.latency),
        ("Dollars an hour", charts.cost),
    )
    for title, draw in drawn:
        name = f"{title}, {replay_formats.run_name(run)}" if len(report.runs) > 1 else title
        yield tag("h3", name)
        yield figure(draw(run, report.duration_h))


def requests(report: ReplayReport) -> Html:
    """Return what became of the requests, and how long they took."""
    heads = ("class", "run", ">requests", ">answered", ">from cache", ">turned away", ">too large", ">no pool", ">unanswered")
    rows = [
        (item.name, replay_formats.run_name(run), *(replay_formats.number(count) for count in _counts(item)))
        for run in report.runs
        for item in run.classes
    ]
    ended = table("How requests ended, a replay", heads, rows, class_="stack")
    times = [
        (
            item.name,
            replay_formats.run_name(run),
            name,
            *(formats.duration(at) for at in (spread.p50_ms, spread.p95_ms, spread.p99_ms)),
        )
        for run in report.runs
        for item in run.classes
        for name, spread in replay_formats.spreads(item)
    ]
    took = table("How long answered requests took", ("class", "run", "time", ">p50", ">p95", ">p99"), times, class_="stack")
    return section("The requests", ended, took)


def _counts(item: ClassOutcome) -> tuple[float, ...]:
    """Return the counts in the table's order."""
    return (item.requests, item.answered, item.cached, item.shed, item.too_large, item.no_pool, item.unanswered)


def events(report: ReplayReport) -> Html:
    """Return what else happened."""
    rows = [(name, *(show(run) for run in report.runs)) for name, show in replay_formats.EVENTS]
    notes = [note for run in report.runs for note in run.notes]
    body = table("Events, a replay", ("event", *(f">{replay_formats.run_name(run)}" for run in report.runs)), rows)
    return section("What happened", body, note="; ".join(notes))


def pools(report: ReplayReport) -> Html:
    """Return what every pool did."""
    heads = ("pool", "run", "machine", "offer", ">machines", ">machine-hours", "busy", ">requests")
    rows = [
        (
            item.name,
            replay_formats.run_name(run),
            item.machine,
            item.offer,
            replay_formats.machines(item),
            replay_formats.number(item.machine_hours),
            replay_formats.NOT_KNOWN if item.utilisation is None else share(item.utilisation),
            replay_formats.number(item.requests),
        )
        for run in report.runs
        for item in run.pools
    ]
    return section("The pools", table("What every pool did, a replay", heads, rows, class_="stack"))


def cost(report: ReplayReport) -> Html:
    """Return the bill of the stretch by driver, and at the scale of a month."""
    drivers = list(dict.fromkeys(line.driver for run in report.runs for line in run.cost_lines))
    rows = [(driver, *(formats.usd(replay_formats.driver_usd(run, driver)) for run in report.runs)) for driver in drivers]
    rows.append(("total", *(formats.usd(run.stretch_cost_usd) for run in report.runs)))
    heads = ("driver", *(f">{replay_formats.run_name(run)}" for run in report.runs))
    months = [
        ("as it ran here", *(formats.usd(run.monthly_cost_usd) for run in report.runs)),
        ("the plan's proof", *[formats.usd(report.plan_replay_monthly_cost_usd)] * len(report.runs)),
        ("the plan's schedule", *[formats.usd(report.plan_monthly_cost_usd)] * len(report.runs)),
    ]
    return section(
        "The bill",
        table("The stretch, dollars", heads, rows, class_="total"),
        table("At the scale of a month, dollars", heads, months),
        note="Machines by the second, disks with them, commitments by the hour begun, egress by the answer. "
        "The bill ends with the stretch.",
    )
