"""What must be served, how fast.

Comes in: ``workload.yaml`` and traces. Goes out: a ``Workload`` with one ``Demand`` per traffic class, checked. To extend: a
column name that traces use goes in ``columns.py``, a declared pattern in ``patterns.py`` and ``schema.py``, a model that
``init`` may begin with is a row of ``starts.csv``.
"""
