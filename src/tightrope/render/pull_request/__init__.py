"""``pull-request.md``: the plan as the text of a pull request: what changes, what it saves, and the evidence.

Comes in: a ``Plan``. Goes out: ``pull-request.md``. To extend: add a section to ``PARTS``.
"""

from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render import explanation_formats, formats, plan_warnings
from tightrope.render.infra.deployment import proof_line
from tightrope.render.markdown import escape_text, page, table


def _headline(plan: Plan) -> str:
    """Return the bill of today, the plan and the bound."""
    change = formats.change(plan)
    title = f"# {escape_text(plan.workload)}: {formats.usd(plan.monthly_cost_usd)} a month{f', {change}' if change else ''}"
    rows = [("this plan", formats.usd(plan.monthly_cost_usd))]
    if formats.has_today(plan):
        rows.insert(0, ("today", formats.usd(plan.today_monthly_cost_usd)))
    if plan.replay_monthly_cost_usd > 0:
        rows.append(("as it ran on traffic that it was not sized on", formats.usd(plan.replay_monthly_cost_usd)))
    rows.append(
        (
            f"no schedule for this demand costs less (gap {formats.percent(plan.gap_fraction)})",
            formats.usd(plan.lower_bound_monthly_usd),
        )
    )
    return page(title, f"**{escape_text(proof_line(plan))}.** {escape_text(plan.horizon)}", table(("", ">$ a month"), rows))


def _changes(plan: Plan) -> str:
    """Return what runs today and what is to run."""
    fleet = formats.fleet(plan.today_cost_lines)
    today = f"Today: {escape_text(fleet)}." if fleet else ""
    rows = [
        (
            escape_text(pool.name),
            escape_text(f"{pool.machine}, {pool.cloud} {pool.region}"),
            escape_text(pool.variant),
            escape_text(pool.offer),
            formats.replicas(pool),
            formats.active_hours(pool),
        )
        for pool in plan.pools
    ]
    heads = ("pool", "machine", "variant", "offer", ">replicas", "when")
    routes = "".join(f"- {escape_text(line)}\n" for line in formats.routes(plan))
    return page("## What changes", today, table(heads, rows) if rows else "", routes)


def _bill(plan: Plan) -> str:
    """Return the bill by cost driver, today's beside it where it is known."""
    today = formats.has_today(plan)
    drivers = [(escape_text(driver), now, planned) for driver, now, planned in formats.by_driver(plan)]
    drivers.append(("**total**", plan.today_monthly_cost_usd, plan.monthly_cost_usd))
    rows = [(driver, *([formats.usd(now)] if today else []), formats.usd(planned)) for driver, now, planned in drivers]
    return page("## The bill", table(("driver", *([">today"] if today else []), ">this plan"), rows))


def _saves(plan: Plan) -> str:
    """Return what each lever saves given those before it."""
    rows = [
        (escape_text(lever.name), formats.usd(lever.saving_usd), escape_text(lever.note))
        for lever in plan.levers
        if abs(lever.saving_usd) >= formats.NOTHING_USD
    ]
    return page("## What it saves", table(("lever", ">$ a month", ""), rows)) if rows else ""


def _evidence(plan: Plan) -> str:
    """Return each promise with what the replay saw, and what goes wrong where something does."""
    rows = [
        (
            "✓" if item.verdict == "proven" else "✗",
            escape_text(item.traffic_class),
            escape_text(item.slo),
            f"{formats.attainment(item)} {formats.interval(item)}".replace("[", "\\["),
            formats.target_share(item),
            formats.duration(item.p95_ms),
            f"{item.requests:,}",
        )
        for item in plan.evidence
    ]
    heads = ("", "class", "promise", ">attained", ">promised", ">p95", ">requests")
    drills = f"Drills: {escape_text('; '.join(formats.drills(plan)))}." if plan.robustness else ""
    return page(
        "## The evidence", table(heads, rows) if rows else "No promise was replayed.", escape_text(formats.proof(plan)), drills
    )


def _commitments(plan: Plan) -> str:
    """Return what is to be bought by a person."""
    lines = "".join(f"- [ ] {escape_text(line)}\n" for line in formats.commitments(plan))
    return page("## To be bought by hand", lines) if lines else ""


def _doubts(plan: Plan) -> str:
    """Return what the figures rest on, and what to watch."""
    rests = [f"{use.profile}: {formats.band(use)}" for use in plan.provenance]
    unplanned = plan_warnings.unplanned_options(plan)
    count = [f"{formats.count(unplanned, 'option')} not planned with; the report says why"] if unplanned else []
    lines = [*plan_warnings.rank_warnings(plan), *count, *rests, *explanation_formats.sensitivities(plan)]
    return page("## Before you merge", "".join(f"- {escape_text(line)}\n" for line in lines)) if lines else ""


PARTS = (_headline, _changes, _bill, _saves, _evidence, _commitments, _doubts)


class PullRequest:
    """Writes ``pull-request.md``."""

    name = "pull-request"
    next_command = "gh pr create --body-file {out}/pull-request.md"

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the one file."""
        return {Path("pull-request.md"): page(*(part(plan) for part in PARTS))}


RENDERER = PullRequest()
