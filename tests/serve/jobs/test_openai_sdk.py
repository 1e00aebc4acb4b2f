"""Files and batches as the unmodified ``openai`` SDK asks for them, and as its clients should not."""

import asyncio
import io
import json
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import openai
import pytest
from door import Engine, Served, serving, vector
from openai.types import Batch
from queue_bench import EMBED, WAIT_S, line, numbered

from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs import routes
from tightrope.serve.jobs.files import Files

SLOW = asyncio.Event()
"""When it is set, what is slow is answered."""
LIMITS = Limits(file_bytes=300_000, kept_bytes=1_000_000, body_bytes=20_000, file_lines=500)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    async def answer(text: str) -> tuple[int, object]:
        if text == "slow":
            await SLOW.wait()
        return (400, {"error": {"message": "no", "code": "bad"}}) if text == "bad" else await vector(text)

    with serving(f"sqlite:///{tmp_path_factory.mktemp('jobs')}/jobs.db", Engine(answer), LIMITS) as found:
        yield found


def client_of(served: Served, key: str = "sk-acme") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0, timeout=WAIT_S)


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with client_of(served) as found:
        yield found


@pytest.fixture
def other(served: Served) -> Iterator[openai.OpenAI]:
    with client_of(served, "sk-other") as found:
        yield found


def upload(client: openai.OpenAI, content: bytes, name: str = "in.jsonl") -> str:
    return client.files.create(file=(name, io.BytesIO(content)), purpose="batch").id


def hand_in(client: openai.OpenAI, content: bytes, window: str = "24h", **more: object) -> Batch:
    return client.batches.create(input_file_id=upload(client, content), endpoint=EMBED, completion_window=window, **more)


def until(condition: Callable[[], object]) -> None:
    """Wait for what the server does."""
    ends_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.02)


def wait(client: openai.OpenAI, batch: Batch, *ends: str) -> Batch:
    """Return a batch once it has come to one of ``ends``."""
    until(lambda: client.batches.retrieve(batch.id).status in ends)
    return client.batches.retrieve(batch.id)


@contextmanager
def ahead(served: Served, seconds: float) -> Iterator[None]:
    """Put the queue's clock forward for a while."""
    queue = served.jobs._queue
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "now_s", lambda: queue.database.now_s() + seconds)
        yield


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict]:
    return [json.loads(text) for text in client.files.content(file_id).iter_lines()]


# -------------------------------------------------------------------------------------------------------------------- right


