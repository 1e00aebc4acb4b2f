"""The replay on the terminal: promises, requests, pools, events and cost, the scenario beside the traffic as recorded."""

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightrope.base.plan import Evidence
from tightrope.base.replayed import Replayed, RunOutcome
from tightrope.render import words
from tightrope.render.replayed import said
from tightrope.render.terminal import add_rows, grid, labelled, say

NEVER = {"0", "0.0 %"}
NOTHING = NEVER | {said.NOT_KNOWN}


def print_replayed(report: Replayed, console: Console, requests_per_s: float | None = None, files: Iterable[str] = ()) -> None:
    """Print the report for a person, fitted to the console's width; ``requests_per_s`` is how fast it was replayed."""
    console.print(say(report.workload, "bold"), say(" · ".join([*report.sources, report.window]), "dim"), sep="  ")
    sections = [
        _verdict(report),
        _promises(report),
        _drill(report),
        _times(report),
        _pools(report),
        _events(report),
        _cost(report),
        _notes(report, requests_per_s, files),
    ]
    for section in sections:
        if section.row_count:
            console.print()
            console.print(Padding(section, (0, 0, 0, 2), expand=False))


def _verdict(report: Replayed) -> Table:
    """Return how it ended."""
    table = labelled("left")
    good, of = words.kept(report.last.evidence)
    style = "bold green" if report.last.kept and of else "bold red"
    table.add_row("verdict", Text.assemble((said.verdict(report.last).upper(), style), f"  {good} of {of} promises proven"))
    for run in report.runs:
        add_rows(table, say(said.run_name(run)), [say(note) for note in run.notes])
    return table


def _promises(report: Replayed) -> Table:
    """Return one row for each promise and run; what the drill's own requests saw below it."""
    table = grid("left!", "left", "left", *_run_column(report), "right!", "left!", "right!")
    if not any(run.evidence for run in report.runs):
        return table
    table.add_row(*_heads("", "class", "promise", *_run_head(report), "attained", "", "p95"))
    for name in dict.fromkeys((item.traffic_class, item.slo) for run in report.runs for item in run.evidence):
        for run in report.runs:
            for item in run.evidence:
                if (item.traffic_class, item.slo) == name:
                    table.add_row(*_promise(item, _run_cell(report, run)))
    return table


def _drill(report: Replayed) -> Table:
    """Return how the promises were kept for the requests that arrived during the drill."""
    table = grid("left", "left", "right!", "right!", "right!")
    if report.last.drill_evidence:
        table.add_row(*_heads("during the drill", "", "attained", "promised", "requests"))
    for item in report.last.drill_evidence:
        seen = (words.percent(item.attainment), f"{100 * item.target:g} %", said.number(item.requests))
        style = "" if item.attainment >= item.target else "red"
        table.add_row(say(item.traffic_class), say(item.slo), *(say(text, style) for text in seen))
    return table


def _heads(*names: str) -> list[Text]:
    """Return a row of heads."""
    return [Text(name, "dim") for name in names]


def _run_column(report: Replayed) -> list[str]:
    """Return the column that tells the runs apart, where there is more than one."""
    return ["left"] if len(report.runs) > 1 else []


def _run_head(report: Replayed) -> list[str]:
    """Return its head."""
    return ["run"] if len(report.runs) > 1 else []


def _run_cell(report: Replayed, run: RunOutcome) -> list[Text]:
    """Return its cell."""
    return [say(said.run_name(run))] if len(report.runs) > 1 else []


def _promise(item: Evidence, run: list[Text]) -> list[Text]:
    """Return the cells of one promise."""
    verdict = Text("✓", "green") if item.verdict == "proven" else Text("✗" if item.attainment < item.target else "~", "bold red")
    seen = (words.attained(item), words.interval(item), words.duration(item.p95_ms))
    return [verdict, say(item.traffic_class), say(item.slo), *run, *map(say, seen)]


