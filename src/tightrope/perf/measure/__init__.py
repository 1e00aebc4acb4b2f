"""Measure a model on the machine at hand: how long a batch takes, by threads, batch and length, and how far to trust it.

Comes in: an ONNX file (``sweep.measure_onnx``). Goes out: ``Measured``, with a profile that a workload takes (``entry.py``). The model
runs in processes of its own (``worker.py``), as many side by side as the machine holds, which share its memory as they do when they serve.
To extend: another engine is another worker.
"""
