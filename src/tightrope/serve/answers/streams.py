"""A stream on its way to a client, which is kept once it has come whole."""

from collections.abc import AsyncIterator, Callable

from tightrope.serve.records import Raw

MOST_BYTES = 2**18
"""Of a stream that is kept; a longer one is only passed on."""
END = b"[DONE]"
"""What the last event of a whole stream says."""


class Recorded:
    """Passes a stream on, and calls ``whole`` with all of it when it has ended well."""

    __slots__ = ("_parts", "_raw", "_size", "_stream", "_whole")

    def __init__(self, raw: Raw, stream: AsyncIterator[bytes], whole: Callable[[bytes], None]) -> None:
        """Begin with nothing passed on."""
        self._raw, self._stream, self._whole = raw, stream, whole
        self._parts: list[bytes] | None = []
        self._size = 0

    def __aiter__(self) -> "Recorded":
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next part."""
        try:
            part = await anext(self._stream)
        except StopAsyncIteration:
            self._ended()
            raise
        if self._parts is not None:
            self._parts.append(part)
            self._size += len(part)
            if self._size > MOST_BYTES:
                self._parts = None
        return part

    async def aclose(self) -> None:
        """Let go of the stream; what has not come is not kept."""
        self._parts = None
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()

    def _ended(self) -> None:
        """Keep what came, where it is all there is."""
        parts, self._parts = self._parts, None
        body = b"".join(parts or ())
        if self._raw.status == 200 and body.rstrip().endswith(END):
            self._whole(body)
