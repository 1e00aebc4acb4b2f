"""What the targets' README pages share: the notice as a quotation, and a pool as a row of a table."""

from tightrope.base.plan import Plan
from tightrope.render.infra.deploy import Part, most_machines, notice
from tightrope.render.markdown import said

HEADS = ("pool", "made of", "region", "paid", ">at least", ">in the week's largest hour", ">at most", ">$ a month")


def quotation(plan: Plan) -> str:
    """Return the notice as a Markdown quotation."""
    return "\n".join(f"> {said(line)}" for line in notice(plan))


def row(plan: Plan, part: Part) -> tuple[str, ...]:
    """Return one pool's cells below ``HEADS``."""
    pool = part.pool
    return (
        f"`{part.key}`",
        said(pool.machine),
        said(pool.region),
        said(pool.offer),
        str(min(part.week)),
        str(max(part.week)),
        str(most_machines(plan, part) if part.kind == "machines" else max(pool.max_replicas, *part.week)),
        f"{part.usd_per_month:,.2f}",
    )
