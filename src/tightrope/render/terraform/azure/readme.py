"""``README.md`` beside the root module: what it makes, what it does otherwise than the plan, and how to use it."""

from tightrope.base.plan import Plan
from tightrope.render import words
from tightrope.render.infra.azure.otherwise import otherwise
from tightrope.render.infra.deploy import deploy, on_cloud, usd_on
from tightrope.render.infra.pages import HEADS, quotation, row
from tightrope.render.infra.templates import static
from tightrope.render.markdown import page, said, table


def readme(plan: Plan) -> str:
    """Return the page."""
    here, differs = on_cloud(plan, "azure"), otherwise(plan)
    cost = words.usd(usd_on(plan, "azure"))
    return page(
        f"# {said(plan.workload)} on Azure",
        quotation(plan),
        table(HEADS, [row(plan, part) for part in deploy(here)]),
        f"With a part of what stands around the pools, this is {cost} a month; the budget is that and `margin`.",
        "## What is otherwise than in the plan" if differs else "",
        "\n".join(f"- {line}" for line in differs),
        static("terraform/azure/root", "README.body.md"),
    )
