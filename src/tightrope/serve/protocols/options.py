"""What uvicorn is told: our protocol, and no more of its own than is needed."""

import importlib.util
from typing import Any

from tightrope.serve.config.settings import Settings
from tightrope.serve.protocols.body_budget import BodyBudget
from tightrope.serve.protocols.connection import guarded

LEAVES_S = 5
"""At the end, what is still answered after so long is told that the server is going away."""
KEEP_ALIVE_S = 75
"""An idle connection is kept so long: longer than load balancers keep theirs (60 s at AWS' and Google's, 2026), so that these close it."""


def event_loop() -> str:
    """Return uvicorn's name of the event loop that is to be had here."""
    return "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"


def server_options(settings: Settings, held: BodyBudget | None = None) -> dict[str, Any]:
    """Return what ``uvicorn.Config`` takes beside the application; ``held`` counts what others hold too."""
    listen = settings.listen
    return {
        "host": listen.host,
        "port": listen.port,
        "http": guarded(settings.limits, held),
        "loop": event_loop(),
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": LEAVES_S,
        "ssl_certfile": listen.certificate,
        "ssl_keyfile": listen.certificate_key,
    }
