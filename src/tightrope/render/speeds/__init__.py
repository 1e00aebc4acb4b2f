"""What variants do on machines, as tables on the terminal and as a chart of cost, latency and quality.

Comes in: ``plan.speeds.Speed`` rows. Goes out: tables, ``pareto.html``. To extend: add a column to ``tables.py``.
"""
