"""Items on their way through an engine together."""

import time
from collections.abc import Callable
from typing import Any

from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.model_loading import LoadedModel
from tightrope.serve.local.wait_queue import WorkItem


class EngineBatch:
    """Items that go through an engine together."""

    __slots__ = (
        "_clock",
        "_hear",
        "_meter",
        "_sessions",
        "answers",
        "began_s",
        "busy_s",
        "ended_s",
        "items",
        "machine_s",
        "model",
        "nusd",
        "slot",
        "threads",
    )

    def __init__(
        self,
        loaded: LoadedModel,
        items: list[WorkItem],
        meter: MachineMeter,
        clock: Callable[[], float],
        hear: Callable[["EngineBatch"], None],
    ) -> None:
        """Note what is to run, on whose meter; ``hear`` is told in the event loop that it ran."""
        self.items, self._meter, self._clock, self._hear = items, meter, clock, hear
        self._sessions = loaded.sessions
        self.threads, self.slot, self.model = loaded.found.threads, 0, loaded.model
        self.answers: list[Any] = []
        """Of each item its answer, or the exception that it met."""
        self.began_s = self.ended_s = self.busy_s = self.machine_s = 0.0
        self.nusd: int | None = 0
        """What it cost; None where the machine's price is not known."""

    def run(self) -> None:
        """Run the model; where a batch fails, its items one by one, so that one of them does not fail the others."""
        self.began_s, busy_s = self._clock(), time.thread_time()
        use = self._meter.begin(self.began_s, self.threads)
        self.answers = self._attempt(self.items)
        if len(self.items) > 1 and isinstance(self.answers[0], Exception):
            self.answers = [self._attempt([item])[0] for item in self.items]
        self.ended_s, self.busy_s = self._clock(), time.thread_time() - busy_s
        self.nusd = self._meter.end(use, self.ended_s)
        self.machine_s = use.machine_s

    def ended(self) -> None:
        """Hand the answers out."""
        self._hear(self)

    def _attempt(self, items: list[WorkItem]) -> list[Any]:
        """Return the answers, or the exception for each."""
        try:
            return self.model.run(self._sessions[self.slot], items)
        except Exception as error:  # noqa: BLE001 - the runtime raises kinds of its own, and none may end the thread
            return [error.with_traceback(None)] * len(items)  # which would know this batch, and it the error
