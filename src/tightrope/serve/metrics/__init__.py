"""What the gateway says of itself: ``/metrics``, traces, logs, and the live view of ``tightrope serve --top``.

Comes in: events, one method of ``Metrics`` for each, and each pool's ``Load`` when it is asked for. Goes out: the families of
``base/metrics.py`` in Prometheus' text format, spans, JSON lines. To extend: a family in ``base/metrics.py``, its cells in ``series``,
a method in ``metrics``.
"""
