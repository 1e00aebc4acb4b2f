"""Bytes of bodies that are held, of all requests that are not answered yet and whatever protocol they came by; on one event loop."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from tightrope.serve.refusals import TooMany

HELD = "tightrope.held"
"""Key in a scope: bytes of its body that are held."""
FULL = "tightrope.full"
"""Key in a scope: there is no room for its body."""
SMALL = 64 * 1024
"""An eighth beyond the limit is kept for bodies of at most so many bytes, which large ones that come slowly do not keep out."""

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BodyBudget:
    """How much is held, and how much may be: ``most``, and ``size`` is never above ``at_most``."""

    __slots__ = ("at_most", "most", "size")

    def __init__(self, most: int) -> None:
        """Hold nothing yet."""
        self.size, self.most, self.at_most = 0, most, most + most // 8

    def take(self, size: int) -> None:
        """Hold a body that came whole; raise ``TooMany`` where there is no room."""
        if self.size + size > (self.at_most if size <= SMALL else self.most):
            raise full()
        self.size += size

    def let_go(self, scope: Scope, size: int | None = None) -> None:
        """Hold so much of a body no more: all of it where nothing is said."""
        held = scope.pop(HELD, 0)
        if size is not None and size < held:
            scope[HELD] = held - size
            held = size
        self.size -= held

    def of_parts(self, scope: Scope, receive: Receive) -> Receive:
        """Return ``receive`` for a body that is done with part by part: each is let go when the next is asked for."""
        done = 0

        async def next_part() -> MutableMapping[str, Any]:
            nonlocal done
            self.let_go(scope, done)
            message = await receive()
            done = len(message.get("body", b""))
            return message

        return next_part


def full() -> TooMany:
    """Return the refusal of a body that there is no room for."""
    return TooMany("more bytes of requests are held than there is room for", retry_after_s=1.0, reason="held")
