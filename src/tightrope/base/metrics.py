"""The metrics that the gateway shows, by name: what it serves on ``/metrics`` and what rendered autoscalers, alerts and dashboards ask for.

Names and units follow Prometheus' conventions (base units, ``_total`` for counters). ``serve/`` registers each of these, ``render/``
asks for no other. Every series carries ``EVERYWHERE`` beside its own labels, so that several workloads can share a Prometheus.
``pool`` and ``class`` are the names in the plan, ``slo`` a promise as ``Slo.label`` writes it (``ttft p95 <= 4 s``), of a cascade under the
class that was asked. Counters begin at 0 with the gateway, so that a first miss is an increase.

Where several gateways run, each shows its own requests, queues, spending and utilisation (its requests over what the whole fleet
sustains), which are summed; of replicas, what they cost, budgets and work that can wait each shows all there is: the largest is taken.
So is what was spent this month, read from the ledger that they share, which outlives a gateway; idle time in ``tightrope_usd_total`` is
what one gateway did not use of all machines, and is not to be summed. A spot notice is counted by the one gateway that wrote it into the
ledger, so that the sum counts each once. Batches are shown where they are made: of an engine of ours by the engine, which
shows nothing else, and not by the gateway before it. A replica is ``down`` that is wanted and was not had in the time that a machine takes
to start, or was taken.
"""

from dataclasses import dataclass
from typing import Literal

EVERYWHERE = ("workload",)
"""Labels of every series beside its own: the plan's workload, as ``render.infra.names.label_value`` writes it."""

BATCHES = ("tightrope_batch_requests", "tightrope_service_seconds")
"""What an engine behind a gateway shows: the gateway counts all else."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: its labels in order, and what it says."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "tightrope_requests_total", "counter", ("class", "pool", "outcome"), "Requests that ended: ok, error, shed or late."
        ),
        Metric("tightrope_arrivals_total", "counter", ("class", "pool"), "Requests sent to a pool, whatever became of them."),
        Metric("tightrope_requests_in_flight", "gauge", ("pool",), "Requests at a pool that have begun or wait."),
        Metric("tightrope_queue_requests", "gauge", ("pool", "class"), "Requests that wait for an engine."),
        Metric(
            "tightrope_held_requests",
            "gauge",
            ("pool",),
            "Requests that wait because the pool has no machine: it is to start one.",
        ),
        Metric(
            "tightrope_promises_total",
            "counter",
            ("class", "slo", "kept"),
            "Requests judged by a promise; kept is true or false.",
        ),
        Metric("tightrope_latency_seconds", "histogram", ("class", "pool"), "Time from arrival to the whole answer."),
        Metric("tightrope_time_to_first_token_seconds", "histogram", ("class", "pool"), "Time from arrival to the first token."),
        Metric(
            "tightrope_time_per_output_token_seconds", "histogram", ("class", "pool"), "Mean time of an answer's later tokens."
        ),
        Metric("tightrope_wait_seconds", "histogram", ("class", "pool"), "Time that a request waited for an engine."),
        Metric("tightrope_service_seconds", "histogram", ("pool",), "Time that an engine worked on a batch."),
        Metric("tightrope_batch_requests", "histogram", ("pool",), "Requests in a batch."),
        Metric("tightrope_tokens_total", "counter", ("class", "pool", "kind"), "Tokens; kind is input or output."),
        Metric("tightrope_replicas", "gauge", ("pool", "state"), "Replicas by state: ready, starting, draining or down."),
        Metric(
            "tightrope_utilisation_ratio",
            "gauge",
            ("pool",),
            "Request rate over what the ready replicas sustain within the promises.",
        ),
        Metric(
            "tightrope_usd_per_hour", "gauge", ("pool", "offer"), "What the replicas that are there cost, before commitments."
        ),
        Metric("tightrope_usd_total", "counter", ("class", "pool", "driver"), "What was spent, by cost driver."),
        Metric(
            "tightrope_month_to_date_usd", "gauge", ("pool",), "What was spent since the first of the month, UTC, by the ledger."
        ),
        Metric("tightrope_usd_per_1000_requests", "gauge", ("class",), "Cost of a thousand requests, over the last hour."),
        Metric(
            "tightrope_cache_requests_total",
            "counter",
            ("class", "result"),
            "Requests the answer cache was asked for: hit or miss.",
        ),
        Metric("tightrope_shed_requests_total", "counter", ("class", "reason"), "Requests turned away."),
        Metric("tightrope_budget_left_usd", "gauge", ("tenant",), "What is left of a tenant's budget of this month."),
        Metric("tightrope_spot_notices_total", "counter", ("pool",), "Notices that a spot machine is to be taken away."),
        Metric("tightrope_deferred_requests", "gauge", ("class",), "Requests that can wait and are not done."),
        Metric(
            "tightrope_deferred_slack_seconds", "gauge", ("class",), "Time to the first deadline less the time the work needs."
        ),
    )
}
