"""What the plan makes of things that go wrong at the peak, and what was decided on the tuning days."""

from tightrope.base.plan import Plan, RobustnessCase
from tightrope.render import words
from tightrope.render.html import Html, listing, table, tag
from tightrope.render.parts import NOTHING, section

VERDICTS = {"holds": "✓ holds", "recovers": "~ recovers", "misses": "✗ misses"}


def robustness(plan: Plan) -> Html:
    """Return each case with its promises, over the stretch and while it lasts."""
    if not plan.robustness:
        return NOTHING
    heads = ("what goes wrong", "verdict", "promise", ">promised", ">over the stretch", ">while it lasts", ">p95", ">p99")
    rows = [row for case in plan.robustness for row in _rows(case)]
    cases = [
        (case.name, case.what, case.window, words.usd(case.cost_usd), words.usd(case.usual_cost_usd), f"{case.retries:,}")
        for case in plan.robustness
    ]
    costs = ("case", "what", "tried on", ">cost", ">as usual", ">begun again")
    note = (
        "Tried with one seed at the peak of the traffic that proves the plan; nothing is decided by it. A plan holds where every "
    )
    note += "promise is kept while it lasts, and recovers where it is kept over the stretch. Costs are at the offers' own rates."
    return section(
        "When things go wrong",
        table("Promises when something goes wrong", heads, rows, class_="stack"),
        table("What it is, and what the machines cost over the stretch", costs, cases, class_="stack"),
        note=note,
    )


def _rows(case: RobustnessCase) -> list[tuple[str | Html, ...]]:
    """Return a row per promise; what goes wrong is named once."""
    rows: list[tuple[str | Html, ...]] = []
    for item in case.promises:
        first = not rows
        kept = case.verdict != "misses"
        verdict = tag("span", VERDICTS[case.verdict], class_="good" if kept else "bad")
        during = "—" if item.during_attainment is None else words.percent(item.during_attainment)
        rows.append(
            (
                case.name if first else "",
                verdict if first else "",
                f"{item.traffic_class}: {item.slo}",
                f"{100 * item.target:g} %",
                words.percent(item.attainment),
                during,
                words.duration(item.p95_ms),
                words.duration(item.p99_ms),
            )
        )
    return rows


def tuned(plan: Plan) -> Html:
    """Return what was decided on the tuning days."""
    return section("Tuned before the proof", listing(plan.tuned)) if plan.tuned else NOTHING
