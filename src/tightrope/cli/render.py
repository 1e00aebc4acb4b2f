"""``tightrope render``: a plan as infrastructure, alerts and reports; or its cost difference from another plan."""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import InputError, NotProvenError, build_unknown_name_error

if TYPE_CHECKING:
    from rich.console import Console

    from tightrope.base.contracts import Renderer
    from tightrope.base.plan import Plan
    from tightrope.render.files import FolderUpdate

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_NAMED = 16
"""Most files named on the terminal; the list in ``.tightrope/`` has all."""
A_MONDAY = 1
"""2024-01-01 was a Monday."""
WHOLE = ("alerts", "kserve", "kubernetes", "plan-json", "pull-request", "report")
"""Targets that cover all clouds: one gateway routes to every cloud, with one set of promises and one budget."""


def render(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="The plan.json that `tightrope plan` wrote.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="NAME",
            help="terraform, kubernetes, kserve, cloudformation, arm, alerts, report, pull-request, "
            "plan-json, or one that a package adds; may be repeated.",
        ),
    ] = None,
    cloud: Annotated[str, typer.Option(metavar="NAME", help="Only the part on this cloud, such as aws.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default: out/WORKLOAD/TARGET.")] = None,
    week_starts: Annotated[
        str, typer.Option(metavar="DAY", help="Weekday of the plan's first hour, if its traffic has no calendar: monday.")
    ] = "",
    unproven: Annotated[bool, typer.Option("--unproven", help="Render a plan that is not proven; every file says so.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that were edited since they were rendered.")] = False,
    diff: Annotated[
        Path | None,
        typer.Option(metavar="OLD.JSON", help="Show the monthly cost difference from this plan, resource by resource."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the written files, or the difference, as one JSON object.")
    ] = False,
) -> None:
    """Write a plan as files ready for a platform team to merge, or show the difference in dollars between two plans."""
    from tightrope.render.plan_json.load import load_plan

    plan = load_plan(plan_file)
    if diff is not None:
        _check_alone(target or [], cloud, week_starts)
        _show_difference(load_plan(diff), plan, out, as_json=as_json)
        return
    chosen = _find_renderers(target or [])
    _check_whole(chosen, cloud)
    plan = _prepare_plan(plan, cloud, week_starts, unproven=unproven)
    _write_targets(plan, chosen, cloud, out, force=force, as_json=as_json)


def _find_renderers(names: list[str]) -> list["Renderer"]:
    """Return the requested targets; raise ``InputError`` if none is named or one is unknown."""
    from tightrope.base.registry import load_renderers

    known = load_renderers()
    if not names:
        msg = "no target was named"
        raise InputError(msg, resolve=f"say --target {', --target '.join(sorted(known))}, or --diff OLD.JSON")
    for name in names:
        if name not in known:
            raise build_unknown_name_error(name, kind="target", known=known)
    return [known[name] for name in dict.fromkeys(names)]


def _check_whole(chosen: list["Renderer"], cloud: str) -> None:
    """Raise ``InputError`` if ``--cloud`` is combined with a target of the whole plan."""
    named = [target.name for target in chosen if target.name in WHOLE]
    if cloud and named:
        msg = f"--cloud takes a part of the plan, and {', '.join(named)} is of all of it"
        raise InputError(msg, resolve="leave --cloud out: on Kubernetes every cloud has its own folder")


def _check_alone(targets: list[str], cloud: str, week_starts: str) -> None:
    """Raise ``InputError`` if a difference is combined with options that it does not use."""
    if targets:
        msg = "--diff shows a difference, and --target writes files"
        raise InputError(msg, resolve="run them one after the other")
    if cloud or week_starts:
        msg = f"--diff compares whole plans, and takes no {'--cloud' if cloud else '--week-starts'}"
        raise InputError(msg, resolve="leave it out")


def _prepare_plan(plan: "Plan", cloud: str, week_starts: str, *, unproven: bool) -> "Plan":
    """Return the plan for rendering; raise ``NotProvenError`` if it is not proven and the user did not accept that."""
    from tightrope.render import formats
    from tightrope.render.infra.deployment import select_cloud

    if plan.status != "proven" and not unproven:
        msg = f"the plan is not proven: {formats.missed_promises(plan)}"
        raise NotProvenError(
            msg, resolve="plan again with looser promises or more machines, or say --unproven, which every file will repeat"
        )
    if week_starts:
        plan = replace(plan, first_day=_find_first_day(plan, week_starts))
    return select_cloud(plan, cloud) if cloud else plan


