"""Keeps answers within limits of number, bytes and time; the least recently used goes first, as in the replay."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

from msgspec import Struct
from numpy.typing import NDArray

from tightrope.policy.caching import is_fresh
from tightrope.serve.config.settings import CacheSettings
from tightrope.serve.records import RawAnswer, Reply, Tensors, add

OVERHEAD_BYTES = 700
"""What an answer takes beside its content: its record, its key, its place in the order of use, the head of an array (CPython 3.11)."""
ARRAY_BYTES = 150
"""Head of each further array."""


class CachedAnswer(Struct, gc=False, eq=False):
    """What was answered, and what it took: nothing that the garbage collector goes through, however many there are."""

    pool: str
    variant: str
    outputs: tuple[NDArray[Any], ...] | Tensors
    labels: tuple[str, ...]
    raw: RawAnswer | None
    streamed: bool
    """The answer came as a stream, and goes as one."""
    input_tokens: int
    output_tokens: int
    tokens_estimated: bool
    spared_nusd: int | None
    """What is not spent again."""
    egress_nusd: int
    """What is: the answer goes out all the same."""
    made_s: float = 0.0
    size_bytes: int = 0
    """What it takes in memory, once it is kept."""

    @classmethod
    def of(cls, reply: Reply) -> "CachedAnswer":
        """Return an answer that came whole, to be given again."""
        nusd = reply.nusd if not reply.cached else add(reply.saved_nusd, reply.egress_nusd)
        return cls(
            reply.pool,
            reply.variant,
            reply.outputs,
            reply.labels,
            reply.raw,
            False,
            reply.prompt_tokens,
            reply.output_tokens,
            reply.tokens_estimated,
            None if nusd is None else nusd - reply.egress_nusd,
            reply.egress_nusd,
        )

    @property
    def rows(self) -> tuple[NDArray[Any], ...]:
        """The answer of each text; nothing where it is no answer to texts."""
        return self.outputs if isinstance(self.outputs, tuple) else ()

    def own(self) -> None:
        """Keep its content alive and nothing else, let nobody change it, and note what it takes."""
        size = OVERHEAD_BYTES + (len(self.raw.body) if self.raw is not None else 0)
        outputs = self.outputs
        owned = [_own(array) for array in (outputs if isinstance(outputs, tuple) else outputs.values())]
        self.outputs = tuple(owned) if isinstance(outputs, tuple) else dict(zip(outputs, owned, strict=True))
        for array in owned:
            size += ARRAY_BYTES + array.nbytes
            if array.dtype.hasobject:
                size += sum(map(len, array.flat))
        self.size_bytes = size

    def reply(self, how: Literal["hit", "shared", "similar"], now_s: float) -> Reply:
        """Return the answer again, which costs nothing but what goes out."""
        raw, first_s = self.raw, None
        if self.streamed and raw is not None:
            raw, first_s = RawAnswer(raw.status, raw.content_type, stream=_once(raw.body)), now_s
        return Reply(
            self.pool,
            self.variant,
            "",
            self.outputs,
            self.labels,
            raw,
            self.input_tokens,
            self.output_tokens,
            tokens_estimated=self.tokens_estimated,
            first_token_s=first_s,
            egress_nusd=self.egress_nusd,
            cached=how,
            saved_nusd=self.spared_nusd,
        )


async def _once(body: bytes) -> AsyncIterator[bytes]:
    """Give a whole body as a stream."""
    yield body


def parts_of(reply: Reply, sizes: list[int]) -> Iterator[CachedAnswer]:
    """Return a text's answer for each of an answer to several, ``sizes`` of bytes each.

    Where it is not known how many tokens each text has, they are split by length, and said to be estimated; costs are split by tokens.
    """
    whole = CachedAnswer.of(reply)
    known = len(reply.item_tokens) == len(sizes) and sum(reply.item_tokens) == whole.input_tokens
    tokens = list(reply.item_tokens) if known else split(whole.input_tokens, sizes)
    spared = [None] * len(sizes) if whole.spared_nusd is None else split(whole.spared_nusd, tokens)
    egress = split(whole.egress_nusd, [1] * len(sizes))
    estimated = reply.tokens_estimated or not (known or len(sizes) == 1)
    for place, row in enumerate(whole.rows):
        rows = (row,)
        shares = tokens[place], 0, estimated, spared[place], egress[place]
        yield CachedAnswer(reply.pool, reply.variant, rows, reply.labels, None, False, *shares)


def split(total: int, weights: list[int]) -> list[int]:
    """Return whole parts of a whole, by weights, that are the whole together; evenly where no weight is above 0.

    >>> split(10, [1, 1, 1]), split(3, [0, 0])
    ([3, 3, 4], [1, 2])
    """
    if not sum(weights):
        weights = [1] * len(weights)
    every, before = sum(weights), 0
    parts: list[int] = []
    for weight in weights:
        parts.append(total * (before + weight) // every - total * before // every)
        before += weight
    return parts


def _own(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that keeps no other alive, and that nobody changes."""
    own = array if array.base is None else array.copy()
    own.setflags(write=False)
    return own


class Store:
    """Answers by digest."""

    def __init__(self, settings: CacheSettings) -> None:
        """Begin empty."""
        self._most, self._most_bytes, self._ttl_s = settings.entries, settings.size_bytes, settings.ttl_s
        self._kept: OrderedDict[bytes, CachedAnswer] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        """Return how many answers are kept."""
        return len(self._kept)

    def get(self, key: bytes, now_s: float) -> CachedAnswer | None:
        """Return a fresh answer, which is now the most recently used; one that is not is dropped."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not is_fresh(kept.made_s, self._ttl_s, now_s):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: bytes, kept: CachedAnswer, now_s: float) -> None:
        """Keep an answer made now, others going where there is no room; one that is too large for all of it is not kept."""
        kept.own()
        kept.made_s, size = now_s, kept.size_bytes
        if key in self._kept:
            self._drop(key)
        if size > self._most_bytes or self._most < 1:
            return
        while len(self._kept) >= self._most or self.size_bytes + size > self._most_bytes:
            self._drop(next(iter(self._kept)))
        self._kept[key] = kept
        self.size_bytes += size

    def _drop(self, key: bytes) -> None:
        """Let go of an answer."""
        self.size_bytes -= self._kept.pop(key).size_bytes