def test_a_batch_from_upload_to_result(client: openai.OpenAI, served: Served, tmp_path: Path) -> None:
    path = tmp_path / "night run.jsonl"
    path.write_bytes(b"".join(line(name, "bad" if name == "i7" else name) for name in numbered(200)))
    file = client.files.create(file=path, purpose="batch", expires_after={"anchor": "created_at", "seconds": 7200})
    assert (file.filename, file.bytes, file.purpose, file.status) == (
        "night run.jsonl",
        path.stat().st_size,
        "batch",
        "processed",
    )
    assert file.expires_at == file.created_at + 7200
    assert client.files.content(file.id).read() == path.read_bytes()
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=EMBED,
        completion_window="24h",
        metadata={"class": "bulk", "by": "me"},
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (batch.status, batch.object, batch.endpoint, batch.completion_window) == ("validating", "batch", EMBED, "24h")
    assert batch.expires_at == batch.created_at + 86_400
    done = wait(client, batch, "completed")
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (200, 199, 1)
    assert done.metadata == {"class": "bulk", "by": "me"}
    assert None not in (done.in_progress_at, done.finalizing_at, done.completed_at)
    assert (done.failed_at, done.expired_at, done.cancelled_at, done.errors) == (None, None, None, None)
    output = lines_of(client, done.output_file_id)
    assert [row["custom_id"] for row in output] == [name for name in numbered(200) if name != "i7"]
    assert len({row["id"] for row in output}) == len({row["response"]["request_id"] for row in output}) == 199
    assert output[11] == {
        "id": f"batch_req_{batch.id.removeprefix('batch_')}_13",
        "custom_id": "i12",
        "response": {
            "status_code": 200,
            "request_id": output[11]["response"]["request_id"],
            "body": asyncio.run(vector("i12"))[1],
        },
        "error": None,
    }
    tokens = sum(len(name) for name in numbered(200) if name != "i7")
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (tokens, 0, tokens)
    assert (done.usage.input_tokens_details.cached_tokens, done.usage.output_tokens_details.reasoning_tokens) == (0, 0)
    (failed,) = lines_of(client, done.error_file_id)
    assert (failed["custom_id"], failed["response"]["status_code"], failed["error"]) == ("i7", 400, None)
    assert failed["response"]["body"]["error"]["message"] == "no"
    written = client.files.retrieve(done.output_file_id)
    assert (written.purpose, written.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert written.expires_at == written.created_at + 3600
    assert written.bytes == len(client.files.content(written.id).read())
    mine = [asked for asked in served.engine.asked if asked[1] == "bulk"]
    assert {asked[0] for asked in mine} == {"acme"}
    assert all(86_000.0 < asked[3] - time.monotonic() < 86_400.0 for asked in mine)


def test_lists_come_in_pages(client: openai.OpenAI, other: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [upload(other, line("a"), f"{n}.jsonl") for n in range(5)]
    assert [file.id for file in other.files.list(limit=2)] == names[::-1]
    monkeypatch.setattr(routes, "PAGE_FILES", 2)
    assert len(other.files.list().data) == 2
    assert [file.id for file in other.files.list()] == names[::-1]
    assert [file.id for file in other.files.list(limit=2, order="asc", purpose="batch")] == names
    page = other.files.list(limit=2, after=names[3])
    assert ([file.id for file in page.data], page.has_more) == ([names[2], names[1]], True)
    made = [other.batches.create(input_file_id=name, endpoint=EMBED, completion_window="8h").id for name in names[:3]]
    assert [batch.id for batch in other.batches.list(limit=1)] == made[::-1]
    assert not {batch.id for batch in client.batches.list(limit=100)} & set(made)


def test_a_file_is_not_read_to_say_how_long_it_is(client: openai.OpenAI, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{served.url}/v1/files/{upload(client, line('a'))}/content"
    monkeypatch.setattr(Files, "content", lambda *_: pytest.fail("it is read"))
    found = client._client.head(url, headers={"Authorization": "Bearer sk-acme"})
    assert (found.status_code, found.headers["content-length"]) == (200, str(len(line("a"))))


def test_a_file_is_deleted(client: openai.OpenAI) -> None:
    file = upload(client, line("a"))
    assert client.files.delete(file).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file)


def test_a_batch_is_cancelled(client: openai.OpenAI, served: Served) -> None:
    batch = hand_in(client, b"".join(line(name, "slow") for name in numbered(500)), "90m")
    wait(client, batch, "in_progress")
    until(lambda: any(asked[2] == "slow" for asked in served.engine.asked))
    with pytest.raises(openai.ConflictError, match="cancel it first"):
        client.files.delete(batch.input_file_id)
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.retrieve(batch.id).cancelling_at is not None
    served.loop.call_soon_threadsafe(SLOW.set)
    wait(client, batch, "cancelled")


# --------------------------------------------------------------------------------------------------------------------- once


def test_a_batch_that_is_asked_for_again_is_there_once(client: openai.OpenAI, other: openai.OpenAI) -> None:
    file, key = upload(client, line("a")), {"Idempotency-Key": "night-1"}
    said = {"input_file_id": file, "endpoint": EMBED, "completion_window": "24h"}
    first = client.batches.create(**said, extra_headers=key)
    assert client.batches.create(**said, extra_headers=key).id == first.id
    done = wait(client, first, "completed")
    again = client.post("/batches", body=dict(reversed(said.items())), cast_to=Batch, options={"headers": key})
    assert (again.id, again.status, again.output_file_id) == (first.id, "completed", done.output_file_id)
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.batches.create(**said | {"completion_window": "8h"}, extra_headers=key)
    assert (refused.value.code, refused.value.param) == ("idempotency_key_reused", "Idempotency-Key")
    assert first.id in refused.value.message
    assert client.batches.create(**said, extra_headers={"Idempotency-Key": ""}).id != first.id
    with pytest.raises(openai.NotFoundError):
        other.batches.create(**said, extra_headers=key)


def test_a_file_that_is_uploaded_again_is_there_once(client: openai.OpenAI) -> None:
    content, key = b"".join(line(name, "x" * 500) for name in numbered(400)), {"Idempotency-Key": "file-1"}

    def again(content: bytes, name: str = "in.jsonl", **more: object) -> str:
        return client.files.create(file=(name, io.BytesIO(content)), purpose="batch", extra_headers=key, **more).id

    first = again(content)
    assert again(content) == first
    assert client.files.content(first).read() == content
    kept = [file.id for file in client.files.list(purpose="batch")]  # another test's batch may still write what it answers
    for other in (
        lambda: again(content[:-1]),
        lambda: again(content, "other.jsonl"),
        lambda: again(content, expires_after={"anchor": "created_at", "seconds": 7200}),
    ):
        with pytest.raises(openai.UnprocessableEntityError, match=first):
            other()
    assert [file.id for file in client.files.list(purpose="batch")] == kept
    client.files.delete(first)
    assert again(content) != first


def test_an_upload_that_comes_again_needs_no_room(tmp_path: Path) -> None:
    limits, key = Limits(file_bytes=100_000, kept_bytes=150_000), {"Idempotency-Key": "file-1"}
    with serving(f"sqlite:///{tmp_path}/jobs.db", Engine(), limits) as served, client_of(served) as client:
        first = client.files.create(file=b"x" * 90_000, purpose="batch", extra_headers=key).id
        assert client.files.create(file=b"x" * 90_000, purpose="batch", extra_headers=key).id == first


# -------------------------------------------------------------------------------------------------------------------- wrong


def test_every_wrong_line_is_told(client: openai.OpenAI) -> None:
    content = line("a") + line("b", url="/v1/models") + b"{\n" + line("a") + line("c", body={"input": "x"})
    batch = wait(client, hand_in(client, content), "failed")
    told = [(error.line, error.code, error.param) for error in batch.errors.data]
    assert sorted(told) == [
        (2, "invalid_url", "url"),
        (3, "invalid_json_line", None),
        (4, "duplicate_custom_id", "custom_id"),
        (5, "missing_required_parameter", "body.model"),
    ]
    assert (batch.request_counts.total, batch.output_file_id, batch.error_file_id) == (0, None, None)
    with pytest.raises(openai.ConflictError, match="failed cannot be cancelled"):
        client.batches.cancel(batch.id)


def test_too_many_lines(client: openai.OpenAI) -> None:
    batch = wait(client, hand_in(client, b"".join(map(line, numbered(501)))), "failed")
    assert [(error.line, error.code) for error in batch.errors.data] == [(501, "too_many_requests")]


def test_what_is_anothers_is_not_there(client: openai.OpenAI, other: openai.OpenAI) -> None:
    file = upload(client, line("a"))
    batch = client.batches.create(input_file_id=file, endpoint=EMBED, completion_window="24h")
    done = wait(client, batch, "completed")
    asked = [
        lambda: other.files.retrieve(file),
        lambda: other.files.content(file),
        lambda: other.files.content(done.output_file_id),
        lambda: other.files.delete(file),
        lambda: other.batches.retrieve(batch.id),
        lambda: other.batches.cancel(batch.id),
        lambda: other.batches.create(input_file_id=file, endpoint=EMBED, completion_window="24h"),
    ]
    for ask in asked:
        with pytest.raises(openai.NotFoundError) as refused:
            ask()
        assert re.fullmatch(r"there is no (file 'file-[0-9a-f]{32}'|batch 'batch_[0-9a-f]{32}')", refused.value.body["message"])
        assert refused.value.body["param"] in {"file_id", "batch_id", "input_file_id"}
    assert client.files.retrieve(file).id == file


@pytest.mark.parametrize(
    ("said", "parameter"),
    [
        ({"input_file_id": "https://example.com/in.jsonl"}, "input_file_id"),
        ({"input_file_id": "/etc/passwd"}, "input_file_id"),
        ({"input_file_id": 7}, "input_file_id"),
        ({"endpoint": "/v1/models"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"metadata": {"class": "chat"}}, "metadata.class"),
        ({"metadata": {"class": "unheard"}}, "metadata.class"),
        ({"metadata": {"a" * 65: "b"}}, "metadata"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after"),
    ],
)
def test_a_batch_that_is_not_right_says_which_field(client: openai.OpenAI, said: dict, parameter: str) -> None:
    right = {"input_file_id": "file-" + "0" * 32, "endpoint": EMBED, "completion_window": "24h"}
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/batches", body=right | said, cast_to=object)
    assert refused.value.param == parameter


def test_keys_say_what_may_be_asked(served: Served) -> None:
    with client_of(served, "sk-none") as nobody, pytest.raises(openai.AuthenticationError):
        nobody.files.list()
    with client_of(served, "sk-infer") as infer, pytest.raises(openai.PermissionDeniedError, match="scope batch"):
        infer.files.list()
    with client_of(served, "sk-night") as night:
        with pytest.raises(openai.PermissionDeniedError, match="class 'night'"):
            hand_in(night, line("a"), metadata={"class": "night"})
        batch = wait(night, hand_in(night, line("a", "of its own class")), "completed")
        assert batch.request_counts.completed == 1
    assert ("acme", "bulk", "of its own class") in [asked[:3] for asked in served.engine.asked]


def test_uploads_that_are_refused(client: openai.OpenAI, served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="purpose must be 'batch'"):
        client.files.create(file=b"x", purpose="fine-tune")
    with pytest.raises(openai.APIStatusError, match="300,000") as refused:
        upload(client, b"x" * 300_001)
    assert refused.value.status_code == 413
    said = {"Authorization": "Bearer sk-acme", "Content-Type": "multipart/form-data; boundary=x"}
    around = client._client.post(f"{served.url}/v1/files", content=iter([b"--x--\r\n", *[b"x" * 100_000] * 4]), headers=said)
    assert around.status_code == 413  # also if the epilogue is too long
    with pytest.raises(openai.BadRequestError, match="expires_after"):
        client.files.create(file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 1})
    with pytest.raises(openai.BadRequestError, match="multipart"):
        client.post("/files", body={"purpose": "batch"}, cast_to=object)
    for path in ("/files?limit=0", "/files?order=up", "/files?after=x", "/batches?limit=101", "/files?purpose=%00"):
        with pytest.raises(openai.BadRequestError):
            client.get(path, cast_to=object)
    for path in ("/files/file-..%2f..", "/files/%00", "/batches/batch_", "/batches/file-" + "0" * 32):
        with pytest.raises(openai.NotFoundError):
            client.get(path, cast_to=object)


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"y" * 2_000_000
    head = b"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme\r\nContent-Length: 3000000\r\n"
    with serving(f"sqlite:///{tmp_path}/jobs.db", Engine()) as served:

        def count(table: str) -> int:
            with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
                return connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours

        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=WAIT_S) as client:
            client.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + form)
            until(lambda: count("tightrope_parts") > 0)
        until(lambda: count("tightrope_parts") == 0)
        assert count("tightrope_files") == 0


