"""What must be served, how fast.

Comes in: ``workload.yaml`` and traces. Goes out: a ``Workload`` with one ``Demand`` per traffic class, checked.
"""
