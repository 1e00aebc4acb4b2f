"""The cost of everything: machine time metered exactly, and a file to which each request's share is added before its answer leaves.

Input: uses of machines (``meter.py``: whoever runs something begins and ends a use) and, when a request has ended, its ``Call`` and
``Reply`` (``ledger.py``). They become lines (``rows.py``) of an hourly file (``journal.py``) and sums of this month
(``month_to_date.py``, and other gateways': ``other_gateways.py``). After the hour they become Parquet (``compaction.py``). Output, for
``tightrope ledger``: sums that add up to the machines' price (``reader.py``, ``cost_report.py``, ``machine_hours.py``), exports
(``export.py``, ``focus.py``), and a check that they agree (``check.py``).

To record one more fact of a request: add a field in ``rows.py``, its column below it, and its value in ``Ledger._row``.
"""
