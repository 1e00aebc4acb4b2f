"""A machine's metadata service, asked with care: loopback or link-local, no proxy, no redirect, small answers, a time for each."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

ASK_S = 5.0
"""For an answer that does not wait for anything."""
MOST_BYTES = 64 * 1024
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
"""Between questions to a service that does not answer: it may only be slow to start, and elsewhere there is none."""
log = logging.getLogger(__name__)


class NoMetadataError(Exception):
    """There was no answer, or none that such a service gives."""


@dataclass(frozen=True, slots=True)
class MetadataAnswer:
    """An answer."""

    status: int
    text: str
    headers: Mapping[str, str]


class Metadata:
    """One service; use it as a context."""

    def __init__(self, base_url: str) -> None:
        """Ask nothing yet."""
        self.base_url = base_url.rstrip("/")
        self._pause_s = FIRST_PAUSE_S
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(trust_env=False, cookie_jar=DummyCookieJar())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, path: str, headers: Mapping[str, str], *, method: str = "GET", body: bytes | None = None, within_s: float = ASK_S
    ) -> MetadataAnswer:
        """Return what is said, whatever its status below 500; raise ``NoMetadataError``."""
        assert self._session is not None, "used as a context"  # noqa: S101 - ours to see to
        try:
            async with self._session.request(
                method,
                f"{self.base_url}{path}",
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=ClientTimeout(total=within_s, sock_connect=ASK_S),
            ) as answer:
                read = b""
                while len(read) < MOST_BYTES and (part := await answer.content.read(MOST_BYTES - len(read))):
                    read += part
                said = MetadataAnswer(answer.status, read.decode("utf-8", "replace"), answer.headers)
        except (ClientError, TimeoutError, OSError) as error:
            raise NoMetadataError(type(error).__name__) from error
        if said.status >= 500 or 300 <= said.status < 400 or said.status == 429:
            msg = f"status {said.status}"
            raise NoMetadataError(msg)
        return said

    def is_there(self) -> None:
        """Remember that the service is one: the next question without answer is asked again soon."""
        self._pause_s = FIRST_PAUSE_S

    async def rest(self, error: Exception) -> None:
        """Wait after a question without answer, longer each time; say so once."""
        level = logging.INFO if self._pause_s == FIRST_PAUSE_S else logging.DEBUG
        log.log(level, "the metadata service at %s does not answer (%s): asked again later", self.base_url, error)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)
