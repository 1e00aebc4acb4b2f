"""What the dashboard shows: rows of panels, each with its queries. Of the plan only what it ``needs`` is shown."""

from tightrope.render.alerts.panel import Need, Panel, PanelQuery, PanelRow


def _quantile(share: float, metric: str, label: str) -> str:
    """Return the query of a histogram's quantile by a label."""
    chosen = f'{label}=~"${label}"'
    return f'histogram_quantile({share}, sum by (le, {label}) (rate({metric}_bucket{{workload="$workload", {chosen}}}[$__rate_interval])))'


def _latency(title: str, metric: str, needs: Need = "") -> Panel:
    """Return a panel of three quantiles by class."""
    queries = tuple(
        PanelQuery(_quantile(share, metric, "class"), f"p{100 * share:g} {{{{class}}}}") for share in (0.5, 0.95, 0.99)
    )
    return Panel(title, "s", queries, "As the gateway sees it, from the arrival on.", needs=needs)


PROMISES = PanelRow(
    "Promises",
    (
        Panel(
            "Kept in the last hour",
            "percentunit",
            (
                PanelQuery(
                    'sum by (class, slo) (rate(tightrope_promises_total{workload="$workload", class=~"$class", kept="true"}[1h]))'
                    ' / sum by (class, slo) (rate(tightrope_promises_total{workload="$workload", class=~"$class"}[1h]))',
                    "{{class}} {{slo}}",
                ),
                PanelQuery(
                    '1 - tightrope:plan_error_budget{workload="$workload", class=~"$class"}',
                    "promised: {{class}} {{slo}}",
                    dashed=True,
                ),
            ),
            "Share of the requests that kept each promise, and the share that was promised.",
            width=12,
            needs="promises",
        ),
        Panel(
            "Burn rate",
            "none",
            (
                PanelQuery('tightrope:burn:rate1h{workload="$workload", class=~"$class"}', "1 h {{class}} {{slo}}"),
                PanelQuery('tightrope:burn:rate6h{workload="$workload", class=~"$class"}', "6 h {{class}} {{slo}}"),
                PanelQuery('tightrope:burn:rate3d{workload="$workload", class=~"$class"}', "3 d {{class}} {{slo}}"),
                PanelQuery("vector(1)", "what the promise leaves", dashed=True),
            ),
            "Missed requests as a multiple of those that may be missed: 1 uses up exactly what the promise leaves.",
            width=12,
            needs="promises",
        ),
        _latency("Whole answer", "tightrope_latency_seconds"),
        _latency("First token", "tightrope_time_to_first_token_seconds", "tokens"),
        _latency("Later tokens, each", "tightrope_time_per_output_token_seconds", "tokens"),
    ),
)
FIRING = Panel(
    "Alerts that fire",
    "none",
    (
        PanelQuery(
            'count by (severity, alertname, class, pool) (ALERTS{workload="$workload", alertstate="firing"})',
            "{{severity}} {{alertname}} {{class}} {{pool}}",
        ),
    ),
    "Each line is an alert, drawn while it fires.",
    width=24,
    height=5,
)
COST = PanelRow(
    "Cost, by what the gateway meters",
    (
        Panel(
            "This month so far",
            "currencyUSD",
            (PanelQuery('tightrope:usd_month_to_date{workload="$workload"}', "spent"),),
            "Since the first of the month, UTC. Disks, balancers and what commitments spare are on the sellers' bills.",
            "stat",
            6,
            4,
        ),
        Panel(
            "This month at this pace",
            "currencyUSD",
            (PanelQuery('tightrope:usd_month_forecast{workload="$workload"}', "forecast"),),
            "What is spent, and the rest of the month at the pace of the last seven days.",
            "stat",
            6,
            4,
        ),
        Panel(
            "Budget of the month",
            "currencyUSD",
            (PanelQuery('tightrope:limit_budget_usd_per_month{workload="$workload"}', "budget"),),
            "From settings.rules.yaml.",
            "stat",
            6,
            4,
        ),
        Panel(
            "The plan's month",
            "currencyUSD",
            (PanelQuery('tightrope:plan_usd_per_month{workload="$workload"}', "planned"),),
            "What the plan's month costs by what the gateway meters.",
            "stat",
            6,
            4,
        ),
        Panel(
            "Replicas, an hour",
            "currencyUSD",
            (
                PanelQuery('tightrope:usd_per_hour{workload="$workload"}', "now"),
                PanelQuery('tightrope:plan_usd_per_hour{workload="$workload"}', "planned", dashed=True),
                PanelQuery('tightrope:usd_per_hour_limit{workload="$workload"}', "limit of the alert", dashed=True),
                PanelQuery('tightrope:plan_usd_per_hour_max{workload="$workload"}', "every pool at its cap", dashed=True),
            ),
            "What the replicas that are there cost an hour, before commitments, beside the plan's hour.",
            width=12,
            needs="replicated",
        ),
        Panel(
            "By pool and offer, an hour",
            "currencyUSD",
            (
                PanelQuery(
                    'max by (pool, offer) (tightrope_usd_per_hour{workload="$workload", pool=~"$pool"})', "{{pool}} {{offer}}"
                ),
            ),
            "What the replicas of each pool cost an hour, before commitments.",
            width=12,
            needs="replicated",
        ),
        Panel(
            "By driver, an hour",
            "currencyUSD",
            (
                PanelQuery(
                    "sum by (driver) (increase("
                    'tightrope_usd_total{workload="$workload", pool=~"$pool", class=~"$class", driver!="idle"}[1h]))',
                    "{{driver}}",
                ),
                PanelQuery(
                    'clamp_min(sum(max by (pool, offer) (avg_over_time(tightrope_usd_per_hour{workload="$workload", pool=~"$pool"}[1h])))'
                    ' - sum(increase(tightrope_usd_total{workload="$workload", pool=~"$pool", driver="compute"}[1h])), 0)',
                    "idle",
                ),
            ),
            "What was spent in the last hour, by cost driver.",
        ),
        Panel(
            "A thousand requests",
            "currencyUSD",
            (PanelQuery('max by (class) (tightrope_usd_per_1000_requests{workload="$workload", class=~"$class"})', "{{class}}"),),
            "Cost of a thousand requests, over the last hour.",
        ),
        Panel(
            "Left of tenants' budgets",
            "currencyUSD",
            (PanelQuery('min by (tenant) (tightrope_budget_left_usd{workload="$workload"})', "{{tenant}}"),),
            "What is left of each tenant's budget of this month.",
            "bargauge",
        ),
        Panel(
            "Paid by the request, a day",
            "currencyUSD",
            (
                PanelQuery('tightrope:usd_per_day{workload="$workload", pool=~"$pool"}', "{{pool}}"),
                PanelQuery('tightrope:plan_usd_per_day{workload="$workload", pool=~"$pool"}', "planned: {{pool}}", dashed=True),
            ),
            "What functions and APIs cost over the last 24 hours, beside the plan's mean day.",
            width=24,
            needs="metered",
        ),
    ),
)
FLEET = PanelRow(
    "Fleet",
    (
        Panel(
            "Replicas",
            "none",
            (
                PanelQuery('tightrope:replicas_ready{workload="$workload", pool=~"$pool"}', "ready: {{pool}}"),
                PanelQuery('tightrope:plan_replicas{workload="$workload", pool=~"$pool"}', "schedule: {{pool}}", dashed=True),
                PanelQuery('tightrope:plan_replicas_max{workload="$workload", pool=~"$pool"}', "cap: {{pool}}", dashed=True),
            ),
            "Ready replicas beside the schedule, which is their least number, and the cap.",
            width=12,
            needs="replicated",
        ),
        Panel(
            "Replicas by state",
            "none",
            (
                PanelQuery(
                    'max by (pool, state) (tightrope_replicas{workload="$workload", pool=~"$pool", state!="ready"})',
                    "{{state}}: {{pool}}",
                ),
            ),
            "Replicas that start, drain or are down.",
            width=12,
            needs="replicated",
        ),
        Panel(
            "Utilisation",
            "percentunit",
            (
                PanelQuery('tightrope:utilisation{workload="$workload", pool=~"$pool"}', "{{pool}}"),
                PanelQuery(
                    'tightrope:plan_utilisation_target{workload="$workload", pool=~"$pool"}', "target: {{pool}}", dashed=True
                ),
                PanelQuery(
                    'tightrope:plan_utilisation{workload="$workload", pool=~"$pool"}', "planned mean: {{pool}}", dashed=True
                ),
            ),
            "Request rate over what the ready replicas sustain within the promises; the autoscaler steers to the target.",
            width=12,
            needs="replicated",
        ),
        Panel(
            "Spot notices in seven days",
            "none",
            (
                PanelQuery(
                    'round(sum by (pool) (increase(tightrope_spot_notices_total{workload="$workload", pool=~"$pool"}[1w])))',
                    "{{pool}}",
                ),
                PanelQuery(
                    'tightrope:plan_spot_notices_per_week_max{workload="$workload", pool=~"$pool"}',
                    "unusual above: {{pool}}",
                    dashed=True,
                ),
            ),
            "Notices that a machine is to be taken away, beside what one week in a thousand has at the planned rate.",
            width=12,
            needs="spot",
        ),
    ),
)
TRAFFIC = PanelRow(
    "Traffic",
    (
        Panel(
            "Requests by outcome",
            "reqps",
            (
                PanelQuery(
                    'sum by (class, outcome) (rate(tightrope_requests_total{workload="$workload", class=~"$class", pool=~"$pool"}'
                    "[$__rate_interval]))",
                    "{{class}} {{outcome}}",
                ),
            ),
            "Requests that ended, a second.",
        ),
        Panel(
            "Requests by pool",
            "reqps",
            (
                PanelQuery(
                    'sum by (pool) (rate(tightrope_arrivals_total{workload="$workload", class=~"$class", pool=~"$pool"}'
                    "[$__rate_interval]))",
                    "{{pool}}",
                ),
            ),
            "Requests sent to each pool, a second.",
        ),
        Panel(
            "Turned away",
            "percentunit",
            (
                PanelQuery('tightrope:shed_ratio{workload="$workload", class=~"$class"}', "{{class}}"),
                PanelQuery('tightrope:limit_shed_ratio{workload="$workload"}', "limit of the alert", dashed=True),
            ),
            "Share of the requests of the last 15 minutes.",
        ),
    ),
)
QUEUES = PanelRow(
    "Queues and batches",
    (
        Panel(
            "Waiting",
            "none",
            (
                PanelQuery(
                    'sum by (pool, class) (tightrope_queue_requests{workload="$workload", pool=~"$pool"})', "{{pool}} {{class}}"
                ),
                PanelQuery('sum by (pool) (tightrope_held_requests{workload="$workload", pool=~"$pool"})', "held: {{pool}}"),
            ),
            "Requests that wait for an engine; held are those of a pool without any machine.",
        ),
        Panel(
            "In flight",
            "none",
            (PanelQuery('sum by (pool) (tightrope_requests_in_flight{workload="$workload", pool=~"$pool"})', "{{pool}}"),),
            "Requests that have begun or wait.",
        ),
        Panel(
            "Wait",
            "s",
            (PanelQuery(_quantile(0.95, "tightrope_wait_seconds", "class"), "p95 {{class}}"),),
            "Time that requests waited for an engine.",
        ),
        Panel(
            "Requests in a batch",
            "none",
            (
                PanelQuery(
                    'sum by (pool) (rate(tightrope_batch_requests_sum{workload="$workload", pool=~"$pool"}[$__rate_interval]))'
                    ' / sum by (pool) (rate(tightrope_batch_requests_count{workload="$workload", pool=~"$pool"}[$__rate_interval]))',
                    "{{pool}}",
                ),
            ),
            "Mean size of the batches.",
            width=12,
        ),
        Panel(
            "Work on a batch",
            "s",
            (PanelQuery(_quantile(0.95, "tightrope_service_seconds", "pool"), "p95 {{pool}}"),),
            "Time that an engine worked on a batch.",
            width=12,
        ),
    ),
)
TOKENS = PanelRow(
    "Tokens and cache",
    (
        Panel(
            "Tokens",
            "none",
            (
                PanelQuery(
                    'sum by (pool, kind) (rate(tightrope_tokens_total{workload="$workload", class=~"$class", pool=~"$pool"}'
                    "[$__rate_interval]))",
                    "{{pool}} {{kind}}",
                ),
            ),
            "Tokens a second, read and written.",
            width=12,
            needs="tokens",
        ),
        Panel(
            "Cache hits of a day",
            "percentunit",
            (
                PanelQuery('tightrope:cache_hit_ratio{workload="$workload", class=~"$class"}', "{{class}}"),
                PanelQuery(
                    'tightrope:cache_hit_ratio{workload="$workload", class=~"$class"} offset 1d',
                    "the day before: {{class}}",
                    dashed=True,
                ),
            ),
            "Share of the requests of the last 24 hours that the cache of answers answered.",
            width=12,
            needs="cache",
        ),
    ),
)
WAITING = PanelRow(
    "Deferrable work",
    (
        Panel(
            "Not done",
            "none",
            (PanelQuery('max by (class) (tightrope_deferred_requests{workload="$workload", class=~"$class"})', "{{class}}"),),
            "Requests that can wait and are not done.",
            width=12,
            needs="waiting",
        ),
        Panel(
            "Slack",
            "s",
            (
                PanelQuery(
                    'min by (class) (tightrope_deferred_slack_seconds{workload="$workload", class=~"$class"})', "{{class}}"
                ),
                PanelQuery(
                    'tightrope:plan_window_seconds{workload="$workload", class=~"$class"}', "whole window: {{class}}", dashed=True
                ),
            ),
            "Time to the first deadline less the time that the work needs; below zero it will be late.",
            width=12,
            needs="waiting",
        ),
    ),
)
ROWS = (PanelRow("Alerts", (FIRING,)), PROMISES, COST, FLEET, TRAFFIC, QUEUES, TOKENS, WAITING)
