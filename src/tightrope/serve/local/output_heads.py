"""What is made of a model's answer: one vector for each text, its length brought to 1, or probabilities of classes.

Each row is worked out by itself, so that an answer has the same bits whatever was in its batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InputError, Where
from tightrope.serve.config.settings import LocalModel
from tightrope.serve.local.sessions import Port

Vector = NDArray[np.float32]
READY = 1e-3
"""Rows that sum to 1 within this, none below 0, are probabilities already."""
POOLED_NAMES = ("sentence_embedding", "text_embeds", "embeddings")
"""Outputs that are a text's own vector, as exports name them; BERT's pooler_output is no embedding."""


@dataclass(slots=True)
class OutputHead:
    """From a batch's output to an answer for each text."""

    wanted: tuple[str]
    """The output that is read."""
    pooling: Literal["mean", "first", "none"]
    normalize: bool
    weights: NDArray[np.float32] | None = None
    """float32[dimensions, classes] of a head."""
    bias: Vector | None = None
    probabilities: Literal["", "softmax", "sigmoid", "ready"] = ""
    """What makes an answer probabilities; empty where it is a vector."""

    def __call__(self, found: NDArray[Any], tokens: Sequence[int]) -> list[Vector]:
        """Return the answer of each text, ``tokens`` of which are its own."""
        return [self._one(found[row], count) for row, count in enumerate(tokens)]

    def _one(self, value: NDArray[Any], tokens: int) -> Vector:
        """Return the answer of one text."""
        vector = self.pooled(value, tokens)
        if self.weights is not None:
            vector = np.dot(vector, self.weights) + self.bias
        if self.probabilities:
            return _probabilities(vector, self.probabilities)
        if self.normalize:
            length = math.sqrt(float(np.dot(vector, vector)))
            return vector / np.float32(length) if length > 0.0 else vector.copy()
        return vector if vector.base is None else vector.copy()  # a view would keep the whole batch

    def pooled(self, value: NDArray[Any], tokens: int) -> Vector:
        """Return one float32[n] for a text: over its own tokens, where there is a vector for each."""
        if value.ndim == 2 and self.pooling == "first":
            value = value[0]
        value = value.astype(np.float32, copy=False)
        return value if value.ndim == 1 else np.add.reduce(value[:tokens], axis=0) / np.float32(tokens)


def finish_of(model: LocalModel, task: str, outputs: Sequence[Port], found: Sequence[NDArray[Any]]) -> OutputHead:
    """Return what to do with a model's answers, from its answers to a few texts; raise ``InputError`` where they do not fit.

    Probabilities are known by their sum; a single number for each text is a logit.
    """
    head = _head(model.head, model) if task == "classify" and model.head is not None else None
    logits = task == "classify" and head is None
    place = _place(model, outputs, found, logits=logits)
    finish = OutputHead((outputs[place].name,), model.pooling, model.normalize and task == "embed")
    dimensions = found[place].shape[-1]
    if head is not None:
        finish.weights, finish.bias = head
        if len(finish.weights) != dimensions:
            msg = f"the head takes vectors of {len(finish.weights)}, the model makes {dimensions}"
            raise InputError(msg, resolve="give the head that was fitted on this model", where=Where(model.head or model.path))
        dimensions = finish.weights.shape[1]
    if task == "classify":
        finish.probabilities = "softmax" if head is not None else _kind(found[place])
        dimensions = 2 if dimensions == 1 else dimensions
        if model.labels and len(model.labels) != dimensions:
            msg = f"there are {len(model.labels)} labels and {dimensions} classes"
            raise InputError(msg, resolve="name every class, in the model's order (labels:)", where=Where(model.path))
    return finish


def _place(model: LocalModel, outputs: Sequence[Port], found: Sequence[NDArray[Any]], *, logits: bool) -> int:
    """Return which output is read: logits, a text's own vector, or the vectors of its tokens."""
    flat = [place for place, value in enumerate(found) if value.ndim == 2]
    token = [place for place, value in enumerate(found) if value.ndim == 3]
    named = [place for place in flat if outputs[place].name in POOLED_NAMES]
    order = flat if logits or model.pooling == "none" else [*named[:1], *token, *flat]
    if order:
        return order[0]
    shapes = ", ".join(f"{port.name} {value.shape}" for port, value in zip(outputs, found, strict=True))
    wanted = "logits [texts, classes]; or a head" if logits else "a vector for each text, or for each token with pooling"
    msg = f"the outputs are {shapes}, expected {wanted}"
    raise InputError(msg, resolve="serve it as task: infer, give head: or set pooling: mean", where=Where(model.path))


def _head(path: Path, model: LocalModel) -> tuple[NDArray[np.float32], Vector]:
    """Return the weights and bias of a head."""
    where = Where(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            weights, bias = file["weights"].astype(np.float32), file["bias"].astype(np.float32)
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError) as error:
        msg = f"the head of {model.path.name} cannot be read: {error}"
        raise InputError(
            msg, resolve="give an .npz with weights [dimensions, classes] and bias [classes]", where=where
        ) from error
    if weights.ndim != 2 or bias.shape != weights.shape[1:] or not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        msg = f"the head has weights {weights.shape} and bias {bias.shape}, expected finite [dimensions, classes] and [classes]"
        raise InputError(msg, resolve="write it with numpy.savez(weights=…, bias=…)", where=where)
    return np.ascontiguousarray(weights), bias


def _kind(found: NDArray[Any]) -> Literal["softmax", "sigmoid", "ready"]:
    """Return what makes an output probabilities."""
    if found.shape[-1] == 1:
        return "ready" if found.min() >= 0.0 and found.max() <= 1.0 else "sigmoid"
    ready = found.min() >= 0.0 and np.abs(found.sum(axis=-1) - 1.0).max() <= READY
    return "ready" if ready else "softmax"


def _probabilities(logits: Vector, kind: str) -> Vector:
    """Return float32[classes] that sum to 1; a single number is the probability, or logit, of the second of two classes."""
    if kind == "softmax":
        raised = np.exp(logits - logits.max())
        return raised / raised.sum()
    if len(logits) > 1:
        return logits.copy()
    value = float(logits[0])
    share = value if kind == "ready" else (1.0 / (1.0 + math.exp(-value)) if value >= 0 else 1.0 - 1.0 / (1.0 + math.exp(value)))
    return np.array([1.0 - share, share], np.float32)
