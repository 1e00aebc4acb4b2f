"""Why this plan: what each lever saves, which limits bind, what would change the answer, and what to watch.

Comes in: a proven plan. Goes out: the explanation that ``plan.json`` and the report show. Each module answers one question by solving
the problem again with one thing changed. To extend: add a module with one question and call it in ``explanation.py``.
"""
