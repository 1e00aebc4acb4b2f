"""Who sells what, for how much.

Comes in: the vendors' public figures as dated rows (one folder per seller). Goes out: a ``PriceBook``. To extend:
add a row to a seller's CSV, or a folder that carries a ``CLOUD``.
"""
