"""The plan's monthly bill: as scheduled, and as the machines ran in the replay.

Comes in: a ``Solution`` and replay outcomes. Goes out: bill lines in US dollars, computed by ``offers`` and not by the optimiser's
objective. To extend: a new kind of cost becomes a function that returns bill lines, here or in ``problem/cost_lines.py``.
"""
