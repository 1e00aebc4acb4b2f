"""What the targets' README pages share: the notice as a quotation, and a pool as a row of a table."""

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, max_pool_machines, notice
from tightrope.render.markdown import escape_text

HEADS = ("pool", "made of", "region", "paid", ">at least", ">in the week's largest hour", ">at most", ">$ a month")


def quote_notice(plan: Plan) -> str:
    """Return the notice as a Markdown quotation."""
    return "\n".join(f"> {escape_text(line)}" for line in notice(plan))


def pool_row(plan: Plan, part: DeployedPool) -> tuple[str, ...]:
    """Return one pool's cells below ``HEADS``."""
    pool = part.pool
    return (
        f"`{part.key}`",
        escape_text(pool.machine),
        escape_text(pool.region),
        escape_text(pool.offer),
        str(min(part.week)),
        str(max(part.week)),
        str(max_pool_machines(plan, part) if part.kind == "machines" else max(pool.max_replicas, *part.week)),
        f"{part.usd_per_month:,.2f}",
    )
