"""What is measured, and how much of it may be used."""

import math
import os
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from tightrope.base.errors import InputError

Api: TypeAlias = Literal["completions", "chat", "embeddings", "infer"]
APIS: tuple[Api, ...] = ("completions", "chat", "embeddings", "infer")
PATHS: dict[Api, str] = {"completions": "/v1/completions", "chat": "/v1/chat/completions", "embeddings": "/v1/embeddings"}


@dataclass(frozen=True, slots=True)
class Target:
    """One model behind one address."""

    url: str
    """Scheme, host and what stands before ``/v1`` or ``/v2``."""
    api: Api
    model: str = ""
    """Empty where the server has only one."""
    key_variable: str = ""
    """Name of the environment variable with the key; the key itself is kept nowhere."""

    @property
    def path(self) -> str:
        """Where requests go."""
        return PATHS.get(self.api, f"/v2/models/{self.model}/infer")

    def key(self) -> str:
        """Return the key, empty where none is asked for; raise ``InputError`` where the variable has none."""
        key = os.environ.get(self.key_variable, "") if self.key_variable else ""
        if self.key_variable and not key.strip():
            msg = f"the environment variable {self.key_variable!r} is empty, and was to hold the key"
            raise InputError(msg, resolve=f"export {self.key_variable}=…, or leave --key-variable out")
        return key.strip()


@dataclass(frozen=True, slots=True)
class MeasurementLimits:
    """What the measurement may use at most; it ends there, whatever it lacks."""

    requests: int = 3000
    seconds: float = 1800.0
    timeout_s: float = 120.0
    """For one request, its whole answer included."""


def parse_target(url: str, api: str, model: str = "", key_variable: str = "") -> Target:
    """Return the target of an address.

    Raises ``InputError`` for what is no address of a server, or carries a password.

    >>> parse_target("http://127.0.0.1:8000/v1/", "chat").url
    'http://127.0.0.1:8000'
    """
    known: Api | None = next((name for name in APIS if name == api), None)
    if known is None:
        msg = f"--api is {api!r}, expected one of {', '.join(APIS)}"
        raise InputError(msg, resolve="name the interface that the server speaks")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        msg = "this is not the address of a server, expected one such as http://127.0.0.1:8000"
        raise InputError(msg, resolve="give scheme, host, port and what stands before /v1 or /v2")
    if parts.username is not None or parts.password is not None:
        msg = "the address carries a user or a password, which would stand in logs"
        raise InputError(msg, resolve="put the key into an environment variable and name it with --key-variable")
    path = parts.path.rstrip("/").removesuffix("/v1").removesuffix("/v2").rstrip("/")
    return Target(f"{parts.scheme}://{parts.netloc}{path}", known, model, key_variable)


def check_limits(limits: MeasurementLimits) -> None:
    """Raise ``InputError`` where a limit is none."""
    for option, value in (
        ("--max-requests", limits.requests),
        ("--max-seconds", limits.seconds),
        ("--timeout", limits.timeout_s),
    ):
        if not (math.isfinite(value) and value > 0):
            msg = f"{option} is {value}, expected more than 0"
            raise InputError(msg, resolve=f"correct {option}")
