"""The alerts of a plan: accepted by the real engines, each tried both ways, and no name gets into an expression."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from math import ceil, comb, floor
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers import assert_accepted, needs_tools
from golden_tree import NAMES, PLANS, check_golden_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_fixture import VARIATIONS, make_plan

from tightrope.base.errors import InputError
from tightrope.base.metrics import METRICS
from tightrope.base.plan import Plan, RoutingRule
from tightrope.base.records import Slo
from tightrope.render.alerts import RENDERER
from tightrope.render.alerts import plan_series as of
from tightrope.render.alerts.promtool import number
from tightrope.render.infra.deployment import max_pool_replicas
from tightrope.render.infra.schedule import WEEK
from tightrope.render.plan_json.load import load_plan

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "how-to" / "alert-on-a-plan.md"
OURS = re.compile(r"tightrope_\w+")
RECORDED = re.compile(r"tightrope:\w+(?::\w+)?")
SUFFIX = re.compile(r"_(bucket|sum|count)$")
THURSDAY = 72
"""Hour of the week at Prometheus' time 0."""
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@cache
def plan_of(name: str) -> Plan:
    return load_plan(PLANS / f"{name}.json")


@cache
def files_of(name: str) -> dict[str, str]:
    return {path.as_posix(): text for path, text in RENDERER.render(plan_of(name)).items()}


