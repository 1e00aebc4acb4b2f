"""The sections that say why: what each lever saves, how firm the plan is, what comes next, and where the answer changes."""

from tightrope.base.plan import Plan
from tightrope.render import explanation_formats, formats
from tightrope.render.html import Html, table, tag
from tightrope.render.page_elements import NOTHING, figure, section
from tightrope.render.report import charts


def levers(plan: Plan) -> Html:
    """Return what each lever takes off today's bill, given those before it and by itself."""
    if not formats.has_today(plan) or not charts.steps(plan):
        return NOTHING
    total = plan.today_monthly_cost_usd
    alone = charts.alone(plan)
    rows = [
        (
            name,
            formats.usd(saving),
            formats.percent(saving / total) if total else formats.UNKNOWN,
            *((formats.usd(alone[name]) if name in alone else "—",) if alone else ()),
            note or "—",
        )
        for name, saving, note in charts.steps(plan)
    ]
    heads = ("lever", ">saves", ">of today's bill", *((">by itself",) if alone else ()), "how")
    body = table("What each lever saves, dollars a month", heads, rows, class_="stack")
    note = "Each lever is counted after those above it: together they are the difference."
    if alone:
        note += " By itself is today's fleet with its slack and that lever only: such savings overlap, and do not add up."
    return section("What saves", figure(charts.waterfall(plan)), body, note=note)


def outlook(plan: Plan) -> Html:
    """Return what would change the cost, and what binds."""
    parts = []
    if plan.cost_range is not None:
        span = explanation_formats.cost_range(plan.cost_range)
        parts.append(tag("p", f"{span} a month with the same pools if every profile is wrong by its error band, up or down."))
    if plan.sensitivities:
        rows = [
            (
                item.what,
                formats.UNKNOWN if item.monthly_cost_usd is None else formats.usd(item.monthly_cost_usd),
                explanation_formats.cost_difference(item.more_usd, item.monthly_cost_usd),
            )
            for item in plan.sensitivities
        ]
        heads = ("if", ">this plan's pools cost", ">more or less")
        parts += [tag("h3", "What would change the cost"), table("Other worlds, dollars a month", heads, rows, class_="stack")]
    if plan.binding:
        rows = [(item.name, item.step, formats.usd(item.usd), explanation_formats.METHODS[item.by]) for item in plan.binding]
        heads = ("limit", "one step", ">saves", "known")
        parts += [tag("h3", "What binds"), table("Limits that cost money, dollars a month", heads, rows, class_="stack")]
    return section("How firm it is", *parts) if parts else NOTHING


def rivals(plan: Plan) -> Html:
    """Return the next-best plans and the break-evens; what is left out where nobody asked for them."""
    parts = []
    if plan.alternatives:
        rows = [
            (
                item.what,
                formats.usd(item.monthly_cost_usd),
                explanation_formats.cost_difference(item.more_usd, item.monthly_cost_usd),
                "; ".join(item.pools),
            )
            for item in plan.alternatives
        ]
        heads = ("plan", ">costs", ">more", "its pools")
        parts += [tag("h3", "The next-best plans"), table("Plans with other pools, dollars a month", heads, rows, class_="stack")]
    if plan.break_evens:
        rows = [
            (
                item.what,
                "—" if item.value is None else explanation_formats.amount(item.value, item.unit),
                "—" if item.now is None else explanation_formats.amount(item.now, item.unit),
                explanation_formats.distance(item) or "—",
                item.note or "—",
            )
            for item in plan.break_evens
        ]
        heads = ("what", ">at", ">now", ">away", "note")
        parts += [tag("h3", "Break-evens"), table("Where the answer changes", heads, rows, class_="stack")]
    if not plan.explained:
        parts.append(tag("p", explanation_formats.NOT_EXPLAINED))
    note = "Found by planning again, without a replay." if plan.explained else ""
    return section("What comes next", *parts, note=note) if parts else NOTHING
