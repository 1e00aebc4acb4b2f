"""Fetching: patient, resumable, bounded, and silent about what is secret."""

import gzip
import json
import time
from collections.abc import Callable
from decimal import Decimal
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clouds.loopback import Loopback, Request

from tightrope.base.errors import SourceError, UnreachableError
from tightrope.clouds.downloads import Fetcher, _retry_after_s, shown

BODY = bytes(range(256)) * 20_000
PAGES = 4


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def fetcher(tmp_path: Path, waits: list[float]) -> Fetcher:
    return Fetcher(tmp_path / "work", sleep=waits.append, tries=4)


def paged(loopback: Loopback) -> Callable[[Request], bytes]:
    """Return a list of four pages of which each names the next."""

    def page(request: Request) -> bytes:
        number = int(request.query.get("page", "0"))
        following = f"{loopback.url}/list?page={number + 1}" if number + 1 < PAGES else None
        return json.dumps({"items": [number], "next": following}).encode()

    return page


def following(page: object) -> str | None:
    assert isinstance(page, dict)
    return page["next"]


def items(fetcher: Fetcher, url: str) -> list[int]:
    return [item for page in fetcher.pages(url, following, "list") for item in page["items"]]  # type: ignore[index]


def test_a_document_keeps_its_decimals(loopback: Loopback, fetcher: Fetcher) -> None:
    loopback.serve("/a", b'{"usd": 0.1000000000000000055}', gzip=True)
    assert fetcher.json(f"{loopback.url}/a", "a") == {"usd": Decimal("0.1000000000000000055")}


@pytest.mark.parametrize(
    "body", [b'{"usd": NaN}', b'{"usd": Infinity}', b"<html>busy</html>", b"", b'{"usd": 0.1', b"[" * 200_000]
)
def test_what_is_no_json_is_tried_once_more_then_refused(
    loopback: Loopback, fetcher: Fetcher, waits: list[float], body: bytes
) -> None:
    loopback.serve("/a", body)
    with pytest.raises(SourceError, match=r"another shape.*expected a JSON document"):
        fetcher.json(f"{loopback.url}/a", "a")
    assert len(waits) == 1