def written(files: dict[Path, str], folder: Path) -> Path:
    for path, text in files.items():
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def load(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


def run(program: str, *arguments: object) -> None:
    command = [shutil.which(program) or program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - Debian's own tools
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


def rules_in(text: str) -> list[dict[str, Any]]:
    return [rule for group in load(text)["groups"] for rule in group["rules"]]


def alerts_in(text: str) -> list[dict[str, Any]]:
    return [rule for rule in rules_in(text) if "alert" in rule]


def panels_in(text: str) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]


def expressions_of(files: dict[str, str]) -> list[str]:
    rules = [rule["expr"] for name in ("rules.yaml", "settings.rules.yaml") for rule in rules_in(files[name])]
    variables = [item["query"] for item in json.loads(files["dashboard.json"])["templating"]["list"] if item["type"] == "query"]
    return [*rules, *variables, *(target["expr"] for panel in panels_in(files["dashboard.json"]) for target in panel["targets"])]


def test_golden() -> None:
    check_golden_tree("alerts", RENDERER.render(plan_of("helpdesk")))


# ---------------------------------------------------------------------------------------------------------- the real engines


@needs_tools
@pytest.mark.parametrize("name", NAMES)
def test_prometheus_and_grafana_accept_it(name: str, tmp_path: Path) -> None:
    folder = written(RENDERER.render(plan_of(name)), tmp_path)
    rules = (folder / "rules.yaml", folder / "settings.rules.yaml")
    report = assert_accepted("promcheck", *rules, "--tests", folder / "rules_test.yaml", "--dashboard", folder / "dashboard.json")
    assert not report["skipped"]
    assert_accepted("k8scheck", folder / "prometheus-rule.yaml")


@needs_tools
def test_prometheus_reads_hostile_names_as_they_are(tmp_path: Path) -> None:
    """The unit tests hold every name in series, labels and filled annotations, and promtool agrees with each.

    Of a plan that has what the others lack: a cache, two engines a machine, a promise that leaves little and one that leaves much.
    """
    plan = make_plan()
    pools = tuple(replace(pool, name="|".join(NASTY[index::3])) for index, pool in enumerate(plan.pools))
    classes = tuple(replace(item, name="|".join(NASTY[index::2])) for index, item in enumerate(plan.classes))
    tight = replace(classes[0], slos=(Slo("latency", 0.999, 2.0), Slo("ttft", 0.5, 0.3)))
    folder = written(RENDERER.render(replace(plan, pools=pools, classes=(tight, *classes[1:]), routing=())), tmp_path)
    report = assert_accepted("promcheck", folder / "rules.yaml", "--tests", folder / "rules_test.yaml")
    assert not report["skipped"]


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed: apt-get install prometheus-alertmanager")
def test_alertmanager_accepts_the_example(tmp_path: Path) -> None:
    folder = written(RENDERER.render(plan_of("chatgenius")), tmp_path)
    run("amtool", "check-config", folder / "settings.alertmanager.yaml")


# ---------------------------------------------------------------------------------------------------- what the rules hold to


@pytest.mark.parametrize("name", NAMES)
def test_only_metrics_of_the_gateway_and_series_that_are_recorded_are_asked_for(name: str) -> None:
    files = files_of(name)
    recorded = {rule["record"] for rule in rules_in(files["rules.yaml"]) if "record" in rule}
    recorded |= {rule["record"] for rule in rules_in(files["settings.rules.yaml"])}
    for expression in expressions_of(files):
        bare = STRING.sub('""', expression)
        for metric in OURS.findall(bare):
            family = SUFFIX.sub("", metric) if metric not in METRICS else metric
            assert family in METRICS, f"{metric} in {expression}"
            assert (metric == family) == (METRICS[family].kind != "histogram"), expression
        assert set(RECORDED.findall(bare)) <= recorded, expression


@pytest.mark.parametrize("name", NAMES)
def test_only_labels_that_a_metric_has_are_matched(name: str) -> None:
    for expression in expressions_of(files_of(name)):
        for metric, matchers in re.findall(r"(tightrope_\w+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"(\w+)(?:=~|!=|=)", STRING.sub("", matchers)))
            assert "workload" in labels, expression
            assert labels <= {"workload", *METRICS[SUFFIX.sub("", metric) if metric not in METRICS else metric].labels}, (
                expression
            )


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_says_what_to_do(name: str) -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in alerts_in(files_of(name)["rules.yaml"]):
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (ROOT / page) == RUNBOOK
        assert anchor in anchors, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["labels"]["workload"] == name
        assert rule["annotations"]["summary"]
        assert "$value" in rule["annotations"]["description"] or rule["alert"] == "TightropeGatewayAbsent"


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_is_tried_both_ways(name: str) -> None:
    files = files_of(name)
    checks = [check for test in load(files["rules_test.yaml"])["tests"] for check in test["alert_rule_test"]]
    for rule in alerts_in(files["rules.yaml"]):
        window = rule["labels"].get("window")
        fired = [
            any(alert["exp_labels"].get("window") == window for alert in check["exp_alerts"] or [])
            for check in checks
            if check["alertname"] == rule["alert"]
        ]
        assert True in fired, rule["alert"]
        assert False in fired, rule["alert"]


@pytest.mark.parametrize("name", NAMES)
def test_every_promise_and_pool_has_its_alerts_fired(name: str) -> None:
    plan, files = plan_of(name), files_of(name)
    fired = [
        (check["alertname"], alert["exp_labels"])
        for test in load(files["rules_test.yaml"])["tests"]
        for check in test["alert_rule_test"]
        for alert in check["exp_alerts"] or []
    ]
    burnt = {(labels["class"], labels["slo"], labels["window"]) for alert, labels in fired if alert == "TightropePromiseBurn"}
    promised = {(item.name, slo.label) for item in plan.classes for slo in item.slos}
    assert burnt == {(*promise, window) for promise in promised for window in ("1h", "6h", "1d", "3d")}
    counted = {pool.name for pool in plan.pools if not pool.serving.metered}
    for alert in ("TightropeUtilisationHigh", "TightropeQueueGrows", "TightropeRequestsHeld"):
        assert {labels["pool"] for found, labels in fired if found == alert} == counted


def test_a_plan_has_the_alerts_that_it_needs_and_no_others() -> None:
    has = {name: {rule["alert"] for rule in alerts_in(files_of(name)["rules.yaml"])} for name in NAMES}
    spot, late, metered = "TightropeSpotInterruptions", "TightropeDeadlineMissed", "TightropeMeteredCostOverPlan"
    assert {name for name in NAMES if spot in has[name]} == {"chatgenius", "vision"}
    assert {name for name in NAMES if late in has[name]} == {"chatgenius"}
    assert {name for name in NAMES if metered in has[name]} == {"helpdesk"}
    full = {path.as_posix(): text for path, text in RENDERER.render(make_plan()).items()}
    assert "TightropeCacheHitsFew" in {rule["alert"] for rule in alerts_in(full["rules.yaml"])}


@pytest.mark.parametrize("name", NAMES)
def test_the_operator_gets_the_same_groups(name: str) -> None:
    files = files_of(name)
    rules, manifest = load(files["rules.yaml"]), load(files["prometheus-rule.yaml"])
    assert manifest["spec"] == rules


def test_the_settings_hold_what_the_rules_fall_back_to() -> None:
    files = files_of("helpdesk")
    own = {rule["record"].removeprefix("tightrope:settings_"): rule["expr"] for rule in rules_in(files["settings.rules.yaml"])}
    fallen = {
        rule["record"].removeprefix("tightrope:limit_"): rule["expr"].rpartition(" or on () ")[2]
        for rule in rules_in(files["rules.yaml"])
        if rule.get("record", "").startswith("tightrope:limit_")
    }
    assert own == fallen


@pytest.mark.parametrize("percentile", [0.75, 0.9, 0.99, 0.999])
def test_a_promise_that_is_just_kept_hardly_ever_pages_by_chance(percentile: float) -> None:
    """A second road: what the rules ask for, by the binomial distribution, at the number of requests where chance does most."""

    def by_chance(least: float) -> float:
        return max(
            chance_of(max(ceil(least), floor(share * count + 1e-9) + 1), count, 1.0 - percentile)
            for rate in (14.4, 6.0)
            for share in [min(rate * (1.0 - percentile), 0.9)]
            for count in range(ceil(least), ceil(2.0 * least / share))
        )

    assert by_chance(of.LIMITS["least_missed"]) < 0.001
    assert percentile < 0.99 or by_chance(of.LIMITS["least_missed"] - 1) > 0.001


def chance_of(least: int, count: int, share: float) -> float:
    """Return the chance that ``least`` of ``count`` requests or more miss, where each does with the chance ``share``."""
    return sum(comb(count, missed) * share**missed * (1.0 - share) ** (count - missed) for missed in range(least, least + 30))


# ---------------------------------------------------------------------------------------------------------- the plan's figures


@pytest.mark.parametrize("name", NAMES)
def test_the_week_that_is_recorded_is_the_plans(name: str) -> None:
    """A second road: each hour's number is read back from the expressions, and the year's cost from them."""
    plan = plan_of(name)
    rules = rules_in(files_of(name)["rules.yaml"])
    weeks = {rule["labels"]["pool"]: week_of(rule["expr"]) for rule in rules if rule.get("record") == "tightrope:plan_replicas"}
    prices = {
        rule["labels"]["pool"]: constant(rule["expr"])
        for rule in rules
        if rule.get("record") == "tightrope:plan_usd_per_replica_hour"
    }
    parts = of.replica_pools(plan)
    assert weeks == {part.pool.name: [count * part.replicas_per_machine for count in part.week] for part in parts}
    machines = [line for line in plan.cost_lines if line.offer in {"spot", "container"} and line.driver in {"compute", "idle"}]
    for pool in {line.pool for line in machines}:
        usd = sum(line.usd for line in machines if line.pool == pool)
        assert sum(weeks[pool]) / 7 * 365 / 12 * prices[pool] == pytest.approx(usd, rel=1e-6)


@needs_promtool
def test_the_hour_of_the_week_is_the_plans(tmp_path: Path) -> None:
    """Prometheus itself reads the week: each two hours have a number of their own, and the second of them is asked."""
    first = make_plan().pools[0]
    week = tuple(1 + hour // 2 for hour in range(WEEK))
    plan = make_plan(pools=(replace(first, schedule=week, max_replicas=WEEK),), cost_lines=())
    written(RENDERER.render(plan), tmp_path)
    (part,) = of.replica_pools(plan)
    mean = sum(week) / WEEK
    limit = of.LIMITS["cost_over_plan"] * part.node.usd_per_hour
    expected = {
        "tightrope:plan_replicas": (f', pool="{first.name}"', lambda count: count * part.replicas_per_machine),
        "tightrope:usd_per_hour_limit": ("", lambda count: max(count, mean) * limit),
    }
    asked = [
        {
            "expr": f"round({name}, 0.0001)",
            "eval_time": f"{hours}h30m",
            "exp_samples": [
                {"labels": f'{{workload="{of.workload(plan)}"{more}}}', "value": round(value(week[(THURSDAY + hours) % WEEK]), 4)}
            ],
        }
        for name, (more, value) in expected.items()
        for hours in (1, 23, 25, 71, 73, 95, 97, 167)
    ]
    groups = [group["name"] for group in load((tmp_path / "rules.yaml").read_text(encoding="utf-8"))["groups"]]
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "30m",
        "group_eval_order": groups,
        "tests": [{"interval": "1h", "promql_expr_test": asked}],
    }
    (tmp_path / "week.yaml").write_text(yaml.safe_dump(tests), encoding="utf-8")
    run("promtool", "test", "rules", tmp_path / "week.yaml")


def constant(expression: str) -> float:
    found = re.fullmatch(r"vector\((.+)\)", expression)
    assert found, expression
    return float(found[1])


def week_of(expression: str) -> list[int]:
    if expression.startswith("vector("):
        return [int(constant(expression))] * WEEK
    terms = re.findall(r'(\d+) \* tightrope:hour\{workload="[^"]+", hour=~"([\d|]+)"\}', expression)
    hours = {int(hour): int(count) for count, listed in terms for hour in listed.split("|")}
    assert len(hours) == WEEK
    return [hours[hour] for hour in range(WEEK)]


def test_a_replica_is_an_engine() -> None:
    plan = make_plan()
    (simple,) = (part for part in of.replica_pools(plan) if part.key == "simple")
    assert simple.replicas_per_machine == 2
    assert max_pool_replicas(plan, simple) == 8
    assert of.usd_per_replica_hour(simple) == 0.085 / 2
    assert of.most_usd_per_hour(plan) == pytest.approx(3 * 0.8048 + 6 * 0.1946 + 4 * 0.085)


def test_a_pool_that_stands_in_for_another_is_not_at_its_cap_nor_too_dear_then() -> None:
    plan = plan_of("vision")
    spot = plan.pools[2]
    behind = replace(
        plan.pools[1],
        name=f"{spot.name}-fallback",
        max_replicas=0,
        schedule=(0,) * WEEK,
        serving=replace(spot.serving, backs=spot.name),
    )
    plan = replace(plan, pools=(spot, behind))
    own, stands_in = of.replica_pools(plan)
    assert max_pool_replicas(plan, stands_in) == max_pool_replicas(plan, own) == spot.max_replicas
    assert of.most_usd_per_hour(plan) == pytest.approx(spot.max_replicas * stands_in.node.usd_per_hour)


def test_what_the_plan_does_not_say_is_said_to_be_unknown() -> None:
    plan = make_plan(cost_lines=())
    files = RENDERER.render(plan)
    assert "tightrope:plan_utilisation\n" not in files[Path("rules.yaml")]
    assert files[Path("README.md")].count("does not say how busy it is") == 3


@pytest.mark.parametrize(("values", "text"), [((0.05,), "0.05"), ((3.0,), "3"), ((1e-9,), "0.000000001"), ((0.0,), "0")], ids=str)
def test_promtool_reads_no_exponent(values: tuple[float], text: str) -> None:
    assert number(*values) == text


# -------------------------------------------------------------------------------------------------------------- dashboard


@pytest.mark.parametrize("name", [*NAMES, "full"])
def test_panels_stand_side_by_side(name: str) -> None:
    text = RENDERER.render(make_plan())[Path("dashboard.json")] if name == "full" else files_of(name)["dashboard.json"]
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (column, row)
        for panel in panels
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(column for column, _ in taken) < 24


def test_every_metric_is_looked_at_somewhere() -> None:
    """What the gateway shows and nobody asks for is either missing here or superfluous there."""
    plan = make_plan(pools=(*make_plan().pools, *plan_of("helpdesk").pools), cost_lines=plan_of("helpdesk").cost_lines)
    files = {path.as_posix(): text for path, text in RENDERER.render(plan).items()}
    asked = {SUFFIX.sub("", metric) for text in expressions_of(files) for metric in OURS.findall(text)}
    assert {SUFFIX.sub("", name) for name in METRICS} == asked


# -------------------------------------------------------------------------------------------------------------- hostile names

NASTY = (
    'a"} or vector(1) #',
    "{{ $labels.x }}{{ .Value }}",
    "{{",
    "back\\slash\\",
    "new\nline: [x]",
    "emoji 🧨 ≤",
    "- yaml: {a}",
    "' OR '",
    "$workload ${datasource}",
    "<< x >><% if %>",
    "x" * 300,
    "1e3",
    "null",
    "# remark",
)
names = st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=30))


