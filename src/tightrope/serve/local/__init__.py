"""Engines in this process: models in ONNX files that answer on the cores of this machine.

Comes in: a ``ServedPool`` with a ``LocalModel``, and calls (``pool.LocalPool``). Goes out: replies. All pools share the engine threads of
one ``engines.Engines``, which gives a core that has become free to the pool whose first request goes first. What a pool has waiting is in
``waiting.py``; what goes together is decided by ``policy/batch.py`` on the service curve of ``curve.py``; how a model is asked is in
``models.py`` (``texts.py``, ``tensors.py``), how it is loaded and measured in ``loading.py``. To extend: another runtime is one more
function in ``sessions.py``.
"""
