"""Services as options of a plan: functions, containers, token APIs and owned machines.

Comes in: the workload, the price book and the demand of each class. Goes out: pool options beside those of rented machines, their cost by
the request (``metered_costs.py``), the commitments that owned machines are (``owned_machines.py``), and the usage that a replay measured
(``metered_usage.py``). To extend: an offer that charges the units of its usage (``offers/metered.py``), and a module here that makes
options of it.
"""
