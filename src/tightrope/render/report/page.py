"""The report's page: its sections in the order in which people ask."""

from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render import formats
from tightrope.render.html import Html
from tightrope.render.page_elements import document
from tightrope.render.report import explanation, robustness, sections

SECTIONS = (
    sections.headline,
    sections.missed,
    sections.promises,
    sections.bill,
    sections.warnings,
    explanation.levers,
    sections.pools,
    sections.week,
    sections.routing,
    sections.commitments,
    robustness.robustness,
    robustness.tuned,
    sections.grounds,
    explanation.outlook,
    explanation.rivals,
    sections.refusals,
)
"""What the page shows; a section that has nothing to say returns no markup."""


class Report:
    """Writes ``report.html``."""

    name = "report"
    next_command = ""

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the one file, charts and style inside."""
        return {Path("report.html"): f"<!doctype html>\n{_page(plan)}\n"}


RENDERER = Report()


def _page(plan: Plan) -> Html:
    """Return the document."""
    title = f"{plan.workload}: {formats.usd(plan.monthly_cost_usd)} a month · Tightrope"
    footer = f"Written by Tightrope. The same figures, for programs: plan.json, schema version {plan.schema_version}."
    return document(title, (section(plan) for section in SECTIONS), footer)