def test_a_document_has_an_end(loopback: Loopback, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.clouds.downloads.MAX_DOCUMENT_BYTES", 1000)
    loopback.serve("/a", b" " * 2000 + b"{}", gzip=True)
    with pytest.raises(SourceError, match="at most 1000 bytes"):
        fetcher.json(f"{loopback.url}/a", "a")


def test_throttling_is_waited_out_as_the_server_asks(loopback: Loopback, fetcher: Fetcher, waits: list[float]) -> None:
    loopback.serve("/a", b"{}")
    loopback.fail("/a", 429, retry_after="7")
    loopback.fail("/a", 503)
    assert fetcher.json(f"{loopback.url}/a", "a") == {}
    assert waits[0] == 7
    assert 1 <= waits[1] <= 2


def test_waits_grow_and_end(loopback: Loopback, fetcher: Fetcher, waits: list[float]) -> None:
    loopback.fail("/a", 500, 502, 503, 504)
    with pytest.raises(UnreachableError, match=r"answered 504 .*4 tries"):
        fetcher.json(f"{loopback.url}/a", "a")
    assert [0.5 <= waits[0] <= 1, 1 <= waits[1] <= 2, 2 <= waits[2] <= 4] == [True] * 3


def test_a_server_that_asks_for_an_hour_is_left_alone(loopback: Loopback, fetcher: Fetcher, waits: list[float]) -> None:
    loopback.fail("/a", 429, retry_after="3600")
    with pytest.raises(UnreachableError, match="asks to wait 3600 s"):
        fetcher.json(f"{loopback.url}/a", "a")
    assert waits == []


def test_retry_after_may_be_a_date() -> None:
    assert _retry_after_s(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert [_retry_after_s(said) for said in (None, "", "soon", "0")] == [None, None, None, 0]


def test_a_refusal_is_not_tried_again_and_tells_no_secret(loopback: Loopback, fetcher: Fetcher, waits: list[float]) -> None:
    secret = "ya29.averysecrettoken"  # noqa: S105
    loopback.serve("/a", lambda request: (403, {}, f"no access for {request.headers['Authorization']}".encode()))
    with pytest.raises(SourceError) as caught:
        fetcher.json(f"{loopback.url}/a?key=hidden", "a", {"Authorization": f"Bearer {secret}"})
    assert "403" in str(caught.value)
    assert "no access for …" in str(caught.value)
    assert secret not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert waits == []


def test_nobody_listens(fetcher: Fetcher) -> None:
    told: list[tuple[str, int, int | None]] = []
    fetcher.progress = lambda *args: told.append(args)
    with pytest.raises(UnreachableError, match=r"/a: .*Connection refused.* \(4 tries\)") as caught:
        fetcher.json("http://127.0.0.1:9/a?key=hidden", "a")
    assert "hidden" not in str(caught.value)
    assert "hidden" not in str(told)
    assert [("Connection refused" in label, "again in" in label, done, total) for label, done, total in told] == [
        (True, True, 0, None)
    ] * 3


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_is_downloaded_and_read(loopback: Loopback, fetcher: Fetcher, *, zipped: bool) -> None:
    loopback.serve("/file", BODY, gzip=zipped)
    with fetcher.open(f"{loopback.url}/file", "file") as file:
        assert file.read() == BODY
    assert len(loopback.requests) == 1


def test_a_cut_download_goes_on_where_it_broke_off(loopback: Loopback, fetcher: Fetcher) -> None:
    loopback.serve("/file", BODY)
    loopback.cut("/file", 3_000_000, 1_500_000)
    assert fetcher.download(f"{loopback.url}/file", "file").read_bytes() == BODY
    starts = [request.headers.get("Range") for request in loopback.seen]
    assert starts == [None, "bytes=3000000-", "bytes=4500000-"]


def test_a_new_run_continues_an_old_ones_download(loopback: Loopback, tmp_path: Path) -> None:
    loopback.serve("/file", BODY, gzip=True)
    half = len(gzip.compress(BODY, mtime=0)) // 2
    loopback.cut("/file", half)

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fetcher(tmp_path, sleep=killed).download(f"{loopback.url}/file", "file")
    with Fetcher(tmp_path).open(f"{loopback.url}/file", "file") as file:
        assert file.read() == BODY
    assert loopback.seen[-1].headers["Range"] == f"bytes={half}-"


def test_a_file_that_changed_meanwhile_begins_anew(loopback: Loopback, fetcher: Fetcher) -> None:
    versions = [BODY, BODY[::-1]]
    loopback.serve("/file", lambda _: versions[min(len(loopback.seen) - 1, 1)])
    loopback.cut("/file", 1_000_000)
    assert fetcher.download(f"{loopback.url}/file", "file").read_bytes() == BODY[::-1]


def test_without_an_etag_a_cut_file_begins_anew(loopback: Loopback, fetcher: Fetcher) -> None:
    loopback.serve("/file", BODY, etag=False)
    loopback.cut("/file", 1_000_000)
    assert fetcher.download(f"{loopback.url}/file", "file").read_bytes() == BODY
    assert all("Range" not in request.headers for request in loopback.seen)


def test_a_file_that_comes_in_pieces_without_a_length(loopback: Loopback, fetcher: Fetcher) -> None:
    loopback.serve("/file", lambda _: (200, {}, iter([BODY, BODY])))
    loopback.cut("/file", 10)
    assert fetcher.download(f"{loopback.url}/file", "file").read_bytes() == BODY + BODY


def test_pages_are_followed_and_kept(loopback: Loopback, fetcher: Fetcher, tmp_path: Path) -> None:
    loopback.serve("/list", paged(loopback), gzip=True)
    loopback.fail("/list", 429)
    assert items(fetcher, f"{loopback.url}/list") == [0, 1, 2, 3]
    asked = len(loopback.requests)
    assert asked == PAGES + 1
    assert items(Fetcher(tmp_path / "work"), f"{loopback.url}/list") == [0, 1, 2, 3]
    assert len(loopback.requests) == asked


def test_pages_that_broke_off_continue(loopback: Loopback, fetcher: Fetcher) -> None:
    loopback.serve("/list", paged(loopback))
    pages = fetcher.pages(f"{loopback.url}/list", following, "list")
    next(pages), next(pages)
    loopback.fail("/list", 500, 500, 500, 500)
    with pytest.raises(UnreachableError):
        next(pages)
    assert items(fetcher, f"{loopback.url}/list") == [0, 1, 2, 3]
    asked = [path for path in loopback.requests if path == "/list"]
    assert len(asked) == 1


@pytest.mark.parametrize("following", ["http://elsewhere.example/list?page=2", "{here}/list"])
def test_pages_that_lead_astray(loopback: Loopback, fetcher: Fetcher, following: str) -> None:
    loopback.serve("/list", json.dumps({"items": [], "next": following.format(here=loopback.url)}).encode())
    with pytest.raises(SourceError, match="next page of the same server"):
        items(fetcher, f"{loopback.url}/list")
    assert len(loopback.requests) == 1


def test_progress_is_told_in_bytes(loopback: Loopback, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    loopback.serve("/file", BODY)
    Fetcher(tmp_path, lambda *args: told.append(args)).download(f"{loopback.url}/file", "file")
    assert told[-1] == ("file", len(BODY), len(BODY))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=40))
def test_what_is_shown_has_no_secret(secret: str) -> None:
    assert secret not in shown(f"https://{secret}:x@prices.example/list?key={secret}#{secret}")
