"""The replay on the terminal: promises, requests, pools, events and cost, the scenario beside the traffic as recorded."""

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightrope.base.plan import Evidence
from tightrope.base.replay_report import ReplayReport, RunOutcome
from tightrope.render import formats
from tightrope.render.replay_report import replay_formats
from tightrope.render.terminal import add_rows, grid, labelled_grid, plain_text

NEVER = {"0", "0.0 %"}
NOTHING = NEVER | {replay_formats.NOT_KNOWN}


def print_replayed(
    report: ReplayReport, console: Console, requests_per_s: float | None = None, files: Iterable[str] = ()
) -> None:
    """Print the report for a person, fitted to the console's width; ``requests_per_s`` is how fast it was replayed."""
    console.print(plain_text(report.workload, "bold"), plain_text(" · ".join([*report.sources, report.window]), "dim"), sep="  ")
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


def _verdict(report: ReplayReport) -> Table:
    """Return how it ended."""
    table = labelled_grid("left")
    good, of = formats.count_kept(report.last.evidence)
    style = "bold green" if report.last.kept and of else "bold red"
    table.add_row(
        "verdict", Text.assemble((replay_formats.verdict(report.last).upper(), style), f"  {good} of {of} promises proven")
    )
    for run in report.runs:
        add_rows(table, plain_text(replay_formats.run_name(run)), [plain_text(note) for note in run.notes])
    return table


def _promises(report: ReplayReport) -> Table:
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


def _drill(report: ReplayReport) -> Table:
    """Return how the promises were kept for the requests that arrived during the drill."""
    table = grid("left", "left", "right!", "right!", "right!")
    if report.last.drill_evidence:
        table.add_row(*_heads("during the drill", "", "attained", "promised", "requests"))
    for item in report.last.drill_evidence:
        seen = (formats.percent(item.attainment), f"{100 * item.target:g} %", replay_formats.number(item.requests))
        style = "" if item.attainment >= item.target else "red"
        table.add_row(plain_text(item.traffic_class), plain_text(item.slo), *(plain_text(text, style) for text in seen))
    return table


def _heads(*names: str) -> list[Text]:
    """Return a row of heads."""
    return [Text(name, "dim") for name in names]


def _run_column(report: ReplayReport) -> list[str]:
    """Return the column that tells the runs apart, where there is more than one."""
    return ["left"] if len(report.runs) > 1 else []


def _run_head(report: ReplayReport) -> list[str]:
    """Return its head."""
    return ["run"] if len(report.runs) > 1 else []


def _run_cell(report: ReplayReport, run: RunOutcome) -> list[Text]:
    """Return its cell."""
    return [plain_text(replay_formats.run_name(run))] if len(report.runs) > 1 else []


def _promise(item: Evidence, run: list[Text]) -> list[Text]:
    """Return the cells of one promise."""
    verdict = Text("✓", "green") if item.verdict == "proven" else Text("✗" if item.attainment < item.target else "~", "bold red")
    seen = (formats.attainment(item), formats.interval(item), formats.duration(item.p95_ms))
    return [verdict, plain_text(item.traffic_class), plain_text(item.slo), *run, *map(plain_text, seen)]


def _times(report: ReplayReport) -> Table:
    """Return how many requests each class had, and how long they took."""
    table = grid("left", *_run_column(report), "right!", "left!", "right!", "right!", "right!")
    table.add_row(*_heads("class", *_run_head(report), "requests", "time", "p50", "p95", "p99"))
    for run in report.runs:
        for item in run.classes:
            first = [plain_text(item.name), *_run_cell(report, run), plain_text(replay_formats.number(item.requests))]
            for name, spread in replay_formats.spreads(item):
                times = (formats.duration(at) for at in (spread.p50_ms, spread.p95_ms, spread.p99_ms))
                table.add_row(*first, plain_text(name), *map(plain_text, times))
                first = [Text("")] * len(first)
            if first[0].plain:
                table.add_row(*first, plain_text("none answered", "red"))
    return table


def _pools(report: ReplayReport) -> Table:
    """Return what every pool did."""
    table = grid("left", *_run_column(report), "right!", "right!", "right!", "right!")
    table.add_row(*_heads("pool", *_run_head(report), "machines", "hours", "busy", "requests"))
    for place in range(len(report.runs[0].pools)):
        for run in report.runs:
            item = run.pools[place]
            busy = replay_formats.NOT_KNOWN if item.utilisation is None else formats.percent(item.utilisation, 0)
            cells = (
                replay_formats.machines(item),
                replay_formats.number(item.machine_hours),
                busy,
                replay_formats.number(item.requests),
            )
            table.add_row(
                plain_text(item.name if run is report.runs[0] else ""), *_run_cell(report, run), *map(plain_text, cells)
            )
    return table


def _events(report: ReplayReport) -> Table:
    """Return what happened; what never did is named in one line."""
    table = labelled_grid("left!", *["right"] * len(report.runs))
    rows = [(name, [show(run) for run in report.runs]) for name, show in _endings() + list(replay_formats.EVENTS)]
    happened = [(name, shown) for name, shown in rows if set(shown) - NOTHING]
    if happened and len(report.runs) > 1:
        table.add_row("", "", *_heads(*(replay_formats.run_name(run) for run in report.runs)))
    label = "events"
    for name, shown in happened:
        table.add_row(label, plain_text(name), *map(plain_text, shown))
        label = ""
    return table


def _endings() -> list[tuple[str, replay_formats.Show]]:
    """Return the ways in which requests ended badly."""
    return [
        ("larger than any KV cache", replay_formats.shown_sum("too_large")),
        ("no pool ever runs for them", replay_formats.shown_sum("no_pool")),
        ("never answered", replay_formats.shown_sum("unanswered")),
    ]


def _cost(report: ReplayReport) -> Table:
    """Return the bill of the stretch and of a month, beside the plan's."""
    table = labelled_grid("left", "right!", "right!")
    table.add_row("cost", *_heads("", "this stretch", "as a month"))
    for run in report.runs:
        table.add_row(
            "", plain_text(replay_formats.run_name(run)), formats.usd(run.stretch_cost_usd), formats.usd(run.monthly_cost_usd)
        )
    table.add_row(
        "", plain_text("the plan's own proof", "dim"), "", plain_text(formats.usd(report.plan_replay_monthly_cost_usd), "dim")
    )
    table.add_row("", plain_text("the plan's schedule", "dim"), "", plain_text(formats.usd(report.plan_monthly_cost_usd), "dim"))
    return table


def _notes(report: ReplayReport, requests_per_s: float | None, files: Iterable[str]) -> Table:
    """Return what never happened, what to watch, and where to go next."""
    table = labelled_grid("left")
    rows = [(name, [show(run) for run in report.runs]) for name, show in _endings() + list(replay_formats.EVENTS)]
    never = [name for name, shown in rows if set(shown) <= NEVER]
    add_rows(table, "never", [plain_text(", ".join(never), "dim")] if never else [])
    late = [replay_formats.unbilled(run) for run in report.runs]
    add_rows(table, "watch out", [plain_text(text, "yellow") for text in (*report.warnings, *filter(None, late))])
    add_rows(table, "seeds", [plain_text(", ".join(map(str, report.seeds)), "dim")])
    add_rows(table, "files", [plain_text(path, "bold") for path in files])
    add_rows(table, "replayed at", [plain_text(f"{requests_per_s:,.0f} requests/s", "dim")] if requests_per_s else [])
    return table
