"""Services as options of a plan: functions, containers, token APIs, and machines of one's own.

Comes in: the workload, the price book, the classes as they are sized. Goes out: pool options beside those of rented machines, what they
cost by the request (``metered.py``), the commitments that machines of one's own are (``own.py``), and what of it ran (``ran.py``).
To extend: an offer that charges the units of its usage (``offers/metered.py``), and a module here that makes options of it.
"""
