"""What every queue does, on SQLite and on PostgreSQL alike."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from queue_bench import NOW, batch_of, file_of, ids, items_of, line, numbered, opened, put_batch, put_file, read, rows

from tightrope.serve.jobs import batch_lines
from tightrope.serve.jobs.database import Statements
from tightrope.serve.jobs.files import READ_BYTES
from tightrope.serve.jobs.items import BatchLostError
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import Batch, BatchItem, ItemResult, LineError, new_id
from tightrope.serve.jobs.tables import PART_BYTES

Test = Callable[[Queue], Awaitable[None]]


def on(url: str, test: Test) -> None:
    async def run() -> None:
        async with opened(url) as queue:
            await test(queue)

    asyncio.run(run())


def right(item: BatchItem, batch: Batch, answer: bytes = b'{"ok": true}') -> ItemResult:
    return batch_lines.answered(batch.id, item, 200, answer, "req_1")


async def do(queue: Queue, batch: Batch, count: int, holder: str = "a", status: int = 200) -> list[BatchItem]:
    """Claim and answer ``count`` items."""
    items = await queue.items.claim(batch.id, holder, count, NOW)
    await queue.items.record(batch.id, [batch_lines.answered(batch.id, item, status, b"{}", "req_1") for item in items], NOW)
    return items


# -------------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES + 17])
def test_a_file_comes_back_byte_for_byte(url: str, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)

    async def test(queue: Queue) -> None:
        file = await put_file(queue, content[:size])
        assert await read(queue, "acme", file.id) == content[:size]
        assert await queue.files.get("acme", file.id) == file

    on(url, test)


def test_a_span_may_reach_over_parts(url: str) -> None:
    content = b"".join(b"%08d" % index for index in range(PART_BYTES * 3 // 8))
    spans = [(0, 5), (PART_BYTES - 3, 7), (PART_BYTES - 1, 2 * PART_BYTES), (PART_BYTES, 1), (0, 0)]

    async def test(queue: Queue) -> None:
        file = await put_file(queue, content)
        assert await queue.files.spans(file.id, spans) == [content[start : start + size] for start, size in spans]
        await queue.files.delete("acme", file.id)
        assert await queue.files.spans(file.id, spans[:2]) == [b"", b""]

    on(url, test)


def test_an_upload_is_not_there_before_it_is_whole(url: str) -> None:
    async def test(queue: Queue) -> None:
        file = file_of(100)
        assert await queue.files.begin(file) == 0
        await queue.files.append(file.id, 0, b"half")
        assert await queue.files.get("acme", file.id) is None
        assert await queue.files.page("acme", "", 10, "", newest_first=True) == []
        assert await queue.batches.add(batch_of(file), 99) == "no file"
        assert await queue.files.begin(file_of(7)) == 100  # what is reserved counts
        await queue.files.abandon(file.id)
        assert await queue.files.begin(file_of(7)) == 7

    on(url, test)


def test_an_upload_that_was_finished_unheard_is_not_emptied(url: str) -> None:
    async def test(queue: Queue) -> None:
        file = replace(file_of(4), once="k", asked="x")
        await queue.files.begin(replace(file, once=None, asked=None))
        await queue.files.append(file.id, 0, b"kept")
        await queue.files.finish(file)
        await queue.files.abandon(file.id)  # as where the connection was cut behind the commit
        assert await queue.files.made("acme", "k") == file
        assert await read(queue, "acme", file.id) == b"kept"

    on(url, test)


def test_pages_of_files_and_batches(url: str) -> None:
    async def test(queue: Queue) -> None:
        files = [await put_file(queue, b"x") for _ in range(5)]
        await put_file(queue, b"x", "other")
        names = [file.id for file in files]
        page = await queue.files.page("acme", "", 2, "batch", newest_first=True)
        assert [file.id for file in page] == names[:2:-1]
        page = await queue.files.page("acme", names[3], 10, "", newest_first=True)
        assert [file.id for file in page] == names[2::-1]
        page = await queue.files.page("acme", names[1], 2, "", newest_first=False)
        assert [file.id for file in page] == names[2:4]
        assert await queue.files.page("acme", "", 2, "batch_output", newest_first=False) == []
        batches = [batch_of(file) for file in files]
        for batch in batches:
            assert await queue.batches.add(batch, 99) == "added"
        assert [batch.id for batch in await queue.batches.page("acme", batches[4].id, 2)] == [batches[3].id, batches[2].id]
        assert await queue.batches.page("other", "", 10) == []

    on(url, test)


def test_what_is_another_tenants_is_not_there(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 1)
        assert await queue.files.get("other", batch.file) is None
        assert await queue.files.delete("other", batch.file) == "unknown"
        assert await queue.batches.get("other", batch.id) is None
        assert await queue.batches.add(replace(batch_of(file_of(1, "other")), file=batch.file), 99) == "no file"
        assert await queue.files.get("acme", batch.file) is not None

    on(url, test)


def test_a_file_that_is_read_stays(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 2)
        assert await queue.files.delete("acme", batch.file) == "used"
        assert await queue.files.expire(NOW + 1e9) == 0
        await do(queue, batch, 2)
        assert await queue.files.delete("acme", batch.file) == "deleted"
        assert await queue.files.delete("acme", batch.file) == "unknown"

    on(url, test)


# ------------------------------------------------------------------------------------------------------------------ batches


def test_a_batch_is_done_in_the_order_of_its_file(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 300)
        items = await queue.items.claim(batch.id, "a", 1000, NOW)
        assert [item.line for item in items] == list(range(1, 301))
        for some in (items[200:], items[:100], items[100:200]):
            results = [batch_lines.answered(batch.id, item, 500 if item.line % 7 == 0 else 200, b"{}", "r") for item in some]
            assert await queue.items.record(batch.id, results[::-1], NOW + 1) == 100
        done = await queue.batches.get("acme", batch.id)
        assert (done.status, done.total, done.completed, done.failed, done.left) == ("completed", 300, 258, 42, 0)
        assert ids(await read(queue, "acme", done.output_file)) == [f"i{n}" for n in range(300) if (n + 1) % 7]
        assert ids(await read(queue, "acme", done.error_file)) == [f"i{n}" for n in range(300) if not (n + 1) % 7]
        shown = done.shown()
        assert shown["finalizing_at"] == shown["completed_at"] == int(NOW + 1)
        assert shown["failed_at"] is None
        assert await queue.batches.open() == []

    on(url, test)


def test_what_has_ended_is_not_written_again(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 2)
        first, second = await queue.items.claim(batch.id, "a", 2, NOW)
        assert await queue.items.record(batch.id, [right(first, batch, b'{"by":1}')], NOW) == 1
        again = [right(first, batch, b'{"by":2}'), batch_lines.unanswered(batch.id, first, cancelled=False)]
        assert await queue.items.record(batch.id, again, NOW) == 0
        assert await queue.items.record(batch.id, [right(second, batch)], NOW) == 1
        assert await queue.items.record(batch.id, [right(second, batch)], NOW) == 0
        done = await queue.batches.get("acme", batch.id)
        assert (done.completed, done.failed) == (2, 0)
        assert [row["response"]["body"] for row in rows(await read(queue, "acme", done.output_file))] == [{"by": 1}, {"ok": True}]

    on(url, test)


def chat(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> bytes:
    """Return a chat's answer."""
    details = {"prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": reasoning}}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return json.dumps({"choices": [], "usage": usage | details}).encode()


