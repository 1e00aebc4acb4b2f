"""Asks one server, notes when each token comes, counts every failure, and stops at the limits."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from tightrope.base.errors import InputError, MissingExtraError
from tightrope.base.records import FloatArray
from tightrope.perf.endpoint.sse import Events
from tightrope.perf.endpoint.target import MeasurementLimits, Target

if TYPE_CHECKING:
    import aiohttp

MOST_BODY = 64 << 20
"""Bytes of an answer that is read at once."""
MOST_TEXT = 300
BEAT_S = 0.05
MOST_LAG = 0.2
"""Share of what is measured that this program may be late at: beyond, it measures itself."""
MERGED = 0.9
"""Where fewer pieces than this share of the tokens come, the server puts several into one."""
LEAST_MERGED = 8
SPARE = 8
"""Pieces beyond the tokens that were asked for may come without one, no more."""


class FailureKind(StrEnum):
    """Kinds of failures that have no number of HTTP."""

    NOT_JSON = "answer is not JSON"
    WRONG_JSON = "wrong JSON"
    NO_STREAM = "answer is not a stream"
    UNREACHABLE = "unreachable"
    CLOSED = "closed half-way"
    REDIRECT = "redirect"
    TOO_LARGE = "answer is too large"
    BAD_EVENT = "event is not JSON"
    ERROR_INSIDE = "error in the stream"
    EMPTY = "answer without a token"
    NO_USAGE = "no usage"
    LUMPS = "tokens come in lumps"
    ENDLESS = "more tokens than asked for"


class FailedError(Exception):
    """One request failed; ``kind`` is what is counted."""

    def __init__(self, kind: str, text: str = "") -> None:
        """State the kind of failure and what the server said."""
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind


class SpentError(InputError):
    """A limit on requests or time was reached."""


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """One streamed answer: when it was asked for, when each token came, and what the server says it counted."""

    sent_s: float
    token_s: FloatArray
    prompt_tokens: int
    output_tokens: int

    @property
    def ttft_s(self) -> float:
        """Time to the first token."""
        return float(self.token_s[0]) - self.sent_s

    @property
    def tpot_s(self) -> float:
        """Mean time per further token; 0 where there is none."""
        return float(self.token_s[-1] - self.token_s[0]) / max(len(self.token_s) - 1, 1)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that came whole."""

    sent_s: float
    done_s: float
    body: Any


