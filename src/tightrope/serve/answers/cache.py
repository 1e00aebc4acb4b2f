"""The cache of answers: kept ones are given again, calls that ask the same at once are answered together, the rest is made.

Nothing is kept that failed, depends on what was in its batch (``Reply.varies``), or was drawn at random (a chat with neither temperature 0
nor a seed), nor of a call whose client wants none: ``parameters["cache"]`` is False; True wants it whatever the temperature.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from tightrope.policy.caching import is_checked
from tightrope.serve.answers.cache_key import CacheKeys, ConversationQuestion
from tightrope.serve.answers.cached_answers import CachedAnswer, Store, parts_of
from tightrope.serve.answers.semantic_index import SemanticIndex
from tightrope.serve.answers.streams import Recorder
from tightrope.serve.config.settings import CacheSettings
from tightrope.serve.records import Call, RawAnswer, Reply, add
from tightrope.serve.refusals import RequestRefusal

log = logging.getLogger(__name__)

Make: TypeAlias = Callable[[Call], Awaitable[Reply]]
Flight: TypeAlias = tuple[bytes, str, bool]
"""What is asked, the traffic class, and whether it is interactive: nobody waits for a call that may be treated worse than its own."""
FOLLOWED = 2
"""How often a call waits for another that asks the same, which may fail, before it is made by itself."""


class CacheCounts(Protocol):
    """What is told of it: ``watch.metrics.Metrics``."""

    def cache(self, cls: str, hit: bool) -> None:
        """Count a call that the cache was asked for."""
        ...


class GatewayCache:
    """Kept answers; one for a process, on its event loop."""

    def __init__(
        self,
        settings: CacheSettings,
        metrics: CacheCounts,
        clock: Callable[[], float] = time.monotonic,
        *,
        embed: Make | None = None,
    ) -> None:
        """Begin empty; ``embed`` answers a call's one text with its vector, float[dimensions], which the semantic cache needs."""
        if settings.semantic is not None and embed is None:
            msg = "the semantic cache needs what embeds a text"
            raise ValueError(msg)
        self.store, self._metrics, self._clock, self._asker = Store(settings), metrics, clock, CacheKeys()
        self._flights: dict[Flight, list[asyncio.Future[Reply | None]]] = {}
        self._recorder = Recorder()
        self._semantic, self._embed = settings.semantic, embed
        self._similar = SemanticIndex(settings.semantic.threshold if settings.semantic else 1.0)
        self.similar_hits = 0
        """Calls for which the answer of a question nearly the same was found."""
        self.checked = self.wrong = 0
        """Of those, how many were answered anew all the same, and how many of these answers were different."""

    @property
    def false_hit_rate(self) -> float | None:
        """Share of the answers to questions nearly the same that were wrong; None where none was checked yet."""
        return self.wrong / self.checked if self.checked else None

    async def answer(self, call: Call, make: Make) -> Reply:
        """Return a kept answer, or one that ``make`` makes, of this call or of those of its texts that are not kept."""
        keys = self._asker.keys(call) if _may_keep(call) else []
        if not keys:
            return await make(call)
        if len(keys) > 1:
            return await self._of_texts(call, keys, make)
        now_s = self._clock()
        kept = self.store.get(keys[0], now_s)
        if kept is not None:
            self._metrics.cache(call.traffic_class, hit=True)
            return kept.reply("hit", now_s)
        if call.stream:
            return await self._streamed(call, keys[0], make)
        way = self._of_one if self._semantic is None else self._nearly
        return await way(call, keys[0], make)

    async def _of_one(self, call: Call, key: bytes, make: Make) -> Reply:
        """Return an answer, made now or with another call that asks the same; keep it."""
        name = _flight(call, key)
        if name in self._flights:
            reply, shared = await self._made(call, name, make)
            if shared:
                return CachedAnswer.of(reply).reply("shared", self._clock())
        else:
            reply = await self._lead(name, call, make)
        if _is_good(reply):
            self.store.put(key, CachedAnswer.of(reply), self._clock())
        return reply

    # -------------------------------------------------------------------------------------------------------- together

    async def _made(self, call: Call, name: Flight, make: Make) -> tuple[Reply, bool]:
        """Return an answer, and whether it was made for another call that asks the same.

        Where that call fails or its client hangs up, one of those that wait for it makes the answer, for the others too.
        """
        for _ in range(FOLLOWED):
            waiting = self._flights.get(name)
            if waiting is None:
                return await self._lead(name, call, make), False
            waiter: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
            waiting.append(waiter)
            reply = await waiter
            kept = self.store.get(name[0], self._clock()) if reply is None else None  # made by yet another meanwhile
            if kept is not None:
                reply = kept.reply("hit", self._clock())
            if reply is not None:
                self._metrics.cache(call.traffic_class, hit=True)
                return reply, True
        self._metrics.cache(call.traffic_class, hit=False)
        return await make(call), False

    async def _lead(self, name: Flight, call: Call, make: Make) -> Reply:
        """Make an answer, for all that ask the same meanwhile."""
        self._metrics.cache(call.traffic_class, hit=False)
        waiting: list[asyncio.Future[Reply | None]] = []
        self._flights[name] = waiting
        reply: Reply | None = None
        try:
            reply = await make(call)
            return reply
        finally:
            del self._flights[name]
            failed = reply is not None and reply.raw is not None and reply.raw.status != 200
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None if failed else reply)

    # ----------------------------------------------------------------------------------------------------- several texts

    async def _of_texts(self, call: Call, keys: list[bytes], make: Make) -> Reply:
        """Return the answer to several texts, of which only those not kept are asked for, each once."""
        now_s = self._clock()
        kept = {key: found for key in keys if (found := self.store.get(key, now_s)) is not None}
        missing = {key: str(text) for key, text in zip(keys, call.inputs, strict=True) if key not in kept}
        if not missing:
            self._metrics.cache(call.traffic_class, hit=True)
            return _joined([kept[key] for key in keys], "hit", now_s)
        asked = call if len(missing) == len(keys) else replace(call, inputs=tuple(missing.values()))
        reply, shared = await self._made(asked, _flight(call, self._asker.joint(list(missing))), make)
        if reply.raw is not None or len(reply.outputs) != len(missing):  # an answer that cannot be told apart
            if asked is call and not shared:
                return reply
            if not shared:
                call.lost.append(reply)
            return await make(call)
        made = dict(zip(missing, parts_of(reply, [len(text) for text in missing.values()]), strict=True))
        if shared:
            return _joined([kept.get(key) or made[key] for key in keys], "shared", self._clock())
        if _is_good(reply):
            for key, part in made.items():
                self.store.put(key, part, self._clock())
        return reply if asked is call else _completed(reply, keys, made, kept)

    # ---------------------------------------------------------------------------------------------------------- streams

    async def _streamed(self, call: Call, key: bytes, make: Make) -> Reply:
        """Return a stream that is kept once it has come whole; nobody waits for another's, which may be slow to read."""
        self._metrics.cache(call.traffic_class, hit=False)
        reply = await make(call)
        raw = reply.raw
        if raw is not None and raw.stream is not None and raw.status == 200 and not reply.varies:
            if self._recorder.has_room:
                raw.stream = self._recorder.record(raw, raw.stream, lambda body: self._keep_stream(key, reply, body))
        elif _is_good(reply):
            self.store.put(key, CachedAnswer.of(reply), self._clock())
        return reply

    def _keep_stream(self, key: bytes, reply: Reply, body: bytes) -> None:
        """Keep a stream that has ended."""
        kept = CachedAnswer.of(reply)
        if reply.raw is not None:
            kept.raw, kept.streamed = RawAnswer(200, reply.raw.content_type, body), True
            self.store.put(key, kept, self._clock())

    # ----------------------------------------------------------------------------------------------------------- nearly

    async def _nearly(self, call: Call, key: bytes, make: Make) -> Reply:
        """Return the answer to a question nearly the same, where there is one; make it anew for some, and count where it differs."""
        question = self._asker.question(call)
        vector = None if question is None else await self._vector(call, question)
        if question is None or vector is None or self._semantic is None:
            return await self._of_one(call, key, make)
        kept = self._similar.find(question.scope, vector, lambda near: self.store.get(near, self._clock()))
        check = False
        if kept is not None:
            check = is_checked(self.similar_hits, self._semantic.checked_share)
            self.similar_hits += 1
            if not check:
                self._metrics.cache(call.traffic_class, hit=True)
                return kept.reply("similar", self._clock())
        reply = await self._of_one(call, key, make)
        if kept is not None and check:
            self._note_check(right=_agree(kept, reply))
        if self.store.get(key, self._clock()) is not None:
            self._similar.add(question.scope, vector, key)
        return reply

    def _note_check(self, *, right: bool) -> None:
        """Count an answer that was checked; say now and then how many were wrong."""
        self.checked += 1
        self.wrong += not right
        if self.checked & (self.checked - 1) == 0:  # the 1st, 2nd, 4th, 8th …
            log.info("of %d answers to nearly the same question that were made anew, %d were different", self.checked, self.wrong)

    async def _vector(self, call: Call, question: ConversationQuestion) -> NDArray[Any] | None:
        """Return a question's embedding, and note on the call what it cost; None where it cannot be had now: then nothing is near."""
        if self._embed is None:
            return None
        try:
            reply = await self._embed(replace(call, task="embed", inputs=(question.text,), body=b"", parameters={}, stream=False))
        except RequestRefusal:
            return None
        if reply.nusd != 0:
            call.lost.append(reply)
        return reply.outputs[0] if isinstance(reply.outputs, tuple) and reply.outputs else None


