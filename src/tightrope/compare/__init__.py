"""Other planners' methods, written here from their authors' publications, on the same workload as the plan.

Comes in: the workload's options as arrays. Goes out: a fleet for each method, replayed on the same traffic and priced by the same bill.
``PEERS`` in ``comparison.py`` lists the methods. To extend: add a module with one ``draft_…`` function from a ``Setting`` to a ``Draft``,
and a row there.
"""
