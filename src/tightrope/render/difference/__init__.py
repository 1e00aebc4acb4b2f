"""What changes in dollars between two plans, resource by resource.

Comes in: two plans. Goes out: a table, JSON, or ``difference.md``. To extend: see ``find.py``, which decides what a resource is.
"""
