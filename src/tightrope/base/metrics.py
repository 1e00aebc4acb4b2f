"""The gateway's metrics by name: ``/metrics`` serves them; rendered autoscalers, alerts and dashboards query them.

Names and units follow Prometheus' conventions (base units, ``_total`` for counters). ``serve/`` registers each of these, ``render/``
queries no other. Every series also carries the labels of ``EVERYWHERE``, so that several workloads can share a Prometheus.
``pool`` and ``class`` are names in the plan; ``slo`` is ``Slo.label`` (``ttft p95 <= 4 s``), for a cascade under the requested class.
Counters start at 0 with the gateway, so that a first miss is an increase.

Several gateways each report their own requests, queues, spending and utilisation (own requests over the fleet's capacity): sum them.
Each reports all replicas, their cost, budgets, deferrable work and the month-to-date spending of the shared ledger, which outlives a
gateway: take the maximum. Idle time in ``tightrope_usd_total`` is the part of all machines that one gateway did not use: do not sum it.
A spot notice is counted only by the gateway that wrote it into the ledger, so the sum counts each once. Batches are reported where they
form: a Tightrope engine reports them and nothing else, and the gateway in front of it does not. A wanted replica is ``down`` where it did
not start within the machine's start-up time, or was reclaimed.
"""

from dataclasses import dataclass
from typing import Literal

EVERYWHERE = ("workload",)
"""Labels of every series beside its own: the plan's workload, as ``render.infra.names.label_value`` writes it."""

BATCHES = ("tightrope_batch_requests", "tightrope_service_seconds")
"""Metrics of an engine behind a gateway; the gateway counts the rest."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family, with its labels in order and its help text."""

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
        Metric("tightrope_arrivals_total", "counter", ("class", "pool"), "Requests sent to a pool, whatever their outcome."),
        Metric("tightrope_requests_in_flight", "gauge", ("pool",), "Requests at a pool, running or waiting."),
        Metric("tightrope_queue_requests", "gauge", ("pool", "class"), "Requests that wait for an engine."),
        Metric(
            "tightrope_held_requests",
            "gauge",
            ("pool",),
            "Requests that wait for the pool's first machine to start.",
        ),
        Metric(
            "tightrope_promises_total",
            "counter",
            ("class", "slo", "kept"),
            "Requests judged by an SLO; kept is true or false.",
        ),
        Metric("tightrope_latency_seconds", "histogram", ("class", "pool"), "Time from arrival to the complete answer."),
        Metric("tightrope_time_to_first_token_seconds", "histogram", ("class", "pool"), "Time from arrival to the first token."),
        Metric("tightrope_time_per_output_token_seconds", "histogram", ("class", "pool"), "Mean time per token after the first."),
        Metric("tightrope_wait_seconds", "histogram", ("class", "pool"), "Time a request waited for an engine."),
        Metric("tightrope_service_seconds", "histogram", ("pool",), "Time an engine worked on a batch."),
        Metric("tightrope_batch_requests", "histogram", ("pool",), "Requests in a batch."),
        Metric("tightrope_tokens_total", "counter", ("class", "pool", "kind"), "Tokens; kind is input or output."),
        Metric("tightrope_replicas", "gauge", ("pool", "state"), "Replicas by state: ready, starting, draining or down."),
        Metric(
            "tightrope_utilisation_ratio",
            "gauge",
            ("pool",),
            "Request rate over the rate that the ready replicas sustain within the SLOs.",
        ),
        Metric("tightrope_usd_per_hour", "gauge", ("pool", "offer"), "Cost of the existing replicas, before commitments."),
        Metric("tightrope_usd_total", "counter", ("class", "pool", "driver"), "Spending by cost driver."),
        Metric("tightrope_month_to_date_usd", "gauge", ("pool",), "Spending since the first of the month, UTC, from the ledger."),
        Metric("tightrope_usd_per_1000_requests", "gauge", ("class",), "Cost of a thousand requests, over the last hour."),
        Metric(
            "tightrope_cache_requests_total",
            "counter",
            ("class", "result"),
            "Look-ups in the answer cache: hit or miss.",
        ),
        Metric("tightrope_shed_requests_total", "counter", ("class", "reason"), "Requests shed."),
        Metric("tightrope_budget_left_usd", "gauge", ("tenant",), "Remaining budget of a tenant this month."),
        Metric("tightrope_spot_notices_total", "counter", ("pool",), "Interruption notices of spot machines."),
        Metric("tightrope_deferred_requests", "gauge", ("class",), "Deferrable requests not yet done."),
        Metric(
            "tightrope_deferred_slack_seconds", "gauge", ("class",), "Time to the first deadline minus the time the work needs."
        ),
    )
}
