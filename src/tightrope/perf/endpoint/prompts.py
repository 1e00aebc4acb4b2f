"""Prompts of so many tokens: common words in random order, so that no prefix cache knows them."""

from dataclasses import dataclass

import numpy as np

COMMON = """
time year people way day man thing woman life child world school state family student group country problem hand part place case week
company system program question work government number night point home water room mother area money story fact month lot right study
book eye job word business issue side kind head house service friend father power hour game line end member law car
"""
WORDS = tuple(COMMON.split())


@dataclass(frozen=True, slots=True)
class Prompts:
    """Writes prompts; a prompt of ``w`` words has ``fixed + w × per_word`` tokens, as the server was seen to count."""

    random: np.random.Generator
    fixed: float = 0.0
    per_word: float = 1.0

    def words(self, count: int) -> str:
        """Return so many words."""
        return " ".join(WORDS[index] for index in self.random.integers(0, len(WORDS), max(1, count)))

    def text(self, tokens: int) -> str:
        """Return a prompt of about so many tokens."""
        return self.words(round((tokens - self.fixed) / self.per_word))