def _times(report: Replayed) -> Table:
    """Return how many requests each class had, and how long they took."""
    table = grid("left", *_run_column(report), "right!", "left!", "right!", "right!", "right!")
    table.add_row(*_heads("class", *_run_head(report), "requests", "time", "p50", "p95", "p99"))
    for run in report.runs:
        for item in run.classes:
            first = [say(item.name), *_run_cell(report, run), say(said.number(item.requests))]
            for name, spread in said.spreads(item):
                times = (words.duration(at) for at in (spread.p50_ms, spread.p95_ms, spread.p99_ms))
                table.add_row(*first, say(name), *map(say, times))
                first = [Text("")] * len(first)
            if first[0].plain:
                table.add_row(*first, say("none answered", "red"))
    return table


def _pools(report: Replayed) -> Table:
    """Return what every pool did."""
    table = grid("left", *_run_column(report), "right!", "right!", "right!", "right!")
    table.add_row(*_heads("pool", *_run_head(report), "machines", "hours", "busy", "requests"))
    for place in range(len(report.runs[0].pools)):
        for run in report.runs:
            item = run.pools[place]
            busy = said.NOT_KNOWN if item.utilisation is None else words.percent(item.utilisation, 0)
            cells = (said.machines(item), said.number(item.machine_hours), busy, said.number(item.requests))
            table.add_row(say(item.name if run is report.runs[0] else ""), *_run_cell(report, run), *map(say, cells))
    return table


def _events(report: Replayed) -> Table:
    """Return what happened; what never did is named in one line."""
    table = labelled("left!", *["right"] * len(report.runs))
    rows = [(name, [show(run) for run in report.runs]) for name, show in _endings() + list(said.EVENTS)]
    happened = [(name, shown) for name, shown in rows if set(shown) - NOTHING]
    if happened and len(report.runs) > 1:
        table.add_row("", "", *_heads(*(said.run_name(run) for run in report.runs)))
    label = "events"
    for name, shown in happened:
        table.add_row(label, say(name), *map(say, shown))
        label = ""
    return table


def _endings() -> list[tuple[str, said.Show]]:
    """Return the ways in which requests ended badly."""
    return [
        ("larger than any KV cache", said.shown_sum("too_large")),
        ("no pool ever runs for them", said.shown_sum("no_pool")),
        ("never answered", said.shown_sum("unanswered")),
    ]


def _cost(report: Replayed) -> Table:
    """Return the bill of the stretch and of a month, beside the plan's."""
    table = labelled("left", "right!", "right!")
    table.add_row("cost", *_heads("", "this stretch", "as a month"))
    for run in report.runs:
        table.add_row("", say(said.run_name(run)), words.usd(run.stretch_cost_usd), words.usd(run.monthly_cost_usd))
    table.add_row("", say("the plan's own proof", "dim"), "", say(words.usd(report.plan_replay_monthly_cost_usd), "dim"))
    table.add_row("", say("the plan's schedule", "dim"), "", say(words.usd(report.plan_monthly_cost_usd), "dim"))
    return table


def _notes(report: Replayed, requests_per_s: float | None, files: Iterable[str]) -> Table:
    """Return what never happened, what to watch, and where to go next."""
    table = labelled("left")
    rows = [(name, [show(run) for run in report.runs]) for name, show in _endings() + list(said.EVENTS)]
    never = [name for name, shown in rows if set(shown) <= NEVER]
    add_rows(table, "never", [say(", ".join(never), "dim")] if never else [])
    late = [said.unbilled(run) for run in report.runs]
    add_rows(table, "watch out", [say(text, "yellow") for text in (*report.warnings, *filter(None, late))])
    add_rows(table, "seeds", [say(", ".join(map(str, report.seeds)), "dim")])
    add_rows(table, "files", [say(path, "bold") for path in files])
    add_rows(table, "replayed at", [say(f"{requests_per_s:,.0f} requests/s", "dim")] if requests_per_s else [])
    return table
