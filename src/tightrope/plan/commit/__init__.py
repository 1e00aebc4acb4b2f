"""How much to commit to: sized on what usage may become, priced by the sellers' own order of application.

Comes in: machine-hours of several futures, rates, and the commitment options. Goes out: US dollars an hour for each, with their
utilisation, break-even and a bound. Everything takes plain arrays, so that a plan, a comparison and a benchmark can call it.
To extend: another recommendation to compare with goes into ``lookback.py``.
"""
