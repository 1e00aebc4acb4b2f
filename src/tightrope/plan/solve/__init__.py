"""The cheapest feasible fleet for a ``Problem``, and a lower bound on the cost of every fleet.

Comes in: a ``Problem``. Goes out: a ``Solution`` with whole machines for each hour, routing shares and commitments, or the limits that
make the problem infeasible. Read ``decomposition.py`` first. To extend: a new limit becomes a row in ``constraints.py``.
"""
