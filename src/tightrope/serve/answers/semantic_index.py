"""Finds the kept answer of a question that is nearly the same, by the cosine between their embeddings. Off unless it is asked for.

Only the text of the question may differ: tenant, model, parameters, and what was said before in a conversation are the same. It is
sometimes wrong all the same, so a share of what it finds is answered anew, and how often the answers differ is counted.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightrope.serve.answers.cached_answers import CachedAnswer

MOST_ROWS = 8192
"""Questions in all."""
MOST_IN_SCOPE = 1024
"""Questions that may differ in their text alone: a look at all of them takes about 0.1 ms."""
FIRST_ROWS = 16


class ScopeEmbeddings:
    """Embeddings of the questions of one scope, the oldest going where there is no room."""

    __slots__ = ("keys", "matrix", "next", "places")

    def __init__(self, dimensions: int) -> None:
        """Begin empty."""
        self.matrix: NDArray[np.float32] = np.zeros((FIRST_ROWS, dimensions), dtype=np.float32)
        self.keys: list[bytes] = []
        self.places: dict[bytes, int] = {}
        self.next = 0

    def __len__(self) -> int:
        """Return how many questions there are."""
        return len(self.keys)

    def add(self, vector: NDArray[np.float32], key: bytes) -> None:
        """Take one more in, or the same anew."""
        place = self.places.get(key)
        if place is None:
            place, self.next = self.next, (self.next + 1) % MOST_IN_SCOPE
            if place == len(self.keys):
                self.keys.append(key)
                if place == len(self.matrix):
                    self.matrix = np.concatenate([self.matrix, np.zeros_like(self.matrix)])
            else:
                del self.places[self.keys[place]]
                self.keys[place] = key
            self.places[key] = place
        self.matrix[place] = vector

    def nearest(
        self, vector: NDArray[np.float32], least: float, get: Callable[[bytes], CachedAnswer | None]
    ) -> CachedAnswer | None:
        """Return the answer of the nearest question of which there still is one, where the cosine is at least so much."""
        cosines = self.matrix[: len(self.keys)] @ vector
        while len(cosines):
            best = int(cosines.argmax())
            if cosines[best] < least:
                return None
            kept = get(self.keys[best])
            if kept is not None:
                return kept
            cosines[best] = -2.0
            self.matrix[best] = 0.0  # near to nothing, until its question is answered again
        return None


class SemanticIndex:
    """All questions, by scope; the scope least recently asked in goes first."""

    def __init__(self, threshold: float) -> None:
        """Take the least cosine, above 0."""
        self._threshold = threshold
        self._scopes: OrderedDict[bytes, ScopeEmbeddings] = OrderedDict()
        self.rows = 0

    def find(self, scope: bytes, vector: NDArray[Any], get: Callable[[bytes], CachedAnswer | None]) -> CachedAnswer | None:
        """Return the answer to the nearest question of a scope where it is near enough; ``vector`` is float[dimensions] of any length."""
        rows, unit = self._scopes.get(scope), _unit(vector)
        if rows is None or unit is None or rows.matrix.shape[1] != len(unit):
            return None
        self._scopes.move_to_end(scope)
        return rows.nearest(unit, self._threshold, get)

    def add(self, scope: bytes, vector: NDArray[Any], key: bytes) -> None:
        """Note a question whose answer is kept under ``key``."""
        unit = _unit(vector)
        if unit is None:
            return
        rows = self._scopes.pop(scope, None)
        self.rows -= len(rows) if rows is not None else 0
        if rows is None or rows.matrix.shape[1] != len(unit):  # the embedding model is another now
            rows = ScopeEmbeddings(len(unit))
        rows.add(unit, key)
        self._scopes[scope] = rows
        self.rows += len(rows)
        while self.rows > MOST_ROWS:
            self.rows -= len(self._scopes.popitem(last=False)[1])


def _unit(vector: NDArray[Any]) -> NDArray[np.float32] | None:
    """Return float32[dimensions] of length 1; None where it has no direction."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length, dtype=np.float32) if np.isfinite(length) and length > 0.0 else None
