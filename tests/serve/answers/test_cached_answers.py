"""The store against a plain dict with a clock; its bytes against what Python says; parts that are the whole together."""

import gc
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.serve.answers.cached_answers import ARRAY_BYTES, OVERHEAD_BYTES, CachedAnswer, Store, parts_of, split
from tightrope.serve.config.settings import CacheSettings
from tightrope.serve.records import RawAnswer, Reply, add


def kept(size: int, name: str = "v") -> CachedAnswer:
    return CachedAnswer.of(Reply("pool", name, outputs=(np.zeros(size, dtype=np.uint8),)))


class Model:
    """What the store should do, in plain words: a list of keys by use, the newest last."""

    def __init__(self, most: int, most_bytes: int, ttl_s: float) -> None:
        self.most, self.most_bytes, self.ttl_s = most, most_bytes, ttl_s
        self.held: dict[int, tuple[str, float, int]] = {}

    def get(self, key: int, now_s: float) -> str | None:
        """Return what is held and fresh."""
        if key in self.held and now_s - self.held[key][1] >= self.ttl_s:
            del self.held[key]
        if key not in self.held:
            return None
        self.held[key] = self.held.pop(key)
        return self.held[key][0]

    def put(self, key: int, name: str, size: int, now_s: float) -> None:
        """Hold, and let go of the oldest."""
        self.held.pop(key, None)
        taken = size + OVERHEAD_BYTES + ARRAY_BYTES
        if taken > self.most_bytes:
            return
        self.held[key] = name, now_s, taken
        while len(self.held) > self.most or sum(item[2] for item in self.held.values()) > self.most_bytes:
            del self.held[next(iter(self.held))]


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 7), st.integers(0, 3000), st.sampled_from([0.0, 0.5, 1.0, 4.0])), max_size=60
)


@given(STEPS, st.integers(1, 5), st.integers(0, 9000), st.sampled_from([0.0, 1.0, 3.0, 1e9]))
def test_it_holds_what_a_dict_with_a_clock_would(
    steps: Sequence[tuple[bool, int, int, float]], most: int, most_bytes: int, ttl_s: float
) -> None:
    store, model, now_s = Store(CacheSettings(most, most_bytes, ttl_s)), Model(most, most_bytes, ttl_s), 0.0
    for number, (puts, key, size, passes_s) in enumerate(steps):
        now_s += passes_s
        if puts:
            store.put(bytes([key]), kept(size, str(number)), now_s)
            model.put(key, str(number), size, now_s)
        else:
            found = store.get(bytes([key]), now_s)
            assert (found.variant if found else None) == model.get(key, now_s)
        assert [key[0] for key in store._kept] == list(model.held)
        assert store.size_bytes == sum(item[2] for item in model.held.values())
        assert store.size_bytes <= most_bytes


@pytest.mark.parametrize("size", [0, 100, 1536, 10_000])
def test_memory_is_what_it_counts(size: int) -> None:
    """Never more than is counted, and not much less where an answer is not tiny."""
    store = Store(CacheSettings(entries=10**6, size_bytes=2**40))
    gc.collect()
    tracemalloc.start()
    try:
        for n in range(3000):
            array = np.zeros((2, size), dtype=np.uint8)[0]  # a view: the rest is not kept alive
            store.put(
                n.to_bytes(16), CachedAnswer.of(Reply("pool", "v", outputs=(array,), input_tokens=n, compute_nusd=n)), float(n)
            )
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.6 * store.size_bytes < used <= store.size_bytes


def test_what_is_kept_is_not_changed_from_outside() -> None:
    store, batch = Store(CacheSettings()), np.ones((2, 3), np.float32)
    store.put(b"x", CachedAnswer.of(Reply("pool", "v", outputs=(batch[0],))), 0.0)
    batch[:] = 7.0
    found = store.get(b"x", 0.0)
    assert found is not None
    assert found.rows[0].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        found.rows[0][0] = 5.0


def test_strings_and_bodies_count() -> None:
    store = Store(CacheSettings())
    store.put(b"x", CachedAnswer.of(Reply("p", "v", outputs={"y": np.array([b"x" * 5000], dtype=object)})), 0.0)
    assert store.size_bytes > 5000
    store.put(b"y", CachedAnswer.of(Reply("p", "v", raw=RawAnswer(200, "application/json", b"x" * 9000))), 0.0)
    assert store.size_bytes > 14_000
    assert len(store) == 2


@given(st.integers(0, 10**12), st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_parts_are_the_whole_and_each_near_its_share(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    shares = weights if sum(weights) else [1] * len(weights)
    assert all(abs(part - total * weight / sum(shares)) <= 1.0 + 1e-9 * total for part, weight in zip(parts, shares, strict=True))


@pytest.mark.parametrize("known", [(3, 5, 2), (), (3, 5), (1, 1, 1)])
def test_the_parts_of_an_answer_sum_to_it(known: tuple[int, ...]) -> None:
    """Tokens of each text are exact where they are known, and said to be estimated where not."""
    reply = Reply("p", "v", outputs=tuple(np.ones((3, 2))), input_tokens=10, item_tokens=known, compute_nusd=1001, egress_nusd=7)
    parts = list(parts_of(reply, [30, 50, 20]))
    assert [part.input_tokens for part in parts] == [3, 5, 2]
    assert {part.tokens_estimated for part in parts} == {known != (3, 5, 2)}
    assert add(*(part.spared_nusd for part in parts)) == 1001
    assert sum(part.egress_nusd for part in parts) == 7


def test_a_cost_that_is_not_known_stays_so() -> None:
    reply = Reply("p", "v", outputs=tuple(np.ones((2, 2))), input_tokens=10, compute_nusd=None)
    assert [part.spared_nusd for part in parts_of(reply, [1, 1])] == [None, None]
    assert CachedAnswer.of(reply).reply("hit", 0.0).saved_nusd is None
