"""How much to commit to: sized on what usage may become, priced by the sellers' own order of application.

Comes in: machine-hours of several futures, rates, and the commitments to be had (``problem.Cover``). Goes out: US dollars an hour
for each, with their utilisation, break-even and a bound. Plain arrays throughout, so that a plan, a comparison and a benchmark can
all ask. To extend: another recommendation to compare with goes into ``look_back.py``.
"""
