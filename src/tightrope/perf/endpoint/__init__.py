"""Measure a running engine through its HTTP interface: a language model's steps, or how long a batch of requests takes.

Input: an address and limits (``token_engine.py``). Output: a fitted engine with confidence intervals, the measurements behind every
limit, and the profile for a workload (``profile_entry.py``). ``experiments.py`` sends the requests, ``engine_steps.py`` reads steps off
the answers' times, ``fit.py`` fits the coefficients, ``load_generation.py`` sends open and closed load. The clock is the event loop's
own, so that a test can advance it. To extend: another interface is another way to ask in ``client.py``.
"""
