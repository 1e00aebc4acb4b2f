"""A time that no task may take longer than, the same for all: ``asyncio.timeout`` with one timer, at a tenth of its cost a request."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Deadlines:
    """Cancels what takes longer than ``within_s``; one for an event loop, and one wait for a task at a time."""

    def __init__(self, within_s: float) -> None:
        """Begin with nothing to watch."""
        self._within_s = within_s
        self._due_s: dict[asyncio.Task[Any], float] = {}
        """In the order in which they are due, since all may take the same time."""
        self._late: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the timer is set."""

    async def wait(self, asked: Awaitable[Answer]) -> Answer:
        """Return what is awaited; raise ``TimeoutError`` where it took too long, once it has been cancelled."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        before = task.cancelling()
        self._due_s[task] = due_s = loop.time() + self._within_s
        if self._loop is not loop:
            self._loop = loop
            loop.call_at(due_s, self._look)
        try:
            return await asked
        except asyncio.CancelledError:
            if self._forget(task) and task.cancelling() <= before:
                raise TimeoutError from None
            raise
        finally:
            self._forget(task)
            del task  # which may hold the error that is raised through here

    def _forget(self, task: "asyncio.Task[Any]") -> bool:
        """Watch a task no longer; return whether it was cancelled here, which is taken back: the first time it is asked."""
        self._due_s.pop(task, None)
        if task not in self._late:
            return False
        self._late.discard(task)
        task.uncancel()
        return True

    def _look(self) -> None:
        """Cancel what is late, and look again when the next one would be."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        now_s = loop.time()
        while self._due_s:
            task, due_s = next(iter(self._due_s.items()))
            if due_s > now_s:
                self._loop = loop
                loop.call_at(due_s, self._look)
                return
            del self._due_s[task]
            self._late.add(task)
            task.cancel()
