"""Server-sent events, as far as streamed answers use them (WHATWG HTML, section 9.2): the data of each event."""

MOST_BYTES = 1 << 20
"""An event that is longer is no token."""


class Events:
    r"""Cuts a stream of bytes into the data of its events.

    >>> events = Events()
    >>> events.feed(b'data: {"a"')
    []
    >>> events.feed(b': 1}\r\n\r\n: a comment\n\ndata: [DONE]\n\n')
    ['{"a": 1}', '[DONE]']
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._left = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the data of the events' lines that are complete; raise ``ValueError`` where one never ends."""
        *lines, self._left = (self._left + data).split(b"\n")
        if len(self._left) > MOST_BYTES:
            msg = f"a line of more than {MOST_BYTES} bytes"
            raise ValueError(msg)
        return [line[5:].decode("utf-8", "replace").strip() for line in lines if line.startswith(b"data:")]
