"""Replay the plan on held-out traffic, and add capacity until it keeps its promises.

Comes in: a workload with its prices and speeds. Goes out: a ``Proof``: the solution, its fleet, the evidence for each promise, and what
happens under surges and failures. To extend: another drill goes into ``fleet/scenarios.py`` and ``drills.py``.
"""
