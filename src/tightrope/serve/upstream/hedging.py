"""One answer of two replicas: another one is asked as well where the first is slow or has gone silent, and the first answer is taken."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tightrope.serve.upstream.sender import Failure, ReplicaAnswer, Sender


class Race:
    """A request whose answer has not begun, in the task that waits for it: that of its first replica, and perhaps one beside it."""

    __slots__ = ("_second", "_sender", "_task", "_won")

    def __init__(self, sender: Sender) -> None:
        """Begin with nothing asked."""
        self._sender = sender
        self._task: asyncio.Task[Any] | None = None
        self._second: asyncio.Task[ReplicaAnswer] | None = None
        self._won = False
        """The second one has answered, and the first is being given up."""

    async def run(self, first: Coroutine[Any, Any, ReplicaAnswer]) -> ReplicaAnswer:
        """Return the answer that comes first; where none comes, raise what the first replica's raised. The slower one is given up."""
        self._task = task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        before = task.cancelling()
        try:
            try:
                return await first
            except Failure:
                if not await self._is_second_good():
                    raise
            except asyncio.CancelledError:
                if not self._won or task.uncancel() > before:
                    raise
            assert self._second is not None  # noqa: S101 - it has answered
            got, self._second = self._second.result(), None
            return got
        finally:
            self._task = task = None
            if (second := self._second) is not None:
                self._second = None
                second.cancel()
                second.add_done_callback(self._sender.drop)

    def ask_another(self, another: Callable[[], Coroutine[Any, Any, ReplicaAnswer] | None]) -> None:
        """Ask another replica too, unless one is being asked; ``another`` returns what does that, None where none may be."""
        second = self._second
        if self._task is None or (second is not None and not (second.done() and _has_failed(second))):
            return
        if (asking := another()) is not None:
            self._second = self._sender.begin(asking)
            self._second.add_done_callback(self._answered)

    def _answered(self, second: asyncio.Task[ReplicaAnswer]) -> None:
        """Give the first replica up where the second has answered, if the first has not failed or answered as well by now."""
        if self._task is not None and not _has_failed(second):
            self._won = True
            self._task.cancel()

    async def _is_second_good(self) -> bool:
        """Return whether the second one answers, now that the first has failed."""
        self._task = None
        if self._second is None:
            return False
        await asyncio.wait({self._second})
        return not _has_failed(self._second)


def _has_failed(task: asyncio.Task[ReplicaAnswer]) -> bool:
    """Return whether a task has ended without an answer."""
    return task.cancelled() or task.exception() is not None
