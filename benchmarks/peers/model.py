"""The work itself, the same for the bare loop and for every peer: texts → labels, by MiniLM with one thread and a head of eight classes."""

import os
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Model:
    """One session with one thread."""

    def __init__(self, folder: str) -> None:
        """Load ``model.onnx``, ``tokenizer.json`` and ``head.npz``."""
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"), options, providers=["CPUExecutionProvider"])
        head = np.load(Path(folder) / "head.npz")
        self.weights, self.bias = head["weights"], head["bias"]
        for size in range(1, 9):
            self.label(["warm up"] * size)

    def label(self, texts: list[str]) -> list[dict]:
        """Return each text's label and its probability."""
        tokens = self.tokenizer.encode_batch_fast(texts)
        ids, mask = (np.array([getattr(one, part) for one in tokens]) for part in ("ids", "attention_mask"))
        states = self.session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
        vectors = (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        scores = vectors @ self.weights + self.bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        return [{"label": int(row.argmax()), "score": float(row.max())} for row in shares]
