"""The difference of two plans on the terminal and as a Markdown page."""

from rich.console import Console
from rich.text import Text

from tightrope.render import formats
from tightrope.render.difference.resources import Change, PlanDifference, Resource
from tightrope.render.markdown import escape_text, page, table
from tightrope.render.terminal import grid, plain_text

SIGNS: dict[Change, tuple[str, str]] = {
    "new": ("+", "green"),
    "gone": ("-", "red"),
    "changed": ("~", "yellow"),
    "same": (" ", "dim"),
}


def percent_more(old: float, new: float) -> str:
    """Return a change in per cent of the old figure, empty where there was none.

    >>> percent_more(200.0, 150.0), percent_more(100.0, 101.26), percent_more(0.0, 5.0)
    ('−25.0 %', '+1.3 %', '')
    """
    return f"{'+' if new > old else ''}{formats.percent(new / old - 1.0)}" if old > 0 and new != old else ""


def print_difference(found: PlanDifference, console: Console) -> None:
    """Print one row per resource, those that differ first; the ones that do not are counted."""
    console.print(
        plain_text(f"{found.old} → {found.new}" if found.old != found.new else found.new, "bold"),
        plain_text("US dollars a month", "dim"),
        sep="  ",
    )
    console.print()
    rows = grid("left!", "left", "right!", "right!", "right!", "right!")
    rows.add_row("", *(Text(head, "dim") for head in ("resource", "was", "is", "more", "")))
    for item in (item for item in found.resources if item.change != "same"):
        sign, style = SIGNS[item.change]
        name = plain_text(item.name, style)
        for what in item.what:
            name.append("\n  ").append_text(plain_text(what, "dim"))
        rows.add_row(Text(sign, style), name, *map(Text, _cells(item)))
    rows.add_row("", Text("total", "bold"), *(Text(cell, "bold") for cell in _totals(found)))
    console.print(rows)
    same = [item for item in found.resources if item.change == "same"]
    if same:
        console.print(
            plain_text(
                f"{formats.count(same, 'resource')} the same: {formats.usd(sum(item.new_usd_per_month for item in same))}", "dim"
            )
        )
    if found.new_status != "proven":
        console.print(Text(f"the new plan is {found.new_status}", "bold red"))


def _cells(item: Resource) -> tuple[str, str, str, str]:
    """Return what a resource was, is, and costs more."""
    was = "" if item.change == "new" else formats.usd(item.old_usd_per_month)
    now = "" if item.change == "gone" else formats.usd(item.new_usd_per_month)
    return was, now, formats.signed_usd(item.more_usd_per_month), percent_more(item.old_usd_per_month, item.new_usd_per_month)


def _totals(found: PlanDifference) -> tuple[str, str, str, str]:
    """Return the totals as ``_cells`` does."""
    old, new = found.old_usd_per_month, found.new_usd_per_month
    return formats.usd(old), formats.usd(new), formats.signed_usd(found.more_usd_per_month), percent_more(old, new)


def difference_page(found: PlanDifference) -> str:
    """Return the difference as a Markdown page, for a pull request."""
    title = f"# {escape_text(found.new)}: {formats.signed_usd(found.more_usd_per_month)} a month"
    rows = [
        (
            f"`{SIGNS[item.change][0]}`" if item.change != "same" else "",
            "<br>".join(map(escape_text, (item.name, *item.what))),
            *_cells(item),
        )
        for item in found.resources
    ]
    total = ("", "**total**", *_totals(found))
    verdict = "" if found.new_status == "proven" else f"**The new plan is {found.new_status}.**"
    return page(title, verdict, table(("", "resource", ">was", ">is", ">more", ">"), [*rows, total]))
