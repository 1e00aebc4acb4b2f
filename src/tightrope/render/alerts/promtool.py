"""Unit tests as promtool reads them. What an alert should say is put together here a second time, from its words and the test's figures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tightrope.base.plan import Plan
from tightrope.render.alerts.plan_series import workload
from tightrope.render.infra.templates import yaml_literal

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """One alert that fires: the labels that its expression gives it beside the workload, and its value."""

    value: float
    labels: Labels = field(default_factory=dict)
    window: str = ""


@dataclass(frozen=True, slots=True)
class AlertCheck:
    """What an alert should do at a time of the test."""

    alert: str
    at_minute: int
    fires: tuple[ExpectedAlert, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertTest:
    """A test: series as promtool writes them, and what is checked."""

    name: str
    series: Mapping[str, str]
    checks: tuple[AlertCheck, ...]


def number(value: float) -> str:
    """Return a figure as promtool reads it: without an exponent.

    >>> number(0.05), number(1510.0), number(1e-7)
    ('0.05', '1510', '0.0000001')
    """
    return f"{value:.12f}".rstrip("0").rstrip(".")


def series(plan: Plan, metric: str, labels: Labels) -> str:
    """Return a series as PromQL writes it; a label in PromQL's quotes reads as it does in YAML's."""
    every = {"workload": workload(plan), **labels}
    return f"tightrope_{metric}{{{', '.join(f'{key}={yaml_literal(value)}' for key, value in every.items())}}}"


def test_values(plan: Plan, item: AlertTest, alerts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one test as the template writes it."""
    return {
        "name": item.name,
        "series": [{"series": series, "text": values} for series, values in item.series.items()],
        "checks": [
            {
                "at": f"{check.at_minute}m",
                "alert": check.alert,
                "alerts": [_said(plan, check.alert, expected, alerts) for expected in check.fires],
            }
            for check in item.checks
        ],
    }


def _said(plan: Plan, name: str, expected: ExpectedAlert, alerts: Sequence[dict[str, Any]]) -> dict[str, Labels]:
    """Return the labels and the words of an alert that fires."""
    rule = next(rule for rule in alerts if rule["alert"] == name and expected.window in {rule["labels"].get("window"), ""})
    labels = {"workload": workload(plan), **expected.labels, **rule["labels"]}
    words = {key: _filled(text, labels, expected.value) for key, text in rule["annotations"].items()}
    return {"labels": labels, "annotations": words}


PLACES = re.compile(r"\{\{ (?:\$labels\.(?P<label>\w+)|printf \"(?P<form>%\.\df)\" \$value|\$value \| humanizePercentage) \}\}")


def _filled(text: str, labels: Labels, value: float) -> str:
    """Return an annotation as Prometheus fills it.

    >>> _filled('{{ $labels.pool }}: {{ printf "%.1f" $value }}, {{ $value | humanizePercentage }}', {"pool": "{{a}}"}, 0.25)
    '{{a}}: 0.2, 25%'
    """

    def figure(place: re.Match[str]) -> str:
        if place["label"]:
            return labels[place["label"]]
        return place["form"] % value if place["form"] else f"{100.0 * value:.4g}%"

    return PLACES.sub(figure, text)
