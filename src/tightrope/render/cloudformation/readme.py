"""``README.md`` beside the templates: what they make, what to fill in, what to run."""

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, max_pool_machines
from tightrope.render.infra.readme import quote_notice
from tightrope.render.infra.templates import static
from tightrope.render.markdown import escape_text, page, table


def readme(plan: Plan, parts: tuple[DeployedPool, ...]) -> str:
    """Return the page; it says so where there is nothing to write."""
    head = page(f"# {escape_text(plan.workload)} in CloudFormation", quote_notice(plan))
    if not parts:
        return page(head, "There is nothing to write: no pool of the plan stands on AWS.")
    rows = [
        (
            escape_text(part.pool.name),
            escape_text(part.pool.region),
            escape_text(part.pool.machine),
            escape_text(part.pool.offer),
            f"{min(part.week)} to {max_pool_machines(plan, part) if part.kind == 'machines' else part.pool.max_replicas}",
        )
        for part in parts
    ]
    return page(
        head, table(("pool", "region", "machine", "offer", "at one time"), rows), static("cloudformation", "README.body.md")
    )
