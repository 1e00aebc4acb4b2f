"""Make a model smaller, and prove that it is still good.

Comes in: an ONNX file and labelled examples (``examples.py``). Goes out: variants (``search.py``), each an ONNX file that plain onnxruntime
loads, with its quality on examples that nothing was tuned on, and its speed beside the original's. ``quantize.py`` makes weights and
multiplications shorter, ``prune.py`` makes shapes smaller, ``distil.py`` teaches what is left, ``judge.py`` says what it cost,
``cascade.py`` when a small model's answer is good enough.
"""