def _may_keep(call: Call) -> bool:
    """Return whether the answer to a call would be the same again, or its client takes a kept one all the same."""
    stated = call.parameters
    wanted = stated.get("cache") if stated else None
    if wanted is not None:
        return bool(wanted)
    return call.task != "chat" or stated.get("temperature") == 0 or stated.get("seed") is not None


def _flight(call: Call, key: bytes) -> Flight:
    """Return under which name a call is answered together with others."""
    return key, call.traffic_class, call.deadline_s is None


def _is_good(reply: Reply) -> bool:
    """Return whether an answer may be given again: it came whole, did not fail, and is its own."""
    return not reply.varies and not reply.cached and (reply.raw is None or (reply.raw.status == 200 and reply.raw.stream is None))


def _joined(parts: list[CachedAnswer], how: Literal["hit", "shared"], now_s: float) -> Reply:
    """Return the answers to several texts, none of them made for this call, as one."""
    reply = parts[0].reply(how, now_s)
    reply.outputs = tuple(row for part in parts for row in part.rows)
    reply.input_tokens = sum(part.input_tokens for part in parts)
    reply.tokens_estimated = any(part.tokens_estimated for part in parts)
    reply.egress_nusd = sum(part.egress_nusd for part in parts)
    reply.saved_nusd = add(*(part.spared_nusd for part in parts))
    return reply


