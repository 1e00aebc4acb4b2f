"""Answers that are kept and given again, to the same tenant alone.

In comes a call and what makes an answer; out goes an answer, kept or made. ``asked.py`` says which calls ask the same, ``store.py`` keeps
answers within limits of number, bytes and time, ``similar.py`` finds those of questions that are nearly the same, where that is wanted,
``streams.py`` records a stream on its way; ``cache.py`` puts it together, and answers calls that ask the same at once together.
"""
