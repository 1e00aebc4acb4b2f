"""Models from emulated buckets and servers: complete or not at all, resumed, and never outside their folder."""

import hashlib
import io
import itertools
import logging
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from tests.clouds.loopback import Loopback, Request

from tightrope.base.errors import InputError, MissingExtraError, SourceError
from tightrope.serve.fetching import archives, fetch_model
from tightrope.serve.fetching import model as fetching

MODEL = os.urandom(300_000)
FILES = {"model.onnx": MODEL, "tokenizer.json": b"{}", "data/weights.bin": os.urandom(1000)}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        yield found


@pytest.fixture(autouse=True)
def emulators(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the emulator in the vendors' own variables; skip waits."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(fetching, "Fetcher", partial(fetching.Fetcher, sleep=lambda _: None))


def list_page(keys: list[str], asked: Request, token: str) -> tuple[list[str], str]:
    """Return two of the keys with a prefix, and the token of the next page."""
    found = sorted(key for key in keys if key.startswith(asked.query.get("prefix", "")))
    at = int(asked.query.get(token, 0))
    return found[at : at + 2], str(at + 2) if at + 2 < len(found) else ""


def serve_s3(server: Loopback, files: dict[str, bytes], name: str = "models") -> None:
    def listing(asked: Request) -> str:
        keys, more = list_page(list(files), asked, "continuation-token")
        inner = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{len(files[key])}</Size></Contents>" for key in keys)
        after = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else ""
        return f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{name}</Name>{inner}{after}</ListBucketResult>'

    server.serve(f"/{name}", listing)
    for key, content in files.items():
        server.serve(f"/{name}/{key}", content)


def serve_google(server: Loopback, files: dict[str, bytes], name: str = "models") -> None:
    def listing(asked: Request) -> str:
        keys, more = list_page(list(files), asked, "pageToken")
        items = ", ".join(f'{{"name": "{key}", "size": "{len(files[key])}"}}' for key in keys)
        return f'{{"items": [{items}]' + (f', "nextPageToken": "{more}"}}' if more else "}")

    server.serve(f"/storage/v1/b/{name}/o", listing)
    for key, content in files.items():
        server.serve(f"/storage/v1/b/{name}/o/{key.replace('/', '%2F')}", content)


BUCKETS: dict[str, Callable[[Loopback, dict[str, bytes]], None]] = {"s3": serve_s3, "gs": serve_google}


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_zip(files: dict[str, bytes]) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return found.getvalue()


def make_tar(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w:gz") as archive:
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))
        for item in more:
            archive.addfile(item)
    return found.getvalue()


# ----------------------------------------------------------------------------------------------------------------- success


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_folder_of_a_bucket_is_fetched_completely_and_once(kind: str, server: Loopback, tmp_path: Path) -> None:
    beside = {"minilm-2/model.onnx": b"another", "minilm/": b""}
    BUCKETS[kind](server, {f"minilm/{name}": content for name, content in FILES.items()} | beside)
    found = fetch_model(f"{kind}://models/minilm/", tmp_path)
    assert read_folder(found) == FILES
    asked = len(server.requests)
    assert fetch_model(f"{kind}://models/minilm/", tmp_path) == found
    assert len(server.requests) == asked, "a cached model is not fetched again"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".lock"], "no draft remains"


@pytest.mark.parametrize("kind", BUCKETS)
def test_one_file_of_a_bucket_keeps_its_name(kind: str, server: Loopback, tmp_path: Path) -> None:
    BUCKETS[kind](server, {"a/small.onnx": MODEL, "a/small.onnx.old": b"another"})
    found = fetch_model(f"{kind}://models/a/small.onnx", tmp_path)
    assert (found.name, found.read_bytes()) == ("small.onnx", MODEL)


@pytest.mark.parametrize(
    ("name", "packed"), [("m.zip", make_zip(FILES)), ("m.tar.gz", make_tar(FILES)), ("m.tgz", make_tar(FILES))]
)
def test_an_archive_is_unpacked(name: str, packed: bytes, server: Loopback, tmp_path: Path) -> None:
    server.serve(f"/{name}", packed)
    assert read_folder(fetch_model(f"{server.url}/{name}?key=secret", tmp_path)) == FILES


