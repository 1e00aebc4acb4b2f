"""Tightrope: the cheapest way to serve a model's real traffic without breaking its latency promises.

Comes in: a ``workload.yaml`` and a traffic trace. Goes out: a proven ``plan.json`` and its report. Data flows through the
folders in this order, and a folder imports only folders above it:
``base, clouds, demand, offers, perf, policy, replay, plan, render``.
"""

__version__ = "0.1.0"
