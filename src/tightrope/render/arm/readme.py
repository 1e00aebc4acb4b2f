"""``README.md`` beside the template: what it makes, what it leaves out, and how to use it."""

from tightrope.base.plan import Plan
from tightrope.render import words
from tightrope.render.infra.azure.otherwise import otherwise
from tightrope.render.infra.deploy import deploy, on_cloud, usd_on
from tightrope.render.infra.pages import HEADS, quotation, row
from tightrope.render.infra.templates import static
from tightrope.render.markdown import page, said, table


def readme(plan: Plan) -> str:
    """Return the page."""
    here, differs = on_cloud(plan, "azure"), [*otherwise(plan), *_left_out(plan)]
    cost = words.usd(usd_on(plan, "azure"))
    return page(
        f"# {said(plan.workload)} on Azure, without Terraform",
        quotation(plan),
        table(HEADS, [row(plan, part) for part in deploy(here)]),
        f"With a part of what stands around the pools, this is {cost} a month; the budget is that and `marginPercent`.",
        "## What is otherwise than in the plan" if differs else "",
        "\n".join(f"- {line}" for line in differs),
        static("arm", "README.body.md"),
    )


def nothing_page(plan: Plan) -> str:
    """Return the page for a plan that has nothing on Azure."""
    return page(
        f"# {said(plan.workload)} on Azure", quotation(plan), "There is nothing to write: no pool of the plan stands on Azure."
    )


def _left_out(plan: Plan) -> list[str]:
    """Return which pools the template does not make."""
    functions = deploy(on_cloud(plan, "azure"), "function")
    return [f"`{part.key}` is a function, which this template does not make: use `--target terraform`." for part in functions]
