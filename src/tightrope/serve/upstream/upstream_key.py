"""The key that servers ask for: a file that is read anew when it changes, so that keys can be exchanged while it runs."""

import asyncio
import logging
from pathlib import Path

MOST_BYTES = 16 * 1024
EVERY_S = 2.0

log = logging.getLogger(__name__)


class UpstreamKey:
    """The key in a file; none where the file is not there, as of a secret that is optional."""

    def __init__(self, path: Path | None) -> None:
        self.headers: dict[str, str] = {}
        """What goes with each request; nothing of it is ever logged."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._told = ""

    async def refresh(self) -> bool:
        """Read the file where it is another than before; return whether the key is another."""
        if self._path is None:
            return False
        before = self.headers
        try:
            self.headers = await asyncio.to_thread(self._read, self._path)
        except (OSError, ValueError) as error:
            if self._told != str(error):
                self._told = str(error)
                log.error("the key in %s cannot be read, the last one is used: %s", self._path, error)  # noqa: TRY400 - no defect
        else:
            self._told = ""
        return self.headers != before

    async def follow(self) -> None:
        """Read the file whenever it changes, without end."""
        while self._path is not None:
            await asyncio.sleep(EVERY_S)
            await self.refresh()

    def _read(self, path: Path) -> dict[str, str]:
        """Return the headers by the file as it is now; raise ``OSError`` or ``ValueError`` where it holds no key."""
        try:
            state = path.stat()
        except FileNotFoundError:
            self._seen = None
            return {}
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        if seen == self._seen:
            return self.headers
        if state.st_size > MOST_BYTES:
            msg = f"it has {state.st_size:,} bytes"
            raise ValueError(msg)
        text = path.read_text(encoding="ascii").strip()
        if not text.isprintable():
            msg = "it has more than one line"
            raise ValueError(msg)
        self._seen = seen
        return {"Authorization": f"Bearer {text}"} if text else {}
