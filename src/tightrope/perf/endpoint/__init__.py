"""Measure an engine that runs already, through its HTTP interface: a language model's steps, or how long a batch of requests takes.

Comes in: an address and limits (``measure.py``). Goes out: a fitted engine with intervals, what every limit rests on, and the profile that
a workload takes (``entry.py``). ``experiments.py`` asks, ``steps.py`` reads steps off the answers' times, ``fit.py`` finds the
coefficients, ``load.py`` sends open and closed load. Time is the event loop's own, so that a test can let it run.
To extend: another interface is another way to ask in ``client.py``.
"""
