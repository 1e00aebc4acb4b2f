"""What may be bought and what must be served, as arrays.

Comes in: a ``Workload``, the price book and the machine speeds. Goes out: a ``Problem``, with capacities, prices, quotas and commitment
options in the order of its pool options. To extend: a new kind of option is made in ``services/`` or ``assembly.py``.
"""
