"""Every query of a rendered plan names series that the gateway shows, and Prometheus makes of them what it should."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from watched import Standing

from tightrope.base.metrics import METRICS
from tightrope.base.plan import Plan, Pool
from tightrope.render.alerts import RENDERER as ALERTS
from tightrope.render.infra.deployment import list_promises
from tightrope.render.kubernetes import RENDERER as KUBERNETES
from tightrope.render.plan_json.load import load_plan
from tightrope.serve.config.settings import ServedPool
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.metrics.request_metrics import Metrics
from tightrope.serve.records import Call, Caller, Reply

PLANS = Path(__file__).parents[2] / "render" / "plans"
NAMES = tuple(path.stem for path in sorted(PLANS.glob("*.json")))
SELECTOR = re.compile(r'(tightrope_\w+)(?:\{((?:[^}"]|"(?:[^"\\]|\\.)*")*)\})?')
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')
GROUPED = re.compile(r"by \(([^)]*)\) \((?:rate\(|increase\(|max_over_time\()?(tightrope_\w+)")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


@cache
def plan_of(name: str) -> Plan:
    return load_plan(PLANS / f"{name}.json")


def served(pool: Pool) -> ServedPool:
    serving = pool.serving
    price = None if serving.metered else pool.node.usd_per_hour
    return ServedPool(
        pool.name,
        pool.variant,
        pool.variant,
        offer=pool.offer,
        usd_per_hour=price,
        replicas_per_machine=serving.engines_per_machine,
        requests_per_s=5.0,
    )


def made(plan: Plan) -> Metrics:
    """Return a gateway's metrics with everything said once that it cannot know at the start."""
    pools = [served(pool) for pool in plan.pools]
    metrics = Metrics(plan.workload, pools, plan.classes)
    metrics.watch([Standing(pool, PoolLoad(2, in_flight=1)) for pool in pools])
    for pool in pools:
        metrics.month_to_date(pool.name, 3.0)
    for item in plan.classes:
        metrics.usd_per_1000_requests(item.name, 0.2)
        metrics.deferred(item.name, 1, 60.0)
    metrics.budget_left("t", 9.0)
    return metrics


def shown(metrics: Metrics) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(metrics.exposition().decode()) for sample in family.samples]


