"""What must be served, how fast.

Comes in: ``workload.yaml``, traces and tables of clients. Goes out: a ``Workload`` with one ``Demand`` per traffic class, checked;
its requests, recorded or drawn, all at once or in a stream (``arrivals.py``); a recorded trace request by request, with keys and
prompt blocks, for a replay (``requests.py``). To extend: a column name that traces use goes in ``columns.py``, a declared pattern in
``patterns.py`` and ``schema_traffic.py``, a model that ``init`` may begin with is a row of ``starts.csv``.
"""
