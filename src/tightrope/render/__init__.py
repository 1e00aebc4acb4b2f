"""Write the plan out: one folder per target.

Comes in: a ``Plan``. Goes out: files. To extend: add a folder that carries a ``RENDERER``.
"""
