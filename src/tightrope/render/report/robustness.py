"""What the plan makes of things that go wrong at the peak, and what was decided on the tuning days."""

from tightrope.base.plan import Plan, RobustnessCase
from tightrope.render import formats
from tightrope.render.html import Html, listing, table, tag
from tightrope.render.page_elements import NOTHING, section

VERDICTS = {"holds": "✓ holds", "recovers": "~ recovers", "misses": "✗ misses"}


def robustness(plan: Plan) -> Html:
    """Return each case with its promises, over the stretch and while it lasts."""
    if not plan.robustness:
        return NOTHING
    heads = ("what goes wrong", "verdict", "promise", ">promised", ">over the stretch", ">while it lasts", ">p95", ">p99")
    rows = [row for case in plan.robustness for row in _rows(case)]
    cases = [
        (case.name, case.what, case.window, formats.usd(case.cost_usd), formats.usd(case.usual_cost_usd), f"{case.retries:,}")
        for case in plan.robustness
    ]
    costs = ("case", "what", "tried on", ">cost", ">as usual", ">begun again")
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(seed for case in plan.robustness for seed in case.seeds)) or "one"
    note = f"Tried with seeds {seeds} at the peak of the traffic that proves the plan; nothing is decided by it. A plan holds where every "
    note += "promise is kept while it lasts, and recovers where it is kept over the stretch; intervals are over hours and seeds. Costs "
    note += "are the machines' bill of the stretch, the plan's commitments counted."
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
        during = _share(item.during_attainment, item.during_low, item.during_high)
        rows.append(
            (
                case.name if first else "",
                verdict if first else "",
                f"{item.traffic_class}: {item.slo}",
                f"{100 * item.target:g} %",
                _share(item.attainment, item.attainment_low, item.attainment_high),
                during,
                formats.duration(item.p95_ms),
                formats.duration(item.p99_ms),
            )
        )
    return rows


def _share(share: float | None, low: float | None, high: float | None) -> str:
    """Return a share and its interval, a dash where nobody came."""
    if share is None:
        return "—"
    return (
        formats.percent(share) if low is None or high is None else f"{formats.percent(share)} [{100 * low:.1f}, {100 * high:.1f}]"
    )


def tuned(plan: Plan) -> Html:
    """Return what was decided on the tuning days."""
    return section("Tuned before the proof", listing(plan.tuned)) if plan.tuned else NOTHING
