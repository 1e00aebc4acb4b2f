"""Try a ``plan.json`` on recorded traffic, with surges and failures.

Comes in: a plan as it was written, and a trace. Goes out: what each promise became, the bill of the stretch, and figures over time.
To extend: a new figure goes into ``outcome_figures.py``.
"""