class Client:
    """A connection to one server; ``errors`` counts failures by kind, ``sent`` every request."""

    def __init__(self, target: Target, limits: MeasurementLimits, session: "aiohttp.ClientSession", key: str) -> None:
        """Take an open session; see ``connect``."""
        self.target, self.limits = target, limits
        self.sent, self.errors, self.lags_s = 0, Counter[str](), [0.0]
        self.exact_length = True
        """Whether the server takes ``ignore_eos``, without which an answer may end early."""
        self._session, self._key = session, key
        self._began_s = now_s()

    @property
    def lag_p95_s(self) -> float:
        """How late this program itself was, at the 95th percentile."""
        return float(np.percentile(self.lags_s, 95))

    def affordable(self, requests: int, seconds: float) -> bool:
        """Return whether the limits leave so many requests, and twice so long."""
        return self.sent + requests <= self.limits.requests and now_s() - self._began_s + 2 * seconds <= self.limits.seconds

    async def get(self, path: str) -> Answer:
        """Return an answer as JSON, or as text where it is none."""
        text, sent_s = await self._read("GET", path, None)
        return Answer(sent_s, now_s(), _json_or_text(text))

    async def ask(self, body: dict[str, Any], key: str, count: int) -> Answer:
        """Return a JSON answer that has a list of (at least) ``count`` under ``key``; raise ``FailedError``."""
        text, sent_s = await self._read("POST", self.target.path, body)
        done_s = now_s()
        try:
            said = json.loads(text)
        except ValueError:
            raise self._count(FailureKind.NOT_JSON, text) from None
        found = said.get(key) if isinstance(said, dict) else None
        if not isinstance(found, list) or len(found) < count:
            raise self._count(FailureKind.WRONG_JSON, f"expected a list of {count} under {key!r}, got {text}")
        return Answer(sent_s, done_s, said)

    async def generate(self, prompt: str, tokens: int, began: asyncio.Event | None = None) -> StreamedAnswer:
        """Return a streamed answer of so many tokens, set ``began`` with the first of them; raise ``FailedError``."""
        said = {"messages": [{"role": "user", "content": prompt}]} if self.target.api == "chat" else {"prompt": prompt}
        body = {"model": self.target.model, **said, "max_tokens": tokens, "temperature": 0, "stream": True}
        body |= {"stream_options": {"include_usage": True}} | ({"ignore_eos": True} if self.exact_length else {})
        async with self._request("POST", self.target.path, body) as (response, sent_s):
            if "text/event-stream" not in response.headers.get("Content-Type", ""):
                text = (await response.content.read(MOST_TEXT)).decode("utf-8", "replace")
                raise self._fail(FailureKind.NO_STREAM, text)
            events, reading = Events(), _Reading(tokens)
            async for data in response.content.iter_any():
                at_s = now_s()
                for event in events.feed(data):
                    reading.take(event, at_s)
                if began is not None and reading.token_s:
                    began.set()
            return reading.stream(sent_s)

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> AsyncIterator[tuple["aiohttp.ClientResponse", float]]:
        """Lend one response of status 200, within the limits; every failure is counted and raised as ``FailedError``."""
        import aiohttp

        self._spend()
        data = None if body is None else json.dumps(body).encode()
        sends = {"Content-Type": "application/json"} if data else {}
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                sent_s = now_s()
                async with self._session.request(
                    method, self.target.url + path, data=data, headers=sends, allow_redirects=False
                ) as response:
                    await self._check(response)
                    yield response, sent_s
        except FailedError as error:
            self.errors[error.kind] += 1
            raise FailedError(error.kind, self._hidden(str(error).partition(": ")[2])) from None
        except TimeoutError:
            kind = f"no whole answer in {self.limits.timeout_s:g} s"
            raise self._count(kind) from None
        except aiohttp.ClientConnectorError as error:
            raise self._count(FailureKind.UNREACHABLE, str(error)) from None
        except (aiohttp.ClientError, ConnectionError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            kind = FailureKind.CLOSED if isinstance(error, aiohttp.ClientError | ConnectionError) else FailureKind.WRONG_JSON
            raise self._count(kind, str(error)) from None

    async def _check(self, response: "aiohttp.ClientResponse") -> None:
        """Raise ``FailedError`` for a redirect or an error."""
        if 300 <= response.status < 400:
            raise self._fail(FailureKind.REDIRECT, f"to {response.headers.get('Location', 'nowhere')}, which is not followed")
        if response.status != 200:
            text = (await response.content.read(4 * MOST_TEXT)).decode("utf-8", "replace")
            kind = f"status {response.status}"
            raise self._fail(kind, text)

    async def _read(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[str, float]:
        """Return the text of an answer, and when it was asked for."""
        async with self._request(method, path, body) as (response, sent_s):
            parts: list[bytes] = []
            size = 0
            async for data in response.content.iter_any():
                parts.append(data)
                size += len(data)
                if size > MOST_BODY:
                    raise self._fail(FailureKind.TOO_LARGE, f"more than {MOST_BODY} bytes")
            return b"".join(parts).decode("utf-8", "replace"), sent_s

    def _spend(self) -> None:
        """Count a request; raise ``SpentError`` where the limit is reached."""
        if self.sent >= self.limits.requests:
            msg = f"all {self.limits.requests} requests are used up, and the experiments are not done"
            raise SpentError(msg, resolve="allow more with --max-requests, or ask for less: --max-concurrency, --max-prompt")
        self.sent += 1

    def _fail(self, kind: str, text: str = "") -> FailedError:
        """Return a failure with the beginning of what the server said, without the key."""
        return FailedError(kind, self._hidden(" ".join(text.split())[:MOST_TEXT]))

    def _count(self, kind: str, text: str = "") -> FailedError:
        """Count a failure and return it."""
        self.errors[kind] += 1
        return self._fail(kind, text)

    def _hidden(self, text: str) -> str:
        """Return a text without the key."""
        return text.replace(self._key, "***") if self._key else text


class _Reading:
    """What has come of one streamed answer."""

    def __init__(self, tokens: int) -> None:
        """Begin with nothing; so many tokens were asked for."""
        self.tokens = tokens
        self.token_s: list[float] = []
        self.closed_s: float | None = None
        """When the piece came that says why the answer ends, where it has no text: some servers send it with the last token."""
        self.usage: dict[str, Any] | None = None
        self.done = False

    def take(self, event: str, at_s: float) -> None:
        """Take the data of one event in."""
        if event == "[DONE]":
            self.done = True
            return
        try:
            said = json.loads(event)
        except ValueError:
            raise FailedError(FailureKind.BAD_EVENT, event[:MOST_TEXT]) from None
        if said.get("error"):
            raise FailedError(FailureKind.ERROR_INSIDE, str(said["error"])[:MOST_TEXT])
        self.usage = said.get("usage") or self.usage
        for choice in said.get("choices") or ():
            if _has_token(choice):
                self.token_s.append(at_s)
            elif choice.get("finish_reason"):
                self.closed_s = at_s
            self.done = self.done or bool(choice.get("finish_reason"))
        if len(self.token_s) > self.tokens + SPARE:
            raise FailedError(FailureKind.ENDLESS, f"{self.tokens} were asked for, {len(self.token_s)} have come")

    def stream(self, sent_s: float) -> StreamedAnswer:
        """Return the whole answer; raise ``FailedError`` where it is not whole, or cannot be counted."""
        if not self.done:
            raise FailedError(FailureKind.CLOSED, f"after {len(self.token_s)} tokens, without saying why")
        said = self.usage or {}
        prompt, output = int(said.get("prompt_tokens", 0)), int(said.get("completion_tokens", 0))
        if self.closed_s is not None and len(self.token_s) < output:  # half a letter: vLLM holds its text back
            self.token_s.append(self.closed_s)
        if not self.token_s:
            raise FailedError(FailureKind.EMPTY)
        if self.usage is None:
            raise FailedError(
                FailureKind.NO_USAGE, "the server does not say how many tokens a prompt has (stream_options.include_usage)"
            )
        if output >= LEAST_MERGED and len(self.token_s) < MERGED * output:
            raise FailedError(FailureKind.LUMPS, f"{output} tokens in {len(self.token_s)} pieces")
        return StreamedAnswer(sent_s, np.array(self.token_s), prompt, output)


def _has_token(choice: dict[str, Any]) -> bool:
    """Return whether a piece carries a token: text, or an empty text that is neither the beginning nor the end."""
    delta = choice.get("delta")
    if delta == {}:
        return False  # beside the usage, as LiteLLM sends it
    text = choice.get("text") if delta is None else delta.get("content") or delta.get("reasoning_content")
    opens = delta is not None and "role" in delta
    return bool(text) or not (opens or choice.get("finish_reason"))


def _json_or_text(text: str) -> Any:  # noqa: ANN401 - what a server says
    """Return JSON where a text is some, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def now_s() -> float:
    """Return the event loop's time."""
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def connect(target: Target, limits: MeasurementLimits) -> AsyncIterator[Client]:
    """Lend a client; raise ``MissingExtraError`` where aiohttp is not installed, ``SpentError`` where the time is over."""
    try:
        import aiohttp
    except ImportError:
        msg = "measuring an endpoint needs aiohttp, which is not installed"
        raise MissingExtraError(msg, resolve="pip install 'tightrope[measure]'") from None
    key = target.key()
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    async with session:
        client = Client(target, limits, session, key)
        beat, budget = asyncio.create_task(_beat(client)), asyncio.timeout(limits.seconds)
        try:
            async with budget:
                yield client
        except TimeoutError:
            if not budget.expired():
                raise
            msg = f"{limits.seconds:g} seconds are over, after {client.sent} requests, and the experiments are not done"
            raise SpentError(
                msg, resolve="allow more with --max-seconds, or ask for less: --max-concurrency, --max-prompt"
            ) from None
        finally:
            beat.cancel()


async def _beat(client: Client) -> None:
    """Note how late this program itself is, all the while."""
    while True:
        due_s = now_s() + BEAT_S
        await asyncio.sleep(BEAT_S)
        client.lags_s.append(now_s() - due_s)


def check_lag(client: Client, time_s: float, of_what: str) -> None:
    """Raise ``InputError`` where this program was too late to tell times of such a length."""
    if client.lag_p95_s > MOST_LAG * time_s:
        msg = f"this program was late by {1e3 * client.lag_p95_s:.1f} ms (95th percentile), and {of_what} takes {1e3 * time_s:.1f} ms"
        raise InputError(msg, resolve="measure from a machine that is less busy, or lower --max-concurrency")


REMEDIES = {
    FailureKind.UNREACHABLE: "start the server, or correct the address",
    FailureKind.REDIRECT: "give the address that it leads to, if you trust it",
    "status 401": "name the environment variable that holds the key: --key-variable",
    "status 403": "name the environment variable that holds the key: --key-variable",
    "status 404": "correct the address, --api or --model",
    "status 429": "lift the server's limit on requests while it is measured, or ask for less: --max-concurrency",
    FailureKind.NO_STREAM: "measure a server that streams; --api embeddings or infer are for those that do not",
    FailureKind.NO_USAGE: "use a server that takes stream_options.include_usage",
    FailureKind.LUMPS: "let the server send each token: no speculative decoding, stream interval 1, no buffering proxy",
}


def as_error(client: Client, error: FailedError) -> InputError:
    """Return a failure as the error that a user sees, with everything that was counted."""
    counted = ", ".join(f"{kind} × {count}" for kind, count in client.errors.most_common())
    msg = f"{client.target.url}{client.target.path} failed: {error} (of {client.sent} requests: {counted})"
    return InputError(msg, resolve=REMEDIES.get(error.kind, "look into the server's own log, mend it, and measure again"))
