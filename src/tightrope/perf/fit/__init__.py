"""Fits token engines to what others know: aiconfigurator's step model, and the published figures of ``token_benchmarks.csv``.

Comes in: times of single steps, or a chip's published figures. Goes out: four coefficients and the error on what was held out.
To extend: add a model to ``fit_models.py`` or a chip to ``aiconfigurator.py``, and run ``tightrope perf fit aiconfigurator``.
"""
