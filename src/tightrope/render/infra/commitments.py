"""``commitments.md``: what the plan would commit to, as a list to review. Code never buys one: that is for a person."""

from tightrope.base.plan import Commitment, Plan
from tightrope.render import formats
from tightrope.render.infra.readme import quote_notice
from tightrope.render.markdown import escape_text, page, table

HEADS = ("offer", "scope", ">$ an hour", ">upfront", "term", "payment", ">used", ">pays from")


def commitments_page(plan: Plan, cloud: str) -> str:
    """Return the page of one cloud, Markdown; it says so where there is nothing to commit to."""
    rows = [_cells(item) for item in plan.commitments if item.cloud == cloud]
    head = f"# Commitments on {cloud}", quote_notice(plan)
    if not rows:
        return page(*head, "The plan commits to nothing here.")
    return page(
        *head,
        "Nothing here is bought by code. Check each against what you have committed to already, then buy it by hand.",
        table(HEADS, rows),
        "*used*: the part of it that the planned machines take up. *pays from*: the part from which it costs less than paying on demand.",
    )


def _cells(item: Commitment) -> tuple[str, ...]:
    """Return one commitment's cells."""
    return (
        escape_text(f"{item.offer}{' (made already)' if item.existing else ''}"),
        escape_text(item.scope) or "everything that it may cover",
        f"{item.usd_per_hour:.5f}",
        formats.usd(item.upfront_usd),
        f"{item.term_years} y",
        escape_text(item.payment),
        formats.percent(item.utilisation),
        formats.percent(item.break_even) if item.break_even is not None else formats.UNKNOWN,
    )