def _find_first_day(plan: "Plan", week_starts: str) -> str:
    """Return a date of the named weekday; raise ``InputError`` if the plan already has its first day."""
    if plan.first_day:
        msg = f"the plan's traffic is of the calendar: its first hour is of {plan.first_day}"
        raise InputError(msg, resolve="leave --week-starts out")
    if week_starts.lower() not in WEEKDAYS:
        raise build_unknown_name_error(week_starts, kind="weekday", known=WEEKDAYS)
    return f"2024-01-{A_MONDAY + WEEKDAYS.index(week_starts.lower()):02d}"


def _write_targets(plan: "Plan", chosen: list["Renderer"], cloud: str, out: Path | None, *, force: bool, as_json: bool) -> None:
    """Render all targets first, then update each target's folder."""
    from rich.console import Console

    from tightrope.render.files import update_files
    from tightrope.render.infra.names import slug

    rendered = [(target, target.render(plan)) for target in chosen]
    told: list[dict[str, object]] = []
    for target, files in rendered:
        folder = out or Path("out") / slug(plan.workload)
        folder = folder if out and len(chosen) == 1 else folder / target.name
        updated = update_files(folder, files, f"{target.name}-{slug(cloud)}" if cloud else target.name, force=force)
        command = target.next_command.format(out=shlex.quote(str(folder)))
        told.append(_as_dict(target.name, folder, updated, command))
        if not as_json:
            _print_written(Console(), target.name, folder, updated, command)
    if as_json:
        typer.echo(json.dumps({"status": plan.status, "targets": told}))
    elif not plan.first_day and any(target.name not in {"report", "plan-json", "pull-request"} for target in chosen):
        typer.echo(
            "hours  the traffic is of no calendar: its first day is taken as a Monday (--week-starts DAY says another)", err=True
        )


def _as_dict(name: str, folder: Path, updated: "FolderUpdate", command: str) -> dict[str, object]:
    """Return the written files of one target as JSON values."""
    paths: dict[str, object] = {kind: [str(path) for path in found] for kind, found in asdict(updated).items()}
    return {"target": name, "out": str(folder), **paths, "next": command}


def _print_written(console: "Console", name: str, folder: Path, updated: "FolderUpdate", command: str) -> None:
    """Print the written files of one target, and the next command."""
    from tightrope.render import formats
    from tightrope.render.files import STARTS
    from tightrope.render.terminal import add_rows, labelled_grid, plain_text

    table = labelled_grid("left")
    rest = len(updated.written) - MOST_NAMED
    shown = updated.written if rest <= 1 else updated.written[:MOST_NAMED]
    add_rows(table, "wrote", [plain_text(str(path)) for path in shown])
    add_rows(table, "", [plain_text(f"and {rest} more", "dim")] if rest > 1 else [])
    add_rows(table, "the same", [plain_text(formats.count(updated.same, "file"), "dim")] if updated.same else [])
    add_rows(table, "removed", [plain_text(str(path), "yellow") for path in updated.removed])
    left = [path for path in updated.yours if path not in updated.outdated]
    add_rows(table, "yours", [plain_text(f"{path} (left as it is)", "dim") for path in left])
    add_rows(table, "to compare", [plain_text(f"{path} (yours) with {STARTS / path}", "yellow") for path in updated.outdated])
    add_rows(table, "unused", [plain_text(f"{path} (yours, no longer rendered)", "yellow") for path in updated.unused])
    console.print(plain_text(f"{name}, in {folder}/", "bold"))
    console.print(table)
    if command:
        # Not wrapped, so that it can be copied.
        console.print(plain_text("next  ", "dim").append_text(plain_text(command, "bold")), soft_wrap=True)


def _show_difference(old: "Plan", new: "Plan", out: Path | None, *, as_json: bool) -> None:
    """Print the difference of two plans; write it as a page if a folder is given."""
    from rich.console import Console

    from tightrope.render.difference.resources import find_difference
    from tightrope.render.difference.tables import difference_page, print_difference
    from tightrope.render.files import write_files
    from tightrope.render.plain import plain

    found = find_difference(old, new)
    if out is not None:
        write_files(out, {Path("difference.md"): difference_page(found)})
    if as_json:
        typer.echo(json.dumps(plain(found)))
        return
    print_difference(found, Console())
    if out is not None:
        typer.echo(f"wrote  {out / 'difference.md'}")
