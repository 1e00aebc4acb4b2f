"""A stream on its way to a client, which is kept once it has come whole."""

from collections.abc import AsyncIterator, Callable

from tightrope.serve.records import RawAnswer

MOST_BYTES = 2**18
"""Of a stream that is kept; a longer one is only passed on."""
MOST_STREAMS = 256
"""That are recorded at a time; further ones are only passed on."""
END = b"[DONE]"
"""What the last event of a whole stream says."""


class Recorder:
    """Records streams, a bounded number at a time."""

    def __init__(self) -> None:
        """Begin with none."""
        self.streams = 0

    @property
    def has_room(self) -> bool:
        """Whether one more may be recorded."""
        return self.streams < MOST_STREAMS

    def record(self, raw: RawAnswer, stream: AsyncIterator[bytes], whole: Callable[[bytes], None]) -> "RecordedStream":
        """Return a stream that passes on the one of ``raw``, and calls ``whole`` with all of it when it has ended well."""
        self.streams += 1
        return RecordedStream(self, raw, stream, whole)


class RecordedStream:
    """One stream; to be iterated to its end, or closed."""

    __slots__ = ("_parts", "_raw", "_recorder", "_size", "_stream", "_whole")

    def __init__(self, recorder: Recorder, raw: RawAnswer, stream: AsyncIterator[bytes], whole: Callable[[bytes], None]) -> None:
        """Begin with nothing passed on."""
        self._recorder, self._raw, self._stream, self._whole = recorder, raw, stream, whole
        self._parts: list[bytes] | None = []
        """What came so far; None where it is not recorded any more."""
        self._size = 0

    def __aiter__(self) -> "RecordedStream":
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next part."""
        try:
            part = await anext(self._stream)
        except StopAsyncIteration:
            body = b"".join(self._stop())
            if self._raw.status == 200 and body.rstrip().endswith(END):
                self._whole(body)
            raise
        except BaseException:
            self._stop()
            raise
        if self._parts is not None:
            self._parts.append(part)
            self._size += len(part)
            if self._size > MOST_BYTES:
                self._stop()
        return part

    async def aclose(self) -> None:
        """Let go of the stream; what has not come is not kept."""
        self._stop()
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()

    def _stop(self) -> list[bytes]:
        """Record no more; return what there is."""
        parts, self._parts = self._parts, None
        if parts is None:
            return []
        self._recorder.streams -= 1
        return parts
