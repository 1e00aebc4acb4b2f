"""``README.md`` of the rendered folder: what its files are, what must be there, and what watches what."""

from tightrope.base.plan import Plan
from tightrope.render import formats
from tightrope.render.alerts import plan_series as of
from tightrope.render.infra.deployment import notice

FILES = """
| file | what it is | whose |
|---|---|---|
| `rules.yaml` | the plan's figures as series, what is measured, the alerts | rendered |
| `rules_test.yaml` | every alert fires, and does not, for the plan's classes and pools: `promtool test rules` | rendered |
| `prometheus-rule.yaml` | the same groups for the Prometheus operator | rendered |
| `dashboard.json` | a Grafana dashboard: promises, cost, fleet, queues, beside the plan's figures | rendered |
| `settings.rules.yaml` | the limits of the alerts, budget included | yours, written once |
| `settings.alertmanager.yaml` | an example of where alerts go | yours, written once |

The gateway must be scraped. Every series that it shows carries the label `workload`, here `{workload}`; `pool` and `class` are the names
of the plan. What each alert means and what to do: `docs/how-to/alert-on-a-plan.md` of Tightrope, where each `runbook_url` leads.
"""


def page(plan: Plan) -> str:
    """Return the page; it says so where the plan has nothing to watch."""
    head = ["# Alerts", "", *(f"> {line}" for line in notice(plan)), ""]
    if not plan.pools:
        return "\n".join([*head, "The plan has no pools: there is nothing to watch, and nothing else was written.", ""])
    return "\n".join(
        [*head, FILES.format(workload=of.workload(plan)).strip(), "", "## What is compared", "", *_figures(plan), ""]
    )


def _figures(plan: Plan) -> list[str]:
    """Return the plan's figures that alerts compare with, and what cannot be compared."""
    lines = [
        f"- {_code(item.traffic_class)}: {formats.percent(item.budget)} of the requests may miss {_code(item.slo)}"
        for item in of.promises(plan)
    ]
    lines += [f"- {_code(name)}: done within {window / 3600:g} h of its release" for name, window in of.windows_s(plan).items()]
    if of.replica_pools(plan):
        most = of.most_usd_per_hour(plan)
        lines.append(
            f"- replicas cost at most {formats.usd(most, 2)} an hour, where every pool is at its cap, before commitments"
        )
    month = of.metered_usd_per_month(plan)
    lines.append(
        f"- the plan's month is {formats.usd(month, 2)} by what the gateway meters; the whole bill {formats.usd(plan.monthly_cost_usd, 2)}"
    )
    lines += [
        f"- {_code(part.pool.name)}: the plan's bill does not say how busy it is, so no alert says that it does too little"
        for part in of.replica_pools(plan)
        if of.planned_utilisation(plan, part) is None
    ]
    return lines


def _code(text: str) -> str:
    """Return a name as code, which no sign in it can end."""
    return f"`{formats.strip_controls(text).replace('`', chr(0x2BC))}`"
