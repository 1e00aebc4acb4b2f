"""What everything cost: machines' time metered exactly, and a file to which each request's share is added before its answer goes.

In come uses of machines (``meter.py``: whoever runs something begins and ends a use) and, when a request has ended, its ``Call`` and
``Reply`` (``ledger.py``). They become lines (``rows.py``) of a file an hour (``journal.py``), sums of this month (``totals.py``, and other
gateways': ``others.py``), and Parquet once the hour is over (``compact.py``). Out go, for ``tightrope ledger``: sums that add up to the
machines' price (``read.py``, ``total.py``, ``fleet.py``), exports (``export.py``, ``focus.py``), and whether it all holds (``check.py``).

To write down something more of a request: a field in ``rows.py``, its column below it, and its value in ``Ledger._row``.
"""
