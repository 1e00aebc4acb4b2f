"""``dashboard.json``: the panels laid out as Grafana reads them."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from tightrope.base.catalogue import SPOT
from tightrope.base.plan import Plan
from tightrope.base.records import TokenEngine
from tightrope.render import formats
from tightrope.render.alerts.panel import Panel, PanelQuery
from tightrope.render.alerts.panels import ROWS
from tightrope.render.alerts.plan_series import metered_pools, promises, replica_pools, windows_s, workload
from tightrope.render.infra.deployment import notice
from tightrope.render.infra.names import MOST, slug

Json = dict[str, Any]
COLUMNS = 24
SCHEMA = 39
"""Of the dashboard's form: Grafana 11 and later read it."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
UID_MOST = MOST
"""Letters of a dashboard's uid that Grafana takes."""


def dashboard(plan: Plan) -> str:
    """Return the file; its name and uid stay the same however often the plan is made again."""
    name = workload(plan)
    return f"{json.dumps(_dashboard(plan, name), indent=1, ensure_ascii=False)}\n"


def _dashboard(plan: Plan, name: str) -> Json:
    """Return the dashboard's record."""
    return {
        "title": f"Tightrope: {formats.strip_controls(plan.workload)}",
        "uid": slug(f"tightrope-{name}", UID_MOST),
        "description": " ".join(notice(plan)),
        "tags": ["tightrope", name],
        "schemaVersion": SCHEMA,
        "timezone": "utc",
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": _variables(name)},
        "panels": list(_panels(_has(plan))),
    }


def _has(plan: Plan) -> set[str]:
    """Return what the plan has of what panels may need."""
    pools = plan.pools
    found = {
        "promises": bool(promises(plan)),
        "replicated": bool(replica_pools(plan)),
        "metered": bool(metered_pools(plan)),
        "spot": any(pool.offer == SPOT for pool in pools),
        "cache": plan.cache is not None,
        "waiting": bool(windows_s(plan)),
        "tokens": any(isinstance(pool.serving.engine, TokenEngine) or pool.serving.answer_s is not None for pool in pools),
    }
    return {"", *(need for need, there in found.items() if there)}


def _variables(name: str) -> list[Json]:
    """Return what is chosen at the top: the data source, classes and pools."""
    return [
        {
            "name": "datasource",
            "type": "datasource",
            "label": "Prometheus",
            "query": "prometheus",
            "current": {"text": "default", "value": "default"},
        },
        {
            "name": "workload",
            "type": "custom",
            "label": "Workload",
            "query": name,
            "current": {"text": name, "value": name},
            "options": [{"text": name, "value": name, "selected": True}],
        },
        _chosen("class", "Class", 'label_values(tightrope_requests_total{workload="$workload"}, class)'),
        _chosen("pool", "Pool", 'label_values(tightrope_requests_in_flight{workload="$workload"}, pool)'),
    ]


def _chosen(name: str, label: str, query: str) -> Json:
    """Return a variable of which several values may be chosen, and all are at first."""
    return {
        "name": name,
        "type": "query",
        "label": label,
        "datasource": DATASOURCE,
        "query": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(has: set[str]) -> Iterator[Json]:
    """Yield rows and panels from top to bottom, side by side as far as they fit; a row without panels is left out."""
    numbers, top = count(1), 0
    for row in ROWS:
        shown = [panel for panel in row.panels if panel.needs in has]
        if not shown:
            continue
        yield {
            "id": next(numbers),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": _at(0, top, 24, 1),
        }
        top, left, tallest = top + 1, 0, 0
        for panel in shown:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            yield _panel(panel, next(numbers), _at(left, top, panel.width, panel.height))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _at(left: int, top: int, width: int, height: int) -> Json:
    """Return a place in the grid."""
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: Json) -> Json:
    """Return one panel's record."""
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(query, ref) for query, ref in zip(panel.queries, "ABCDEFGH", strict=False)],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": [_dashed(ref) for ref in _planned(panel)]},
        "options": OPTIONS[panel.kind],
    }


OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "graphMode": "none",
        "colorMode": "value",
    },
    "bargauge": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "horizontal"},
}


def _target(query: PanelQuery, ref: str) -> Json:
    """Return one query's record."""
    return {"refId": ref, "datasource": DATASOURCE, "expr": query.expr, "legendFormat": query.legend}


def _planned(panel: Panel) -> list[str]:
    """Return the letters of the queries that are drawn dashed."""
    return [ref for query, ref in zip(panel.queries, "ABCDEFGH", strict=False) if query.dashed]


def _dashed(ref: str) -> Json:
    """Return what draws one query's lines dashed."""
    style = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}}
    return {"matcher": {"id": "byFrameRefID", "options": ref}, "properties": [style]}