def test_an_archive_of_one_folder_is_that_folder(server: Loopback, tmp_path: Path) -> None:
    server.serve("/m.zip", make_zip({f"minilm-1.0/{name}": content for name, content in FILES.items()}))
    found = fetch_model(f"{server.url}/m.zip", tmp_path)
    assert (found.name, read_folder(found)) == ("minilm-1.0", FILES)


def test_a_local_path_is_returned_unchanged(tmp_path: Path) -> None:
    assert fetch_model(str(tmp_path / "model")) == tmp_path / "model"
    assert not list(tmp_path.iterdir())


def test_a_digest_is_checked(server: Loopback, tmp_path: Path) -> None:
    server.serve("/model.onnx", MODEL)
    right = hashlib.sha256(MODEL).hexdigest()
    assert read_folder(fetch_model(f"{server.url}/model.onnx#sha256={right}", tmp_path)) == {"model.onnx": MODEL}
    for wrong in ("0" * 64, "abc"):
        with pytest.raises(InputError, match="sha256"):
            fetch_model(f"{server.url}/model.onnx#sha256={wrong}", tmp_path)
    assert len([path for path in tmp_path.iterdir() if not path.suffix]) == 1


# ------------------------------------------------------------------------------------------------------------------ failure


def test_an_interrupted_download_continues(server: Loopback, tmp_path: Path) -> None:
    server.serve("/model.onnx", MODEL)
    server.fail("/model.onnx", 503)
    server.cut("/model.onnx", 100_000)
    assert read_folder(fetch_model(f"{server.url}/model.onnx", tmp_path)) == {"model.onnx": MODEL}
    asked = [request.headers.get("Range") for request in server.seen]
    assert asked == [None, None, "bytes=100000-"]


@pytest.mark.parametrize("kind", BUCKETS)
def test_complete_files_of_a_failed_fetch_are_not_fetched_again(kind: str, server: Loopback, tmp_path: Path) -> None:
    BUCKETS[kind](server, {f"m/{name}": content for name, content in FILES.items()})
    last = next(path for path in server.routes if path.endswith("tokenizer.json"))
    server.fail(last, *[503] * 6)
    with pytest.raises(SourceError, match="503"):
        fetch_model(f"{kind}://models/m", tmp_path)
    assert all(path.suffix for path in tmp_path.iterdir()), "an incomplete model is not cached"
    again = len(server.requests)
    assert read_folder(fetch_model(f"{kind}://models/m", tmp_path)) == FILES
    assert not any("model.onnx" in asked for asked in server.requests[again:])


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_missing_model_is_reported(kind: str, server: Loopback, tmp_path: Path) -> None:
    BUCKETS[kind](server, {"m/readme.md": b"", "m/notes.md": b""})
    with pytest.raises(InputError, match=r"has no model\.onnx.*notes\.md, readme\.md"):
        fetch_model(f"{kind}://models/m", tmp_path)
    with pytest.raises(InputError, match="there are 0 files"):
        fetch_model(f"{kind}://models/n", tmp_path)
    with pytest.raises(SourceError, match="404"):
        fetch_model(f"{kind}://nowhere/m", tmp_path)


@pytest.mark.parametrize("address", ["ftp://host/m", "s3:///m", "http://models.example/m.onnx", "az://bucket/m"])
def test_an_unknown_kind_of_address_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a path, s3://"):
        fetch_model(address, tmp_path)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingExtraError, match="boto3"):
        fetch_model("s3://models/m", tmp_path)


def test_no_message_or_log_shows_a_secret(server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError) as caught:
        fetch_model(f"{server.url}/model.onnx?sig=s3cr3t", tmp_path)
    server.serve("/model.onnx", MODEL)
    server.fail("/model.onnx", 503)
    fetch_model(f"{server.url}/model.onnx?sig=s3cr3t", tmp_path)
    logged = capsys.readouterr().err
    assert "fetched" in logged
    assert "503" in logged
    assert "s3cr3t" not in str(caught.value) + logged


