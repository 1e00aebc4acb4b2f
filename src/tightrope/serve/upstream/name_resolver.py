"""The addresses of a server's name, also while the system's resolver does not answer."""

import asyncio
import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

LAST_ONES_S = 1.0
"""After so long without an answer the last addresses are used, so that there is time to connect to them."""
NO_ADDRESS = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""By which a resolver answers that a name stands for nothing; everything else is that it has no answer."""


class NameResolver(ThreadedResolver):
    """Finds a name's addresses, and asks the system one question at a time: each holds a thread, until it is given up late."""

    def __init__(self) -> None:
        """Begin with nothing known; lives in one event loop."""
        super().__init__()
        self._found: dict[tuple[str, int, int], list[ResolveResult]] = {}
        self._asked: dict[tuple[str, int, int], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(  # pyrefly: ignore[missing-override-decorator] - it is not in 3.11
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses, or those before where no answer comes; raise ``OSError`` where there are none."""
        key = (host, port, int(family))
        asking = self._asked.get(key)
        if asking is None:
            asking = self._asked[key] = asyncio.create_task(super().resolve(host, port, family))
        await asyncio.wait({asking}, timeout=LAST_ONES_S if key in self._found else None)
        if not asking.done():
            return self._found[key]
        self._asked.pop(key, None)
        try:
            self._found[key] = asking.result()
        except OSError as error:
            if error.errno in NO_ADDRESS or key not in self._found:
                raise
        return self._found[key]

    async def close(self) -> None:  # pyrefly: ignore[missing-override-decorator] - as above
        """Ask no more."""
        for asking in self._asked.values():
            asking.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
