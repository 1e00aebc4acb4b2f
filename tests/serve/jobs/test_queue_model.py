"""The queue against a model of it in memory, by random steps of several gateways, one of which may die at any time."""

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from queue_bench import NOW, ids, opened, put_batch, read

from tightrope.serve.jobs import batch_lines
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import BatchItem

MOST = 4
holders, some = st.sampled_from(("a", "b")), st.integers(1, MOST)


class QueueModel(RuleBasedStateMachine):
    """One batch and what became of each of its items."""

    queue: ClassVar[Queue]
    loop: ClassVar[asyncio.AbstractEventLoop]

    def do(self, asked: Awaitable) -> object:
        """Return what is awaited."""
        return self.loop.run_until_complete(asked)

    def name(self, holder: str) -> str:
        """Return a gateway of this run alone: all runs share a file."""
        return f"{holder} {self.batch.id}"

    @initialize(count=some)
    def begin(self, count: int) -> None:
        """Hand in a batch."""
        self.batch, self.now = self.do(put_batch(self.queue, count)), NOW
        self.waiting = dict.fromkeys(range(1, count + 1), 0.0)
        """Line → when it may be tried."""
        self.held: dict[int, str] = {}
        self.seen: dict[str, dict[int, BatchItem]] = {"a": {}, "b": {}}
        """What a gateway once held, which it may still have an answer to."""
        self.done: dict[int, bool] = {}
        self.ended = self.stopped = ""

    @rule(holder=holders, most=some)
    def claim(self, holder: str, most: int) -> None:
        """Take what waits, in the order of the file."""
        wanted = sorted(line for line, after in self.waiting.items() if after <= self.now)[:most]
        items = self.do(self.queue.items.claim(self.batch.id, self.name(holder), most, self.now))
        assert [item.line for item in items] == wanted
        for item in items:
            del self.waiting[item.line]
            self.held[item.line] = holder
            self.seen[holder][item.line] = item

    @rule(holder=holders, well=st.booleans(), picked=st.lists(some, unique=True, min_size=1))
    def answer(self, holder: str, well: bool, picked: list[int]) -> None:
        """Record answers, also to what is another's by now or has ended."""
        items = [self.seen[holder][line] for line in picked if line in self.seen[holder]]
        results = [batch_lines.answered(self.batch.id, item, 200 if well else 400, b"{}", "r") for item in items]
        new = self.do(self.queue.items.record(self.batch.id, results, self.now))
        assert new == sum(item.line not in self.done for item in items)
        self.end([item.line for item in items], well)

    def end(self, ended: list[int], well: bool) -> None:
        """Note what has ended, and whether it was the last."""
        for line in ended:
            self.waiting.pop(line, None)
            self.held.pop(line, None)
            self.done.setdefault(line, well)
        if len(self.done) == self.batch.total and not self.ended:
            self.ended = {"": "completed", "cancelling": "cancelled", "finalizing": "expired"}[self.stopped]

    @rule(holder=holders, line=some, wait=st.integers(0, 20))
    def put_back(self, holder: str, line: int, wait: int) -> None:
        """Let an item wait again, where it is this gateway's to say so."""
        self.do(self.queue.items.put_back(self.batch.id, self.name(holder), [(line, 503, self.now + wait)]))
        if self.held.get(line) == holder:
            del self.held[line]
            self.waiting[line] = self.now + wait

    @rule(holder=holders)
    def die(self, holder: str) -> None:
        """Take back what a gateway held."""
        freed = [line for line, who in self.held.items() if who == holder]
        assert self.do(self.queue.items.release(self.name(holder))) == len(freed)
        for line in freed:
            del self.held[line]
            self.waiting[line] = 0.0

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(why=st.sampled_from(["cancelling", "finalizing"]))
    def stop(self, why: str) -> None:
        """Cancel the batch, or let it be due."""
        self.do(self.queue.batches.stop(self.batch.id, why, self.now))
        if not self.stopped and not self.ended:
            self.stopped = why

    @precondition(lambda self: self.stopped)
    @rule(most=some)
    def close(self, most: int) -> None:
        """End items of a batch that is stopped."""
        items = self.do(self.queue.items.open(self.batch.id, most))
        assert [item.line for item in items] == sorted(self.waiting)[:most]
        results = [batch_lines.unanswered(self.batch.id, item, cancelled=True) for item in items]
        self.do(self.queue.items.record(self.batch.id, results, self.now))
        self.end([item.line for item in items], well=False)
        self.do(self.queue.batches.settle(self.batch.id, self.now))

    @invariant()
    def agrees(self) -> None:
        """Check state, counts and files."""
        found = self.do(self.queue.batches.get("acme", self.batch.id))
        assert found.status == (self.ended or self.stopped or "in_progress")
        assert (found.completed, found.failed) == (sum(self.done.values()), sum(not well for well in self.done.values()))
        assert bool(self.ended) == (found.output_file is not None or found.error_file is not None)
        for file, state in ((found.output_file, True), (found.error_file, False)):
            wanted = [f"i{line - 1}" for line in sorted(self.done) if self.done[line] is state]
            if file is not None:
                assert ids(self.do(read(self.queue, "acme", file))) == wanted
            elif self.ended:
                assert wanted == []


@pytest.fixture
def model(tmp_path: Path) -> Iterator[type[QueueModel]]:
    """Return the model with a queue that does not wait for its disk."""
    with asyncio.Runner() as runner:
        lent = opened(f"sqlite:///{tmp_path}/jobs.db")
        QueueModel.loop, QueueModel.queue = runner.get_loop(), runner.run(lent.__aenter__())
        QueueModel.queue.database._connections["write"].execute("PRAGMA synchronous = OFF")
        yield QueueModel
        runner.run(lent.__aexit__(None, None, None))


def test_any_steps_end_as_in_the_model(model: type[QueueModel]) -> None:
    run_state_machine_as_test(model, settings=settings(max_examples=50, stateful_step_count=25, deadline=None))
