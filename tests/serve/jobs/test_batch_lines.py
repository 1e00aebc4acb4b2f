"""Input files read line by line, whatever pieces they come in; output lines as OpenAI writes them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_bench import EMBED, line

from tightrope.serve.jobs import batch_lines
from tightrope.serve.jobs.batch_lines import MOST_ERRORS, InputReader
from tightrope.serve.jobs.records import BatchItem, LineError

DEEP = line("a").replace(b'"a"}', b"[" * 100_000)
"""Nested deeper than is read."""


def read(content: bytes, pieces: int = 1 << 20, line_bytes: int = 10_000, most: int = 1000) -> InputReader:
    """Return a reader that has read all of a file, with its items in ``reader.items``."""
    reader = InputReader(EMBED, line_bytes, most)
    reader.items = []
    for start in range(0, len(content), pieces):
        reader.items += reader.feed(content[start : start + pieces])
        if reader.stopped:
            return reader
    reader.items += reader.end()
    return reader


@given(
    st.lists(st.sampled_from([line("a"), b"\n", line("b", "é\\n"), b'{"x"', b" \r\n", line("c")[:-1] + b"\r\n"]), max_size=12),
    st.integers(1, 200),
)
def test_pieces_make_no_difference(some: list[bytes], pieces: int) -> None:
    content = b"".join(some)
    whole, parts = read(content), read(content, pieces)
    assert (whole.items, whole.errors, whole.total) == (parts.items, parts.errors, parts.total)
    for item in whole.items:
        assert json.loads(content[item.start : item.start + item.size])["custom_id"] == item.custom_id
        assert content[: item.start].count(b"\n") == item.line - 1


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        (b'{"custom_id": "a", ', "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        (line("a").replace(b'"a"', b'"\xff"', 1), "invalid_json_line", None),
        (line("a").replace(b'"m"', b'"\xff"'), "invalid_json_line", "body"),
        (b'"text"', "invalid_type", None),
        (DEEP, "invalid_json_line", None),
        (b'{"method": "POST", "url": "/v1/embeddings", "body": {}}', "missing_required_parameter", "custom_id"),
        (line("a", method="GET"), "invalid_method", "method"),
        (line("a", url="/v1/chat/completions"), "invalid_url", "url"),
        (line("a", url="http://169.254.169.254/latest"), "invalid_url", "url"),
        (line(""), "invalid_custom_id", "custom_id"),
        (line("a\x00b"), "invalid_custom_id", "custom_id"),
        (line("a" * 513), "invalid_custom_id", "custom_id"),
        (
            b'{"custom_id": "\\ud800", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m"}}',
            "invalid_json_line",
            None,
        ),
        (line(7), "invalid_type", "custom_id"),
        (line("a", body="text"), "invalid_type", "body"),
        (line("a", body={"input": "x"}), "missing_required_parameter", "body.model"),
        (line("a", body={"model": 3}), "invalid_type", "body.model"),
        (line("a", body={"model": "m", "stream": True}), "invalid_request", "body.stream"),
        (line("a", "x" * 20_000), "line_too_long", None),
    ],
)
def test_what_is_wrong_names_line_and_field(text: bytes, code: str, param: str | None) -> None:
    reader = read(
        line("right") + b"\n" + text.rstrip(b"\n") + b"\n" + line("right too"), line_bytes=200_000 if text is DEEP else 10_000
    )
    assert [item.custom_id for item in reader.items] == ["right", "right too"]
    (error,) = reader.errors
    assert (error.line, error.code, error.param) == (3, code, param)
    assert len(error.message) < 300
    if param:
        assert param in error.message


@given(st.integers(0, len(line("a")) - 1), st.binary(min_size=1, max_size=3))
def test_whatever_bytes_stand_in_a_line_it_is_an_item_or_wrong(place: int, other: bytes) -> None:
    whole = line("a")
    reader = read(whole[:place] + other + whole[place + 1 :])
    assert reader.items or reader.errors


def test_a_doubled_id_is_told() -> None:
    reader = read(line("a"))
    reader.doubled([BatchItem(9, "b" * 300, 0, 1)])
    (error,) = reader.errors
    assert (error.line, error.code, error.param) == (9, "duplicate_custom_id", "custom_id")
    assert len(error.message) < 200


@pytest.mark.parametrize("content", [b"", b"\n \n\r\n"])
def test_a_file_without_requests(content: bytes) -> None:
    assert read(content).errors == [LineError("empty_file", "The input file has no requests.")]


def test_reading_stops_when_there_is_no_use_in_it() -> None:
    many = read(b"{\n" * 10_000, pieces=100)
    assert len(many.errors) == MOST_ERRORS
    full = read(b"".join(line(f"i{n}") for n in range(30)), pieces=100, most=20)
    assert ([error.code for error in full.errors], full.errors[0].line, len(full.items)) == (["too_many_requests"], 21, 20)


def test_a_line_without_end_is_not_kept() -> None:
    reader = InputReader(EMBED, 1000, 10)
    fed = 0
    while not reader.stopped:
        reader.feed(b"x" * 100)
        fed += 100
    assert fed == 1100
    assert [error.code for error in reader.errors] == ["line_too_long"]
    assert reader.end() == []


ITEM = BatchItem(3, 'we"ird', 0, 1, tries=4, last_status=503)


def test_an_answer_is_one_line_of_the_output_file() -> None:
    result = batch_lines.answered(
        "batch_12", ITEM, 200, b'{\n "vector": [1.0, 123456789012345678901234567890],\n "text": "a\\nb"}', "req_9"
    )
    assert result.answered
    assert result.bytes.count(b"\n") == 1
    assert b"123456789012345678901234567890" in result.bytes
    said = {"vector": [1.0, 123456789012345678901234567890], "text": "a\nb"}
    response = {"status_code": 200, "request_id": "req_9", "body": said}
    assert json.loads(result.bytes) == {"id": "batch_req_12_3", "custom_id": 'we"ird', "response": response, "error": None}


@pytest.mark.parametrize(
    "usage",
    [
        b"7",
        b'"many"',
        b"{}",
        b'{"prompt_tokens": -1}',
        b'{"prompt_tokens": 1e30}',
        b'{"prompt_tokens": 7, "completion_tokens": "3"}',
    ],
)
def test_tokens_that_can_not_be_are_not_known(usage: bytes) -> None:
    result = batch_lines.answered("batch_12", ITEM, 200, b'{"usage": ' + usage + b"}", "req_9")
    assert (result.answered, result.tokens) == (True, None)


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"\xff", b'{"open'])
def test_an_answer_that_is_no_json_is_told_as_text(body: bytes) -> None:
    result = batch_lines.answered("batch_12", ITEM, 502, body, "req_9")
    assert not result.answered
    told = json.loads(result.bytes)["response"]["body"]["error"]
    assert told["message"] == body.decode(errors="replace")


def test_an_answer_that_is_nested_without_end_is_told_as_text() -> None:
    result = batch_lines.answered("batch_12", ITEM, 502, b"[" * 200_000 + b"]" * 200_000, "req_9")
    assert json.loads(result.bytes)["response"]["body"]["error"]["message"] == "[" * 1000


def test_an_item_that_was_not_answered_says_why() -> None:
    row = json.loads(batch_lines.unanswered("batch_12", ITEM, cancelled=False).bytes)
    assert row == {
        "id": "batch_req_12_3",
        "custom_id": 'we"ird',
        "response": None,
        "error": {"code": "batch_expired", "message": f"{batch_lines.EXPIRED} It was tried 4 times; the last answer was 503."},
    }
    assert json.loads(batch_lines.unanswered("batch_12", BatchItem(1, "a", 0, 1), cancelled=True).bytes)["error"] == {
        "code": "batch_cancelled",
        "message": batch_lines.CANCELLED,
    }


@pytest.mark.parametrize("text", ["", "0h", "24", "24H", "24h ", "-1h", "1.5h", "721h", "99999999m", "١h"])
def test_windows_that_are_none(text: str) -> None:
    assert batch_lines.window_s(text) is None
