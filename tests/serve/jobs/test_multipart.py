"""Forms are read in pieces of any size, and broken ones are refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.serve.jobs.multipart import FIELD_BYTES, HEADER_BYTES, MOST_FIELDS, MultipartForm, boundary_of
from tightrope.serve.refusals import Malformed

MARK = b"x7"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    more = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: application/jsonl'
    return b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (MARK, name.encode(), more.encode(), content)


END = b"--%s--\r\n" % MARK


def read(body: bytes, pieces: int = 10_000) -> tuple[MultipartForm, bytes]:
    """Return a form and its file's bytes."""
    found = bytearray()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), pieces):
            yield body[start : start + pieces]

    async def sink(piece: bytes) -> None:
        found.extend(piece)

    form = MultipartForm(MARK)
    asyncio.run(form.read(chunks(), sink))
    return form, bytes(found)


near = st.lists(st.sampled_from([b"\r\n", b"--", MARK, b"\r", b"\n", b"-", b"a", b"\r\n--x", b"\x00\xff"]), max_size=20).map(
    b"".join
)


@given(near.filter(lambda content: b"\r\n--" + MARK not in b"\r\n" + content), st.integers(1, 40), st.booleans())
def test_a_file_comes_through_byte_for_byte(content: bytes, pieces: int, file_first: bool) -> None:
    parts = [part("purpose", b"batch"), part("file", content, "in.jsonl")]
    form, found = read(b"".join(parts[::-1] if file_first else parts) + END, pieces)
    assert (found, form.filename, form.fields) == (content, "in.jsonl", {"purpose": "batch"})


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_body_is_read_or_refused(body: bytes, pieces: int) -> None:
    for whole in (body, part("file", body, "f") + body, b"--%s\r\n" % MARK + body):
        with contextlib.suppress(Malformed):
            form, found = read(whole, pieces)
            assert form.filename is not None or found == b""


def test_an_epilogue_is_ignored() -> None:
    form, found = read(part("file", b"abc", "f") + END + b"epilogue" * 1000)
    assert (found, form.filename) == (b"abc", "f")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (part("file", b"abc", "f"), "ends before"),
        (part("file", b"abc", "f")[:-8], "ends before"),
        (part("file", b"a", "f") + part("file", b"b", "g") + END, "one file"),
        (part("other", b"a", "f") + END, "one file"),
        (part("a", b"x" * (FIELD_BYTES + 1)) + END, f"a: more than {FIELD_BYTES}"),
        (b"".join(part(f"n{n}", b"") for n in range(MOST_FIELDS + 1)) + END, f"more than {MOST_FIELDS}"),
        (b"--x7\r\n" + b"h" * HEADER_BYTES * 2 + b"\r\n\r\n" + END, "header size exceeded"),
        (b"preamble\r\n" + part("file", b"abc", "f") + END, "boundary"),
        (b"--x7\r\nContent-Type: text/plain\r\n\r\nabc\r\n" + END, "has no name"),
        (b"--x7abc\r\n", "boundary"),
        (b"", "ends before"),
    ],
)
def test_a_broken_form_says_what_is_broken(body: bytes, problem: str) -> None:
    with pytest.raises(Malformed, match=problem):
        read(body, 1000)


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=a"]
)
def test_another_type_is_refused(kind: str) -> None:
    with pytest.raises(Malformed, match="multipart/form-data with a boundary"):
        boundary_of(kind)


def test_boundaries_as_clients_write_them() -> None:
    assert boundary_of("multipart/form-data; charset=utf-8; boundary=--abc") == b"--abc"
    assert boundary_of('Multipart/Form-Data;Boundary="a;b"') == b"a;b"