def _completed(reply: Reply, keys: list[bytes], made: dict[bytes, CachedAnswer], kept: dict[bytes, CachedAnswer]) -> Reply:
    """Return what was made for some texts of a call with the rest from the cache; a text that comes again was made once."""
    parts = [kept.get(key) or made[key] for key in keys]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    again = [part for place, (key, part) in enumerate(zip(keys, parts, strict=True)) if key in kept or first[key] != place]
    return replace(
        reply,
        outputs=tuple(row for part in parts for row in part.rows),
        asked_tokens=sum(part.input_tokens for part in parts),
        tokens_estimated=any(part.tokens_estimated for part in parts),
        egress_nusd=reply.egress_nusd + sum(part.egress_nusd for part in again),
        saved_nusd=add(*(part.spared_nusd for part in again)),
    )


def _agree(kept: CachedAnswer, reply: Reply) -> bool:
    """Return whether two answers say the same: the same class, or the same words."""
    if kept.rows and isinstance(reply.outputs, tuple) and reply.outputs:
        return int(kept.rows[0].argmax()) == int(reply.outputs[0].argmax())
    return kept.raw is not None and reply.raw is not None and _words(kept.raw.body) == _words(reply.raw.body)


def _words(body: bytes) -> object:
    """Return what a completion says."""
    try:
        return [choice["message"]["content"] for choice in json.loads(body)["choices"]]
    except (ValueError, KeyError, TypeError):
        return body