def queries_of(plan: Plan) -> Iterator[str]:
    """Yield what rules, dashboard, KEDA's triggers and the HPA's adapter ask for, with the dashboard's variables filled in."""
    alerts = {path.name: text for path, text in ALERTS.render(plan).items()}
    for group in yaml.safe_load(alerts["rules.yaml"])["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    board = json.loads(alerts["dashboard.json"])
    workload = board["templating"]["list"][1]["query"]
    for text in (
        *(item["query"] for item in board["templating"]["list"] if item["type"] == "query"),
        *(target["expr"] for panel in board["panels"] for target in panel.get("targets", ())),
    ):
        yield text.replace("$workload", workload).replace("$class", ".*").replace("$pool", ".*")
    for path, text in KUBERNETES.render(plan).items():
        if path.suffix == ".yaml" and "kind: ScaledObject" in text:
            objects = (item for item in yaml.safe_load_all(text) if item["kind"] == "ScaledObject")
            yield from (
                one["metadata"]["query"] for item in objects for one in item["spec"]["triggers"] if "query" in one["metadata"]
            )


def matches(sample: Sample, matchers: list[tuple[str, str, str]]) -> bool:
    """Return whether a series is selected, as Prometheus selects."""
    for name, sign, quoted in matchers:
        text, value = json.loads(quoted), sample.labels.get(name, "")
        found = re.fullmatch(text, value) is not None if "~" in sign else text == value
        if found == sign.startswith("!"):
            return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_every_selector_selects_series_that_are_shown_from_the_start(name: str) -> None:
    plan = plan_of(name)
    samples, seen = shown(made(plan)), set()
    for query in queries_of(plan):
        for metric, inside in SELECTOR.findall(query):
            matchers = MATCHER.findall(inside)
            seen.add(metric)
            assert [item for item in samples if item.name == metric and matches(item, matchers)], (metric, inside)
        for labels, metric in GROUPED.findall(query):
            wanted = {label.strip() for label in labels.split(",")}
            assert all(wanted <= set(item.labels) for item in samples if item.name == metric), query
    assert len(seen) > 12


@pytest.mark.parametrize("name", NAMES)
def test_what_names_an_hpa_asks_the_adapter_for_are_labels_of_the_series(name: str) -> None:
    """The HPA selects by workload and pool alone: each series that its metric is made of carries both."""
    plan = plan_of(name)
    samples = shown(made(plan))
    for metric in ("tightrope_arrivals_total", "tightrope_requests_in_flight", "tightrope_held_requests"):
        pools = {item.labels["pool"] for item in samples if item.name == metric and item.labels["workload"]}
        assert pools == {pool.name for pool in plan.pools}, METRICS[metric]


# ------------------------------------------------------------------------------------------------------ Prometheus itself


def evaluated(
    folder: Path, plan: Plan, before: list[Sample], after: list[Sample], checks: Mapping[str, Mapping[str, float]]
) -> None:
    """Let promtool evaluate queries 60 minutes on, over two expositions a minute apart whose counters go on growing as between them.

    ``checks`` is query → series, as Prometheus writes them → value.
    """
    for path, text in ALERTS.render(plan).items():
        (folder / path).write_text(text, encoding="utf-8")
    old = {(item.name, tuple(item.labels.items())): item.value for item in before}
    grows = ("_total", "_bucket", "_sum", "_count")
    inputs = []
    for item in after:
        labels = ",".join(f"{key}={json.dumps(text)}" for key, text in item.labels.items())
        begun = old[item.name, tuple(item.labels.items())]
        step = item.value - begun if item.name.endswith(grows) else 0.0
        inputs.append({"series": f"{item.name}{{{labels}}}", "values": f"{begun:.9f}+{step:.9f}x70"})
    asked = [
        {
            "expr": query,
            "eval_time": "60m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in found.items()],
        }
        for query, found in checks.items()
    ]
    groups = [group["name"] for group in yaml.safe_load((folder / "rules.yaml").read_text(encoding="utf-8"))["groups"]]
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "group_eval_order": groups,
        "tests": [{"interval": "1m", "input_series": inputs, "promql_expr_test": asked}],
    }
    (folder / "asked.yaml").write_text(yaml.safe_dump(tests), encoding="utf-8")
    command = [shutil.which("promtool") or "promtool", "test", "rules", str(folder / "asked.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - Debian's own
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


@needs_promtool
@pytest.mark.parametrize("name", NAMES)
def test_prometheus_sees_requests_promises_and_quantiles_as_they_were(name: str, tmp_path: Path) -> None:
    """60 requests a minute to each pool, all of them just in time; of the first class's promises each tenth is missed."""
    plan = plan_of(name)
    metrics, first, pool = made(plan), plan.classes[0], plan.pools[0].name
    before = shown(metrics)
    limits = {slo.metric: slo.limit_s for slo in first.slos}
    for number in range(60):
        for other in plan.pools:
            metrics.arrived(first.name, other.name)
        more = 0.001 if number % 10 == 0 else 0.0
        first_token, tokens = limits.get("ttft", 0.05) + more, 11
        took = limits.get("latency", first_token + (tokens - 1) * (limits.get("tpot", 0.001) + more)) + more
        call = Call(str(number), Caller("t"), "embed", "m", (), arrived_s=0.0, traffic_class=first.name)
        reply = Reply(pool, "v", first_token_s=first_token, output_tokens=tokens)
        metrics.ended(call, reply, "ok", took - 1e-12)
    after = shown(metrics)
    missed = "TightropePromiseBurn"
    mine = [item for item in list_promises(plan) if item.traffic_class == first.name]
    burns = {
        f'tightrope:burn:rate1h{{class="{item.traffic_class}", slo="{item.slo}", workload="{plan.workload}"}}': 0.1 / item.budget
        for item in mine
    }
    fired = {f'{{slo="{item.slo}"}}': 1.0 for item in mine}
    checks: dict[str, dict[str, float]] = {
        f'tightrope:burn:rate1h{{class="{first.name}"}}': burns,
        f'count by (slo) (ALERTS{{alertname="{missed}", alertstate="firing", window="3d"}})': fired,
        f'sum(rate(tightrope_arrivals_total{{workload="{plan.workload}", pool="{pool}"}}[5m]))': {"{}": 1.0},
    }
    for metric, limit in limits.items():
        family = {"latency": "latency_seconds", "ttft": "time_to_first_token_seconds", "tpot": "time_per_output_token_seconds"}[
            metric
        ]
        within = f'sum(rate(tightrope_{family}_bucket{{class="{first.name}", le="{float(limit)}"}}[5m]))'
        checks[f'{within} / sum(rate(tightrope_{family}_count{{class="{first.name}"}}[5m]))'] = {"{}": 0.9}
    evaluated(tmp_path, plan, before, after, checks)


@needs_promtool
def test_prometheus_finds_nothing_to_say_about_names_and_help() -> None:
    command = [shutil.which("promtool") or "promtool", "check", "metrics"]
    text = made(plan_of("helpdesk")).exposition()
    done = subprocess.run(command, input=text, capture_output=True, check=False, timeout=60)  # noqa: S603 - Debian's own
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
