"""Make a model smaller, and prove that it still answers well.

Input: an ONNX file and labelled examples (``examples.py``). Output: variants (``variant_search.py``). Each is an ONNX file that plain
onnxruntime loads, with its quality on held-out examples and its speed beside the original's. ``quantize.py`` shortens numbers,
``prune.py`` shrinks shapes, ``distil.py`` trains the smaller model, and ``quality.py`` measures the loss. ``cascade.py`` finds when a
small model's answer is good enough.
"""
