"""``pull-request.md``: the plan as the text of a pull request: what changes, what it saves, and the evidence.

Comes in: a ``Plan``. Goes out: ``pull-request.md``. To extend: add a section to ``PARTS``.
"""

from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render import reasons, words
from tightrope.render.infra.deploy import proven
from tightrope.render.markdown import page, said, table


def _headline(plan: Plan) -> str:
    """Return the bill of today, the plan and the bound."""
    change = words.change(plan)
    title = f"# {said(plan.workload)}: {words.usd(plan.monthly_cost_usd)} a month{f', {change}' if change else ''}"
    rows = [("this plan", words.usd(plan.monthly_cost_usd))]
    if words.has_today(plan):
        rows.insert(0, ("today", words.usd(plan.today_monthly_cost_usd)))
    if plan.replay_monthly_cost_usd > 0:
        rows.append(("as it ran on traffic that it was not sized on", words.usd(plan.replay_monthly_cost_usd)))
    rows.append(
        (
            f"no schedule for this demand costs less (gap {words.percent(plan.gap_fraction)})",
            words.usd(plan.lower_bound_monthly_usd),
        )
    )
    return page(title, f"**{said(proven(plan))}.** {said(plan.horizon)}", table(("", ">$ a month"), rows))


def _changes(plan: Plan) -> str:
    """Return what runs today and what is to run."""
    today = f"Today: {said(words.fleet_of(plan.today_cost_lines))}." if words.fleet_of(plan.today_cost_lines) else ""
    rows = [
        (
            said(pool.name),
            said(f"{pool.machine}, {pool.cloud} {pool.region}"),
            said(pool.variant),
            said(pool.offer),
            words.replicas(pool),
            words.when(pool),
        )
        for pool in plan.pools
    ]
    heads = ("pool", "machine", "variant", "offer", ">replicas", "when")
    routes = "".join(f"- {said(line)}\n" for line in words.routes(plan))
    return page("## What changes", today, table(heads, rows) if rows else "", routes)


def _bill(plan: Plan) -> str:
    """Return the bill by cost driver, today's beside it where it is known."""
    today = words.has_today(plan)
    drivers = [(said(driver), now, planned) for driver, now, planned in words.by_driver(plan)]
    drivers.append(("**total**", plan.today_monthly_cost_usd, plan.monthly_cost_usd))
    rows = [(driver, *([words.usd(now)] if today else []), words.usd(planned)) for driver, now, planned in drivers]
    return page("## The bill", table(("driver", *([">today"] if today else []), ">this plan"), rows))


def _saves(plan: Plan) -> str:
    """Return what each lever saves given those before it."""
    rows = [
        (said(lever.name), words.usd(lever.saving_usd), said(lever.note))
        for lever in plan.levers
        if abs(lever.saving_usd) >= words.NOTHING_USD
    ]
    return page("## What it saves", table(("lever", ">$ a month", ""), rows)) if rows else ""


def _evidence(plan: Plan) -> str:
    """Return each promise with what the replay saw, and what goes wrong where something does."""
    rows = [
        (
            "✓" if item.verdict == "proven" else "✗",
            said(item.traffic_class),
            said(item.slo),
            f"{words.attained(item)} {words.interval(item)}".replace("[", "\\["),
            words.promised(item),
            words.duration(item.p95_ms),
            f"{item.requests:,}",
        )
        for item in plan.evidence
    ]
    heads = ("", "class", "promise", ">attained", ">promised", ">p95", ">requests")
    robust = f"When something goes wrong: {said(words.robustness(plan))}." if plan.robustness else ""
    return page("## The evidence", table(heads, rows) if rows else "No promise was replayed.", said(words.proof(plan)), robust)


def _commitments(plan: Plan) -> str:
    """Return what is to be bought by a person."""
    lines = "".join(f"- [ ] {said(line)}\n" for line in words.commitments(plan))
    return page("## To be bought by hand", lines) if lines else ""


def _doubts(plan: Plan) -> str:
    """Return what the figures rest on, and what to watch."""
    rests = [f"{use.profile}: {words.band(use)}" for use in plan.provenance]
    lines = [*plan.warnings, *rests, *reasons.worlds(plan)]
    return page("## Before you merge", "".join(f"- {said(line)}\n" for line in lines)) if lines else ""


PARTS = (_headline, _changes, _bill, _saves, _evidence, _commitments, _doubts)


class PullRequest:
    """Writes ``pull-request.md``."""

    name = "pull-request"
    next_command = "gh pr create --body-file {out}/pull-request.md"

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the one file."""
        return {Path("pull-request.md"): page(*(part(plan) for part in PARTS))}


RENDERER = PullRequest()
