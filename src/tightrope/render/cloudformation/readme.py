"""``README.md`` beside the templates: what they make, what to fill in, what to run."""

from tightrope.base.plan import Plan
from tightrope.render.infra.deploy import Part, most_machines
from tightrope.render.infra.pages import quotation
from tightrope.render.infra.templates import static
from tightrope.render.markdown import page, said, table


def readme(plan: Plan, parts: tuple[Part, ...]) -> str:
    """Return the page; it says so where there is nothing to write."""
    head = page(f"# {said(plan.workload)} in CloudFormation", quotation(plan))
    if not parts:
        return page(head, "There is nothing to write: no pool of the plan stands on AWS.")
    rows = [
        (
            said(part.pool.name),
            said(part.pool.region),
            said(part.pool.machine),
            said(part.pool.offer),
            f"{min(part.week)} to {most_machines(plan, part) if part.kind == 'machines' else part.pool.max_replicas}",
        )
        for part in parts
    ]
    return page(
        head, table(("pool", "region", "machine", "offer", "at one time"), rows), static("cloudformation", "README.body.md")
    )
