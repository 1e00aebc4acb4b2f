"""The plan as a fleet that the replay can run, and the traffic it runs on.

Comes in: a ``Solution``. Goes out: the replay's ``Fleet``, the requests of a stretch of the trace, and the failures to try.
To extend: a new failure to try goes into ``scenarios.py``.
"""
