"""What goes wrong, as the report and the terminal tell it."""

from dataclasses import replace

from plan_fixture import make_plan

from tightrope.base.plan import RobustnessCase, RobustnessPromise
from tightrope.render import formats
from tightrope.render.report.robustness import robustness, tuned

WEB = RobustnessPromise("web", "latency p95 ≤ 900 ms", 1000, 0.95, 0.96, during_attainment=0.871, p95_ms=850.0)
ZONE = RobustnessCase("zone-loss", "zone 2 is gone", "day 14", (WEB,), 31.0, 30.0, 12, "recovers")
CALM = RobustnessCase("metrics-loss", "no metric", "day 14", (replace(WEB, during_attainment=0.99),), 30.0, 30.0, 0, "holds")


def test_the_terminals_line_names_every_case_and_the_worst_of_those_that_do_not_hold() -> None:
    said = "; ".join(formats.drills(replace(make_plan(), robustness=(ZONE, CALM))))
    assert said == "zone-loss recovers (web latency p95 ≤ 900 ms: 87.1 % at worst); metrics-loss holds"


def test_the_report_tells_each_promise_over_the_stretch_and_while_it_lasts() -> None:
    page = robustness(replace(make_plan(), robustness=(ZONE, replace(CALM, promises=(replace(WEB, during_attainment=None),)))))
    for text in ("zone 2 is gone", "~ recovers", "✓ holds", "96.0", "87.1", "850", "never", "$31", "$30", "—"):
        assert text in page, text


def test_where_nothing_was_tried_or_tuned_nothing_is_said() -> None:
    bare = replace(make_plan(), robustness=(), tuned=())
    assert (robustness(bare), tuned(bare), formats.drills(bare)) == ("", "", [])
    assert "web is planned for" in tuned(replace(make_plan(), tuned=("web is planned for +12% traffic",)))
