"""``commitments.md``: what the plan would commit to, as a list to review. Code never buys one: that is for a person."""

from tightrope.base.plan import Commitment, Plan
from tightrope.render import words
from tightrope.render.infra.deploy import notice

HEAD = ("offer", "scope", "$ an hour", "upfront", "term", "payment", "used", "pays from")


def commitments_page(plan: Plan, cloud: str) -> str:
    """Return the page of one cloud, Markdown; it says so where there is nothing to commit to."""
    found = [item for item in plan.commitments if item.cloud == cloud]
    lines = [f"# Commitments on {cloud}", "", *(f"> {line}" for line in notice(plan)), ""]
    if not found:
        return "\n".join([*lines, "The plan commits to nothing here.", ""])
    lines += [
        "Nothing here is bought by code. Check each against what you have committed to already, then buy it by hand.",
        "",
        _row(HEAD),
        _row(["---"] * len(HEAD)),
        *(_row(_cells(item)) for item in found),
        "",
        "*used*: the part of it that the planned machines take up. *pays from*: the part from which it costs less than paying on demand.",
        "",
    ]
    return "\n".join(lines)


def _cells(item: Commitment) -> tuple[str, ...]:
    """Return one commitment's cells."""
    return (
        f"{item.offer}{' (made already)' if item.existing else ''}",
        item.scope or "everything that it may cover",
        f"{item.usd_per_hour:.5f}",
        words.usd(item.upfront_usd),
        f"{item.term_years} y",
        item.payment,
        words.percent(item.utilisation),
        words.percent(item.break_even) if item.break_even is not None else words.UNKNOWN,
    )


def _row(cells: tuple[str, ...] | list[str]) -> str:
    """Return a row of a table; what a cell says can not end it."""
    return "| " + " | ".join(words.clean(cell).replace("|", "\\|") for cell in cells) + " |"