def test_a_model_that_is_too_large_is_not_cached(server: Loopback, tmp_path: Path) -> None:
    server.serve("/model.onnx", MODEL)
    server.serve("/m.zip", make_zip({"model.onnx": bytes(2_000_000)}))
    serve_s3(server, {"m/model.onnx": MODEL})
    for address in (f"{server.url}/model.onnx", f"{server.url}/m.zip", "s3://models/m"):
        with pytest.raises(InputError, match="more than 200000 bytes"):
            fetch_model(address, tmp_path, most_bytes=200_000)
    assert all(path.suffix for path in tmp_path.iterdir())


def make_link(kind: bytes, name: str, target: str) -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    item.type, item.linkname = kind, target
    return item


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (make_zip({"../out": b""}), "leads out"),
        (make_zip({"/out": b""}), "leads out"),
        (make_tar({"a/../../out": b""}), "leads out"),
        (make_tar({"..\\out": b""}), "leads out"),
        (make_tar({}, make_link(tarfile.SYMTYPE, "model.onnx", "/etc/passwd")), "not a plain file"),
        (make_tar({}, make_link(tarfile.LNKTYPE, "model.onnx", "other")), "not a plain file"),
        (make_tar({}, make_link(tarfile.FIFOTYPE, "model.onnx", "")), "not a plain file"),
        (make_zip(FILES)[:-40], "cannot unpack"),
        (make_tar(FILES)[:1000], "cannot unpack"),
        (make_zip(dict.fromkeys("abcde", b"")), "4 files"),
        (b"text", "cannot unpack"),
    ],
    ids=itertools.count(),
)
def test_an_unsafe_archive_is_refused(packed: bytes, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 4)
    (tmp_path / "m.zip").write_bytes(packed)
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=problem):
        archives.unpack(tmp_path / "m.zip", tmp_path / "in", 10**6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.zip"]


def test_a_key_that_leads_out_of_the_folder_is_refused(server: Loopback, tmp_path: Path) -> None:
    serve_google(server, {"m/model.onnx": MODEL, "m/../../../out": b"no"})
    with pytest.raises(InputError, match="leads out"):
        fetch_model("gs://models/m", tmp_path / "models")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


def test_the_default_cache_belongs_to_the_user(monkeypatch: pytest.MonkeyPatch, server: Loopback, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server.serve("/model.onnx", MODEL)
    found = fetch_model(f"{server.url}/model.onnx")
    root = tmp_path / f"tightrope-models-{os.getuid()}"
    assert root in found.parents
    assert root.stat().st_mode & 0o777 == 0o700
    other = os.getuid() + 1
    root.rename(tmp_path / f"tightrope-models-{other}")
    monkeypatch.setattr("os.getuid", lambda: other)
    with pytest.raises(InputError, match="another user"):
        fetch_model(f"{server.url}/model.onnx")


def test_an_unwritable_cache_is_reported(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write models"):
        fetch_model(f"{server.url}/model.onnx", tmp_path / "file")


def test_sigterm_ends_a_fetch(server: Loopback, tmp_path: Path) -> None:
    def interrupted(asked: Request) -> Iterator[bytes]:
        os.kill(fetching_process.pid, signal.SIGTERM)
        yield b"x"

    server.serve("/model.onnx", interrupted)
    server.cut("/model.onnx", 1)
    code = "import sys; from tightrope.serve.fetching import fetch_model as it; it(sys.argv[1], __import__('pathlib').Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, f"{server.url}/model.onnx", str(tmp_path)]
    fetching_process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - a fixed command
    assert fetching_process.wait(120) == fetching.SIGTERM_EXIT_CODE
    assert all(path.suffix for path in tmp_path.iterdir())


def test_the_log_handlers_are_restored(server: Loopback, tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:]
    server.serve("/model.onnx", MODEL)
    fetch_model(f"{server.url}/model.onnx", tmp_path)
    assert logging.getLogger().handlers == before
