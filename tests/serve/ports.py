"""Ports for servers that tests start."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Lend a port on which nothing listens: meanwhile Linux gives it to nobody who does not ask for it by its number."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind((host, port))
        found: int = kept.getsockname()[1]
        if sys.platform != "linux":
            kept.close()
        yield found