def used(input_tokens: int, cached: int, output_tokens: int, reasoning: int) -> dict[str, object]:
    """Return what a batch says of its tokens."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_tokens + output_tokens,
    }


def test_tokens_of_a_batch_are_those_of_the_answers_that_were_written_down(url: str) -> None:
    async def usage(queue: Queue, batch: Batch) -> object:
        return (await queue.batches.get("acme", batch.id)).shown()["usage"]

    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 4)
        assert await usage(queue, batch) == used(0, 0, 0, 0)
        one, two, three, four = await queue.items.claim(batch.id, "a", 4, NOW)
        results = [right(one, batch, chat(10, 5, 8, 2)), right(two, batch, b'{"usage": {"prompt_tokens": 7, "total_tokens": 7}}')]
        await queue.items.record(batch.id, results, NOW)
        assert await usage(queue, batch) == used(17, 8, 5, 2)
        twice = [right(one, batch, chat(90, 90)), right(three, batch, chat(1, 2)), right(three, batch, chat(90, 90))]
        assert await queue.items.record(batch.id, twice, NOW) == 1
        assert await usage(queue, batch) == used(18, 8, 7, 2)
        await queue.items.record(batch.id, [batch_lines.answered(batch.id, four, 400, b'{"error": {}}', "r")], NOW)
        assert await usage(queue, batch) == used(18, 8, 7, 2), "what was refused took none"

    on(url, test)


def test_tokens_are_not_known_where_an_answer_does_not_say_them(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 2)
        one, two = await queue.items.claim(batch.id, "a", 2, NOW)
        await queue.items.record(batch.id, [right(one, batch, chat(10, 5)), right(two, batch, b'{"usage": null}')], NOW)
        assert (await queue.batches.get("acme", batch.id)).shown()["usage"] is None

    on(url, test)


def test_tokens_are_not_known_where_a_gateway_of_an_earlier_version_did_a_part(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 2)
        one, _ = await queue.items.claim(batch.id, "a", 2, NOW)
        await queue.items.record(batch.id, [right(one, batch, chat(10, 5))], NOW)

        async def earlier(tx: Statements) -> None:
            await tx.rows("UPDATE tightrope_batches SET completed = completed + 1 WHERE id = $1", batch.id)

        await queue.database.write(earlier)
        assert (await queue.batches.get("acme", batch.id)).shown()["usage"] is None

    on(url, test)


def test_a_queue_of_an_earlier_version_is_taken_on(url: str) -> None:
    added = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "counted")

    async def back(tx: Statements) -> None:
        for table, names in (("tightrope_batches", (*added, "once", "asked")), ("tightrope_files", ("once", "asked"))):
            await tx.rows(f"DROP INDEX {table}_once")
            for name in names:
                await tx.rows(f"ALTER TABLE {table} DROP COLUMN {name}")
        await tx.rows("UPDATE tightrope_jobs SET version = 1")

    async def test() -> None:
        async with opened(url) as queue:
            half, fresh = await put_batch(queue, 2), await put_batch(queue, 1)
            await do(queue, half, 1)
            await queue.database.write(back)
        async with opened(url) as queue:
            (item,) = await queue.items.claim(half.id, "a", 2, NOW)
            await queue.items.record(half.id, [right(item, half, chat(1, 1))], NOW)
            (item,) = await queue.items.claim(fresh.id, "a", 2, NOW)
            await queue.items.record(fresh.id, [right(item, fresh, chat(1, 1))], NOW)
            found = await queue.batches.get("acme", half.id)
            assert (found.status, found.completed, found.shown()["usage"]) == ("completed", 2, None)
            assert (await queue.batches.get("acme", fresh.id)).shown()["usage"] == used(1, 0, 1, 0)
            kept = await queue.batches.get("acme", half.id)
            again = replace(kept, id=new_id("batch"), once="k")
            assert await queue.batches.add(again, 99) == "added"
            assert (await queue.batches.add(replace(again, id=new_id("batch")), 99)).id == again.id

    asyncio.run(test())


def test_two_never_hold_the_same_item(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 100)
        taken = await asyncio.gather(*(queue.items.claim(batch.id, f"g{n}", 13, NOW) for n in range(10)))
        lines_taken = [item.line for items in taken for item in items]
        assert len(lines_taken) == len(set(lines_taken))
        rest = await queue.items.claim(batch.id, "last", 100, NOW)
        assert sorted(lines_taken + [item.line for item in rest]) == list(range(1, 101))

    on(url, test)


def test_what_is_put_back_waits_for_its_time(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 2)
        first, second = await queue.items.claim(batch.id, "a", 2, NOW)
        await queue.items.put_back(batch.id, "a", [(first.line, 503, NOW + 10.0), (second.line, None, 0.0)])
        assert await queue.items.claim(batch.id, "a", 2, NOW) == [BatchItem(2, "i1", second.start, second.size, tries=2)]
        assert await queue.items.claim(batch.id, "b", 2, NOW + 9.9) == []
        assert await queue.items.claim(batch.id, "b", 2, NOW + 10.0) == [
            BatchItem(1, "i0", 0, first.size, tries=2, last_status=503)
        ]
        await queue.items.put_back(batch.id, "a", [(first.line, 503, 0.0)])  # it is b's by now
        assert await queue.items.claim(batch.id, "a", 2, NOW + 10.0) == []

    on(url, test)


def test_the_work_of_a_dead_gateway_is_taken_over(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 3)
        await queue.items.beat("a", NOW + 30.0)
        await queue.items.beat("b", NOW + 60.0)
        (item,) = await queue.items.claim(batch.id, "a", 1, NOW)
        await queue.items.claim(batch.id, "nameless", 1, NOW)
        unread = batch_of(await put_file(queue, line("x")))
        await queue.batches.add(unread, 99)
        assert (await queue.batches.take("a")).id == unread.id
        assert await queue.batches.take("b") is None
        assert await queue.items.dead(NOW + 30.0) == ["nameless"]
        assert sorted(await queue.items.dead(NOW + 31.0)) == ["a", "nameless"]
        assert await queue.items.release("a") == 1
        assert await queue.items.dead(NOW + 31.0) == ["nameless"]
        assert [found.line for found in await queue.items.claim(batch.id, "b", 1, NOW)] == [item.line]
        assert (await queue.batches.take("b")).id == unread.id
        with pytest.raises(BatchLostError):
            await queue.items.add(unread.id, "a", items_of(line("x")))
        await queue.batches.begin(unread.id, "a", 1, NOW)  # says nothing any more
        assert (await queue.batches.get("acme", unread.id)).status == "validating"
        # what the dead one has to say after all is taken, once
        assert await queue.items.record(batch.id, [right(item, batch)], NOW) == 1
        assert await queue.items.record(batch.id, [right(item, batch)], NOW) == 0

    on(url, test)


def test_doubled_ids_are_found(url: str) -> None:
    async def test(queue: Queue) -> None:
        content = line("a") + line("b") + line("a") + line("c")
        batch = batch_of(await put_file(queue, content))
        await queue.batches.add(batch, 99)
        await queue.batches.take("g")
        items = items_of(content)
        assert [item.line for item in await queue.items.add(batch.id, "g", items[:3])] == [3]
        assert await queue.items.add(batch.id, "g", items[3:]) == []
        assert [item.line for item in await queue.items.add(batch.id, "g", [BatchItem(5, "b", 0, 1)])] == [5]

    on(url, test)


def test_a_failed_batch_says_why_and_leaves_nothing(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = batch_of(await put_file(queue, line("a")))
        await queue.batches.add(batch, 99)
        await queue.batches.take("g")
        await queue.items.add(batch.id, "g", items_of(line("a")))
        await queue.batches.fail(batch.id, "other", [], NOW)
        assert (await queue.batches.get("acme", batch.id)).status == "validating"
        await queue.batches.fail(batch.id, "g", [LineError("invalid_json_line", "not JSON", 7, "body")], NOW)
        shown = (await queue.batches.get("acme", batch.id)).shown()
        assert (shown["status"], shown["failed_at"]) == ("failed", int(NOW))
        said = {"object": "error", "code": "invalid_json_line", "message": "not JSON", "line": 7, "param": "body"}
        assert shown["errors"] == {"object": "list", "data": [said]}
        assert await queue.items.open(batch.id, 10) == []
        assert await queue.batches.open() == []

    on(url, test)


@pytest.mark.parametrize(
    ("why", "end", "code"), [("cancelling", "cancelled", "batch_cancelled"), ("finalizing", "expired", "batch_expired")]
)
def test_a_stopped_batch_ends_when_nothing_is_in_flight(url: str, why: str, end: str, code: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 5)
        await do(queue, batch, 2)
        (held,) = await queue.items.claim(batch.id, "a", 1, NOW)
        await queue.batches.stop(batch.id, why, NOW + 5)
        await queue.batches.settle(batch.id, NOW + 5)
        left = await queue.items.open(batch.id, 10)
        assert [item.line for item in left] == [4, 5]
        await queue.items.record(
            batch.id, [batch_lines.unanswered(batch.id, item, why == "cancelling") for item in left], NOW + 6
        )
        assert (await queue.batches.get("acme", batch.id)).status == why
        await queue.items.record(batch.id, [right(held, batch)], NOW + 7)
        done = await queue.batches.get("acme", batch.id)
        assert (done.status, done.completed, done.failed) == (end, 3, 2)
        assert done.shown()[f"{end}_at"] == int(NOW + 7)
        assert ids(await read(queue, "acme", done.output_file)) == list(numbered(3))
        missed = rows(await read(queue, "acme", done.error_file))
        assert [(row["custom_id"], row["response"], row["error"]["code"]) for row in missed] == [
            ("i3", None, code),
            ("i4", None, code),
        ]
        await queue.batches.stop(batch.id, why, NOW + 9)
        assert (await queue.batches.get("acme", batch.id)).status == end

    on(url, test)


def test_a_batch_may_be_cancelled_before_it_is_read(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = batch_of(await put_file(queue, line("a") + line("b")))
        await queue.batches.add(batch, 99)
        await queue.batches.take("g")
        await queue.items.add(batch.id, "g", items_of(line("a")))
        await queue.batches.stop(batch.id, "finalizing", NOW)  # due, but first it is read
        assert (await queue.batches.get("acme", batch.id)).status == "validating"
        await queue.batches.stop(batch.id, "cancelling", NOW)
        with pytest.raises(BatchLostError):
            await queue.items.add(batch.id, "g", items_of(line("a") + line("b"))[1:])
        await queue.batches.settle(batch.id, NOW + 1)
        done = await queue.batches.get("acme", batch.id)
        assert (done.status, done.total, done.output_file, done.error_file) == ("cancelled", 0, None, None)
        assert await queue.items.open(batch.id, 10) == []

    on(url, test)


def test_what_is_old_goes(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 3)
        await do(queue, batch, 2)
        await do(queue, batch, 1, status=400)
        done = await queue.batches.get("acme", batch.id)
        assert await queue.files.delete("acme", done.error_file) == "deleted"
        assert ids(await read(queue, "acme", done.output_file)) == ["i0", "i1"]
        assert await queue.batches.expire(NOW - 1) == []
        assert await queue.files.expire(NOW + 86_399.0) == 0
        assert await queue.files.expire(NOW + 86_401.0) == 2
        assert await queue.files.get("acme", done.output_file) is None
        assert await queue.batches.expire(NOW + 1) == [batch.id]
        assert await queue.batches.get("acme", batch.id) is None
        kept = await put_file(queue, b"x")
        assert await queue.files.begin(file_of(1)) == kept.size

    on(url, test)


def test_a_batch_is_known_as_long_as_its_files(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 1)
        await do(queue, batch, 1)
        done = await queue.batches.get("acme", batch.id)
        assert await queue.batches.expire(NOW + 1) == []
        assert await queue.files.delete("acme", done.output_file) == "deleted"
        assert await queue.batches.expire(NOW + 1) == [batch.id]
        assert await queue.files.get("acme", done.file) is not None

    on(url, test)


def test_a_tenant_has_so_many_batches_at_a_time(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 1)
        more = replace(batch_of(file_of(1)), file=batch.file)
        assert await queue.batches.add(more, 1) == "too many"
        await do(queue, batch, 1)
        assert await queue.batches.add(more, 1) == "added"

    on(url, test)


def test_a_key_makes_one_batch(url: str) -> None:
    async def test() -> None:
        async with opened(url) as queue:
            file, others = await put_file(queue, line("i0")), await put_file(queue, line("i0"), "other")
            first, again = (batch_of(file, once="k", asked="x") for _ in range(2))
            assert await queue.batches.add(replace(first, file="file-none"), 1) == "no file"
            assert await queue.batches.add(first, 1) == "added", "what was refused used no key"
            assert await queue.batches.add(again, 1) == first, "before it is said that there are too many"
            assert await queue.batches.add(batch_of(file, once="l"), 1) == "too many"
            assert await queue.batches.add(batch_of(others, once="k"), 1) == "added", "keys are a tenant's"
        async with opened(url) as queue:
            assert await queue.batches.add(again, 1) == first
            assert await queue.batches.get("acme", again.id) is None

    asyncio.run(test())


def test_a_key_that_comes_many_times_at_once_makes_one_batch(url: str) -> None:
    async def test(queue: Queue) -> None:
        files = [await put_file(queue, line("i0")) for _ in range(8)]
        some = [batch_of(file, once="k") for file in files]
        found = await asyncio.gather(*(queue.batches.add(batch, 99) for batch in some))
        assert found.count("added") == 1
        made = some[found.index("added")]
        assert [other.id for other in found if other != "added"] == [made.id] * 7
        assert [batch.id for batch in await queue.batches.open()] == [made.id]

    on(url, test)


def test_a_key_is_free_again_when_its_batch_is_forgotten(url: str) -> None:
    async def test(queue: Queue) -> None:
        file = await put_file(queue, line("i0"))
        batch = batch_of(file, once="k")
        await queue.batches.add(batch, 99)
        await queue.batches.take("g")
        await queue.batches.fail(batch.id, "g", [], NOW)
        assert (await queue.batches.add(batch_of(file, once="k"), 99)).status == "failed"
        assert await queue.batches.expire(NOW + 1) == [batch.id]
        assert await queue.batches.add(batch_of(file, once="k"), 99) == "added"

    on(url, test)


def test_a_key_makes_one_file(url: str) -> None:
    async def test(queue: Queue) -> None:
        first, second, other = (replace(file_of(1, tenant), once="k", asked="x") for tenant in ("acme", "acme", "other"))
        for file in (first, second, other):
            await queue.files.begin(replace(file, once=None, asked=None))
            await queue.files.append(file.id, 0, b"x")
        assert await queue.files.made("acme", "k") is None, "it is not whole yet"
        assert await queue.files.finish(first) is None
        assert await queue.files.finish(second) == first
        assert await queue.files.finish(other) is None
        await queue.files.abandon(second.id)
        assert await queue.files.get("acme", second.id) is None
        assert await queue.files.clear_left() == 0
        assert await queue.files.made("acme", "k") == first
        assert await queue.files.made("acme", None) is None
        await queue.files.delete("acme", first.id)
        assert await queue.files.made("acme", "k") is None
        assert (await queue.files.get("other", other.id)) == other

    on(url, test)


def test_a_key_that_comes_many_times_at_once_makes_one_file(url: str) -> None:
    async def test(queue: Queue) -> None:
        some = [replace(file_of(1), once="k") for _ in range(8)]
        for file in some:
            await queue.files.begin(replace(file, once=None))
        found = await asyncio.gather(*(queue.files.finish(file) for file in some))
        assert found.count(None) == 1
        made = some[found.index(None)]
        assert [other.id for other in found if other is not None] == [made.id] * 7
        assert await queue.files.page("acme", "", 99, "", newest_first=True) == [made]

    on(url, test)


def test_a_transaction_is_whole_or_not_at_all(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 2)

        async def half(tx: Statements) -> None:
            await tx.rows("UPDATE tightrope_batches SET completed = 7 WHERE id = $1", batch.id)
            assert (await tx.rows("SELECT completed FROM tightrope_batches WHERE id = $1", batch.id))[0][0] == 7
            raise LookupError

        with pytest.raises(LookupError):
            await queue.database.write(half)
        assert await queue.batches.get("acme", batch.id) == batch
        assert len(await do(queue, batch, 2)) == 2

    on(url, test)


def test_a_queue_is_there_when_it_is_opened_again(url: str) -> None:
    async def test() -> None:
        async with opened(url) as queue:
            batch = await put_batch(queue, 3)
            await do(queue, batch, 1)
        async with opened(url) as queue:
            found = await queue.batches.get("acme", batch.id)
            assert (found.status, found.left) == ("in_progress", 2)
            assert len(await do(queue, batch, 5)) == 2
            assert (await queue.batches.get("acme", batch.id)).status == "completed"

    asyncio.run(test())


def test_lines_larger_than_a_page_come_one_at_a_time(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 12)
        items = await queue.items.claim(batch.id, "a", 12, NOW)
        answers = [b'"%s"' % (b"x" * (3_000_000 if n % 5 == 4 else 10)) for n in range(12)]
        await queue.items.record(batch.id, [right(item, batch, answer) for item, answer in zip(items, answers, strict=True)], NOW)
        file = await queue.files.get("acme", (await queue.batches.get("acme", batch.id)).output_file)
        pages = [page async for page in queue.files.content(file)]
        assert max(map(len, pages)) < 6_500_000
        assert ids(b"".join(pages)) == list(numbered(12))

    on(url, test)


def test_many_short_lines_before_long_ones_are_no_reason_to_read_many_of_those_at_once(url: str) -> None:
    async def test(queue: Queue) -> None:
        batch = await put_batch(queue, 320)
        items = await queue.items.claim(batch.id, "a", 320, NOW)
        answers = [b'"%s"' % (b"x" * (10 if n < 300 else 100_000)) for n in range(320)]
        await queue.items.record(batch.id, [right(item, batch, answer) for item, answer in zip(items, answers, strict=True)], NOW)
        file = await queue.files.get("acme", (await queue.batches.get("acme", batch.id)).output_file)
        pages = [page async for page in queue.files.content(file)]
        assert max(map(len, pages)) <= READ_BYTES
        assert ids(b"".join(pages)) == list(numbered(320))

    on(url, test)


def test_what_a_kill_has_left_of_a_removal_goes(url: str) -> None:
    async def test(queue: Queue) -> None:
        kept, gone = await put_batch(queue, 2), await put_batch(queue, 2)

        async def half(tx: Statements) -> None:
            await tx.rows("DELETE FROM tightrope_files WHERE id = $1", gone.file)
            await tx.rows("DELETE FROM tightrope_batches WHERE id = $1", gone.id)

        await queue.database.write(half)
        assert (await queue.files.clear_left(), await queue.batches.clear_left()) == (1, 1)
        assert (await queue.files.clear_left(), await queue.batches.clear_left()) == (0, 0)
        assert len(await do(queue, kept, 2)) == 2
        assert len(await read(queue, "acme", kept.file)) > 0

    on(url, test)


def test_who_hands_in_many_files_does_not_keep_another_waiting_for_all_of_them(url: str) -> None:
    async def test(queue: Queue) -> None:
        for tenant, due_s in (("many", NOW + 60.0), ("many", NOW + 60.0), ("one", NOW + 3600.0)):
            file = await put_file(queue, line("i0"), tenant)
            assert await queue.batches.add(batch_of(file, due_s), 99) == "added"
        assert (await queue.batches.take("reader")).tenant == "one"

    on(url, test)