def hostile(name: str) -> Plan:
    plan = make_plan()
    pools = tuple(replace(pool, name=f"{pool.name}{name}") for pool in plan.pools)
    classes = tuple(replace(item, name=f"{item.name}{name}") for item in plan.classes)
    routing = tuple(RoutingRule(classes[0].name, pool.name, 1 / 3, (1 / 3,) * WEEK) for pool in pools)
    return replace(plan, workload=name, pools=pools, classes=classes, routing=routing)


def rendered_or_refused(plan: Plan) -> dict[Path, str] | None:
    try:
        return RENDERER.render(plan)
    except InputError:
        return None


@given(name=names)
@settings(max_examples=25, deadline=None)
def test_names_stay_names(name: str) -> None:
    """Each name is a label's whole value, and every expression and annotation is what it is for a plan with plain names."""
    files = rendered_or_refused(hostile(name))
    if files is None:
        assert any(not sign.isprintable() for sign in name)
        return
    rules, plain = rules_in(files[Path("rules.yaml")]), plain_rules()
    pools = [rule["labels"]["pool"] for rule in rules if rule.get("record") == "tightrope:plan_replicas_max"]
    assert pools == [pool.name for pool in hostile(name).pools]
    assert [without_workload(rule, of.workload(hostile(name))) for rule in rules] == [
        without_workload(rule, "plain") for rule in plain
    ]
    manifest = load(files[Path("prometheus-rule.yaml")])
    assert manifest["spec"]["groups"] == load(files[Path("rules.yaml")])["groups"]
    assert json.loads(files[Path("dashboard.json")])["tags"][1] == of.workload(hostile(name))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,63}", of.workload(hostile(name)))


@cache
def plain_rules() -> list[dict[str, Any]]:
    return rules_in(RENDERER.render(hostile("plain"))[Path("rules.yaml")])


def without_workload(rule: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what of a rule no pool's or class's name may change."""
    return {
        "expr": rule["expr"].replace(f'workload="{name}"', 'workload=""'),
        "annotations": rule.get("annotations"),
        "labels": sorted(rule.get("labels", {})),
    }


@pytest.mark.parametrize("variation", VARIATIONS)
def test_files_that_allow_remarks_say_what_they_rest_on(variation: str) -> None:
    files = rendered_or_refused(VARIATIONS[variation]())
    proven = "NOT PROVEN" if variation == "not proven" else "PROVEN"
    for path, text in (files or {}).items():
        assert proven in text or path.name.startswith("settings."), path


def test_a_plan_without_pools_says_so() -> None:
    files = RENDERER.render(make_plan(pools=(), routing=(), cost_lines=()))
    assert list(files) == [Path("README.md")]
    assert "nothing to watch" in files[Path("README.md")]
