"""Measure a model on this machine: how long a batch takes, by threads, batch size and length, and how far to trust it.

Input: an ONNX file (``sweep.measure_onnx``). Output: ``Measured``, with a profile for a workload (``profile_entry.py``). The model runs
in processes of its own (``worker.py``), as many as the machine holds. They share its memory as they do in production.
To extend: another engine is another worker.
"""