def test_a_tenant_has_so_much_room(tmp_path: Path) -> None:
    limits = Limits(file_bytes=100_000, kept_bytes=150_000)
    with serving(f"sqlite:///{tmp_path}/jobs.db", Engine(), limits) as served, client_of(served) as client:
        first = upload(client, b"x" * 90_000)
        with pytest.raises(openai.RateLimitError, match="delete some"):
            upload(client, b"x" * 90_000)
        with client_of(served, "sk-other") as other:
            upload(other, b"x" * 90_000)
        client.files.delete(first)
        upload(client, b"x" * 90_000)


def test_a_tenant_has_so_many_batches_at_a_time(tmp_path: Path) -> None:
    with (
        serving(f"sqlite:///{tmp_path}/jobs.db", Engine(), Limits(open_batches=2), most=lambda: 0) as served,
        client_of(served) as client,
    ):
        first = hand_in(client, line("a"))
        hand_in(client, line("a"))
        with pytest.raises(openai.RateLimitError, match="has 2 batches that are not done"):
            hand_in(client, line("a"))
        client.batches.cancel(first.id)
        wait(client, first, "cancelled")
        hand_in(client, line("a"))


def test_a_batch_that_is_not_done_in_time_expires(tmp_path: Path) -> None:
    async def answer(text: str) -> tuple[int, object]:
        room[0] = 0
        await asyncio.sleep(0.0 if text == "quick" else 3600.0)
        return await vector(text)

    room = [1]
    with serving(f"sqlite:///{tmp_path}/jobs.db", Engine(answer), most=lambda: room[0]) as served, client_of(served) as client:
        batch = hand_in(client, line("a", "quick") + b"".join(line(name, "slow") for name in numbered(40)), "1h")
        until(lambda: client.batches.retrieve(batch.id).request_counts.completed == 1)
        with ahead(served, 3598.0):  # so that it is due in two seconds
            room[0] = 8
            done = wait(client, batch, "expired")
        assert (done.request_counts.completed, done.request_counts.failed) == (1, 40)
        missed = lines_of(client, done.error_file_id)
        assert [row["custom_id"] for row in missed] == numbered(40)
        assert {row["error"]["code"] for row in missed} == {"batch_expired"}
        assert [row["custom_id"] for row in lines_of(client, done.output_file_id)] == ["a"]
