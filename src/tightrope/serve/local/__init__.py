"""Engines in this process: models in ONNX files that answer on the cores of this machine.

Input: a ``ServedPool`` with a ``LocalModel``, and calls (``pool.LocalPool``). Output: replies. All pools share the engine threads of one
``engines.Engines``, which gives a free core to the pool with the most urgent request. A pool's waiting requests are in
``wait_queue.py``. ``policy/batching.py`` decides which go together, on the service curve of ``batch_curve.py``. ``models.py``
(``text_model.py``, ``tensor_model.py``) runs a model; ``model_loading.py`` loads and measures it. To extend: another runtime is one more
function in ``sessions.py``.
"""
