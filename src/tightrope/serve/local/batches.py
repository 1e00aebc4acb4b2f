"""Items on their way through an engine together."""

import time
from collections.abc import Callable
from typing import Any

from tightrope.serve.ledger.meter import Use
from tightrope.serve.local.loading import Loaded
from tightrope.serve.local.waiting import Item


class Batch:
    """Items that go through an engine together."""

    __slots__ = (
        "_clock",
        "_hear",
        "_sessions",
        "answers",
        "began_s",
        "busy_s",
        "ended_s",
        "items",
        "model",
        "slot",
        "threads",
        "use",
    )

    def __init__(
        self, loaded: Loaded, items: list[Item], use: Use, clock: Callable[[], float], hear: Callable[["Batch", float], None]
    ) -> None:
        """Note what is to run; ``use`` has begun on the meter, ``hear`` is told that it ran, and when."""
        self.items, self.use, self._clock, self._hear = items, use, clock, hear
        self._sessions = loaded.sessions
        self.threads, self.slot, self.model = loaded.found.threads, 0, loaded.model
        self.answers: list[Any] = []
        """Of each item its answer, or the exception that it met."""
        self.began_s = self.ended_s = self.busy_s = 0.0

    def run(self) -> None:
        """Run the model; where a batch fails, its items one by one, so that one of them does not fail the others."""
        self.began_s, busy_s = self._clock(), time.thread_time()
        self.answers = self._attempt(self.items)
        if len(self.items) > 1 and isinstance(self.answers[0], Exception):
            self.answers = [self._attempt([item])[0] for item in self.items]
        self.ended_s, self.busy_s = self._clock(), time.thread_time() - busy_s

    def ended(self, now_s: float) -> None:
        """Hand the answers out."""
        self._hear(self, now_s)

    def _attempt(self, items: list[Item]) -> list[Any]:
        """Return the answers, or the exception for each."""
        try:
            return self.model.run(self._sessions[self.slot], items)
        except Exception as error:  # noqa: BLE001 - the runtime raises kinds of its own, and none may end the thread
            return [error] * len(items)
