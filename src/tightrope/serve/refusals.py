"""Why a request is not answered, as a tree; each protocol says it in its own words.

Refusal                       never raised itself
├── Malformed           400   not what the protocol says; names the field, what was got and expected
├── Unauthenticated     401   no key, or one that is not known
├── Forbidden           403   the key may not do this
├── NotFound            404   no such model, file or batch that this tenant may see
├── TooSlow             408   the request did not come in time
├── Conflict            409   not in this state
├── TooLarge            413   more than is taken
├── Unsupported         415   a type or feature that is not had
├── Reused              422   the key of another request
├── TooMany             429   over a rate, a concurrency, a budget, or more than can be answered in time; come back after ``retry_after_s``
├── Failed              500   a defect here; what went wrong is in the log, not in the answer
├── UpstreamFailed      502   an upstream server did not answer, on any replica
├── Unavailable         503   going away, or not loaded yet
└── TimedOut            504   not answered in the time that the class allows
"""

from collections.abc import Iterable
from typing import ClassVar

from tightrope.base.errors import find_near_names


class RequestRefusal(Exception):  # noqa: N818 - a refusal is no error of this program
    """The root: ``message`` is complete and holds nothing that the client did not send or may not know."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "refused"
    """Stable name for programs."""

    def __init__(
        self, message: str, *, parameter: str | None = None, retry_after_s: float | None = None, reason: str = ""
    ) -> None:
        """State what happened, the field it is about, when to come back, and the label under which it is counted."""
        self.message, self.parameter, self.retry_after_s, self.reason = message, parameter, retry_after_s, reason or self.code
        self.logged = message
        """What logs and traces say instead, where the message may hold what the client sent."""
        super().__init__(message)


class Malformed(RequestRefusal):
    """What came is not what the protocol says."""

    status, code = 400, "invalid_request"


class Unauthenticated(RequestRefusal):
    """No key, or one that is not known."""

    status, code = 401, "invalid_api_key"


class Forbidden(RequestRefusal):
    """The key may not do this."""

    status, code = 403, "forbidden"


class NotFound(RequestRefusal):
    """No such model, file or batch that this tenant may see."""

    status, code = 404, "not_found"


class TooSlow(RequestRefusal):
    """The request did not come in time."""

    status, code = 408, "request_timeout"


class Conflict(RequestRefusal):
    """Not in this state."""

    status, code = 409, "conflict"


class TooLarge(RequestRefusal):
    """More than is taken."""

    status, code = 413, "too_large"


class Unsupported(RequestRefusal):
    """A type or feature that is not had."""

    status, code = 415, "unsupported"


class Reused(RequestRefusal):
    """The key of another request."""

    status, code = 422, "idempotency_key_reused"


class TooMany(RequestRefusal):
    """Over a rate, a concurrency or a budget, or more than can be answered in time."""

    status, code = 429, "rate_limited"


class Failed(RequestRefusal):
    """A defect here."""

    status, code = 500, "internal_error"


class UpstreamFailed(RequestRefusal):
    """An upstream server did not answer, on any replica."""

    status, code = 502, "upstream_failed"


class Unavailable(RequestRefusal):
    """Going away, or not loaded yet."""

    status, code = 503, "unavailable"


class TimedOut(RequestRefusal):
    """Not answered in the time that its class allows."""

    status, code = 504, "timed_out"


def meant(name: str, known: Iterable[str]) -> str:
    """Return what to put behind a refusal of a name: which of the known ones may be meant, if one is near.

    >>> meant("minilmm", ["minilm", "chat"]), meant("x", ["minilm", "chat"])
    (": did you mean 'minilm'?", '')
    """
    near = find_near_names(name, known)
    return f": did you mean {near[0]!r}?" if near else ""
