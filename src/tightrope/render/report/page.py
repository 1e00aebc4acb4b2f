"""The report's page: its sections in the order in which people ask."""

from importlib import resources
from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render import words
from tightrope.render.report import sections
from tightrope.render.report.html import Html, join, raw, tag

SECTIONS = (
    sections.headline,
    sections.alerts,
    sections.bill,
    sections.levers,
    sections.pools,
    sections.week,
    sections.routing,
    sections.commitments,
    sections.promises,
    sections.grounds,
    sections.outlook,
    sections.refusals,
)
"""What the page shows; a section that has nothing to say returns no markup."""


class Report:
    """Writes ``report.html``."""

    name = "report"

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the one file, charts and style inside."""
        return {Path("report.html"): f"<!doctype html>\n{_page(plan)}\n"}


RENDERER = Report()


def _page(plan: Plan) -> Html:
    """Return the document."""
    style = resources.files("tightrope.render.report").joinpath("style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{plan.workload}: {words.usd(plan.monthly_cost_usd)} a month · Tightrope"),
        tag("style", raw(style)),
    )
    parts = [part for part in (section(plan) for section in SECTIONS) if part]
    footer = tag(
        "footer", f"Written by Tightrope. The same figures, for programs: plan.json, schema version {plan.schema_version}."
    )
    return tag("html", head, tag("body", tag("main", join(parts), footer)), lang="en")
