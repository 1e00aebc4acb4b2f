"""Other ways to decide, of our own making after what their authors published, for a plan to be held against.

In go the workload's options as arrays, out comes a fleet that may be replayed. ``PEERS`` in ``plan/compare.py`` lists those that a
workload is compared with. To extend: add a module with one ``draft_…`` function from a ``Setting`` to a ``Draft``, and a row there.
"""
