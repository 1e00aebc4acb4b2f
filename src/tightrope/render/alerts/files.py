"""The files of the target ``alerts``: rules, their unit tests and their operator's form, the user's settings, a dashboard, a page."""

from pathlib import Path
from textwrap import indent
from typing import Any

from tightrope.base.catalogue import SPOT
from tightrope.base.plan import Plan
from tightrope.render.alerts.dashboard import dashboard
from tightrope.render.alerts.plan_series import (
    PlanSeries,
    limits,
    list_series,
    metered_pools,
    number,
    patience_minutes,
    promises,
    replica_pools,
    windows_s,
    workload,
)
from tightrope.render.alerts.readme import page
from tightrope.render.alerts.rule_tests import list_tests
from tightrope.render.infra.deployment import notice_comment
from tightrope.render.infra.names import slug
from tightrope.render.infra.templates import fill, static

FOLDER = "alerts"


class AlertsRenderer:
    """Writes what watches the plan."""

    name = "alerts"
    next_command = "promtool check rules {out}/rules.yaml {out}/settings.rules.yaml && promtool test rules {out}/rules_test.yaml"

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the files; a page that says why there are no others where the plan serves nothing."""
        if not plan.pools:
            return {Path("README.md"): page(plan)}
        rules = fill(FOLDER, "rules.yaml.j2", "yaml", _values(plan))
        return {
            Path("README.md"): page(plan),
            Path("dashboard.json"): dashboard(plan),
            Path("prometheus-rule.yaml"): notice_comment(plan) + _operator(plan) + indent(rules, "  "),
            Path("rules.yaml"): notice_comment(plan) + rules,
            Path("rules_test.yaml"): notice_comment(plan) + fill(FOLDER, "rules_test.yaml.j2", "yaml", list_tests(plan, rules)),
            Path("settings.alertmanager.yaml"): static(FOLDER, "settings.alertmanager.yaml"),
            Path("settings.rules.yaml"): fill(FOLDER, "settings.rules.yaml.j2", "yaml", _settings(plan)),
        }


def _values(plan: Plan) -> dict[str, Any]:
    """Return what the rules hold of the plan; what the plan lacks is left out of them."""
    name = slug(workload(plan))
    return {
        "workload": workload(plan),
        "group": {part: f"tightrope-{name}-{part}" for part in ("plan", "limits", "measures", "alerts")},
        "figures": [_figure(plan, item) for item in list_series(plan)],
        "limits": _limits(plan),
        "promises": bool(promises(plan)),
        "waiting": bool(windows_s(plan)),
        "replicated": bool(replica_pools(plan)),
        "metered": bool(metered_pools(plan)),
        "spot": any(part.pool.offer == SPOT for part in replica_pools(plan)),
        "cache": plan.cache is not None,
        "patience": f"{patience_minutes(plan)}m",
    }


def _figure(plan: Plan, item: PlanSeries) -> dict[str, object]:
    """Return a recorded series as the template writes it."""
    return {"record": item.record, "expr": item.expr, "labels": {"workload": workload(plan), **item.labels}}


def _limits(plan: Plan) -> list[dict[str, str]]:
    """Return the limits: the user's series, and the figure that holds without it."""
    return [
        {
            "record": f"tightrope:limit_{name}",
            "expr": f'tightrope:settings_{name}{{workload="{workload(plan)}"}} or on () vector({number(value)})',
        }
        for name, value in limits(plan).items()
    ]


def _settings(plan: Plan) -> dict[str, Any]:
    """Return what the user's own limits hold at first."""
    return {
        "workload": workload(plan),
        "group": f"tightrope-{slug(workload(plan))}-settings",
        "limits": {name: f"vector({number(value)})" for name, value in limits(plan).items()},
    }


def _operator(plan: Plan) -> str:
    """Return the head of the same groups as the Prometheus operator takes them."""
    return fill(
        FOLDER, "prometheus-rule.yaml.j2", "yaml", {"workload": workload(plan), "name": f"tightrope-{slug(workload(plan))}"}
    )


RENDERER = AlertsRenderer()
