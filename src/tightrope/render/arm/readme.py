"""``README.md`` beside the template: what it makes, what it leaves out, and how to use it."""

from tightrope.base.plan import Plan
from tightrope.render import formats
from tightrope.render.infra.azure.deviations import list_deviations
from tightrope.render.infra.deployment import deploy_pools, select_cloud, usd_on_cloud
from tightrope.render.infra.readme import HEADS, pool_row, quote_notice
from tightrope.render.infra.templates import static
from tightrope.render.markdown import escape_text, page, table


def readme(plan: Plan) -> str:
    """Return the page."""
    here, differs = select_cloud(plan, "azure"), [*list_deviations(plan), *_left_out(plan)]
    cost = formats.usd(usd_on_cloud(plan, "azure"))
    return page(
        f"# {escape_text(plan.workload)} on Azure, without Terraform",
        quote_notice(plan),
        table(HEADS, [pool_row(plan, part) for part in deploy_pools(here)]),
        f"With a part of what stands around the pools, this is {cost} a month; the budget is that and `marginPercent`.",
        "## What is otherwise than in the plan" if differs else "",
        "\n".join(f"- {line}" for line in differs),
        static("arm", "README.body.md"),
    )


def nothing_page(plan: Plan) -> str:
    """Return the page for a plan that has nothing on Azure."""
    return page(
        f"# {escape_text(plan.workload)} on Azure",
        quote_notice(plan),
        "There is nothing to write: no pool of the plan stands on Azure.",
    )


def _left_out(plan: Plan) -> list[str]:
    """Return which pools the template does not make."""
    functions = deploy_pools(select_cloud(plan, "azure"), "function")
    return [f"`{part.key}` is a function, which this template does not make: use `--target terraform`." for part in functions]
