"""Sources of models: S3, Google Cloud Storage and web servers. Each lists a model's files and downloads one.

The vendors' own libraries find the credentials (a pod's identity, variables, files); no message or log shows them.
``AWS_ENDPOINT_URL_S3`` and ``STORAGE_EMULATOR_HOST`` name emulators, as in these libraries.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

from tightrope.base.errors import InputError, MissingExtraError, SourceError
from tightrope.clouds.downloads import Fetcher, on_loopback, reshaped, shown
from tightrope.serve.fetching.archives import MOST_FILES

GOOGLE = "https://storage.googleapis.com"
READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
ACCESS_RESOLVE = "check the address, and the credentials and permissions of this machine or pod"
UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""Asks for the file's own bytes, which the digest covers."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a model."""

    name: str
    """Relative to the model's folder."""
    key: str
    """Key in the bucket, or URL."""
    size: int | None
    """Bytes; None if unknown before the download."""


class Source(Protocol):
    """One kind of storage."""

    def list_files(self) -> list[RemoteFile]:
        """Return the files at the address, perhaps none; raise ``SourceError``."""
        ...

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write a file completely or not at all; raise ``SourceError``."""
        ...


def find_source(address: str, fetcher: Fetcher) -> Source:
    """Return the source of an address, read by ``fetcher``; raise ``InputError``."""
    parts = urlsplit(address)
    bucket, key = parts.netloc, unquote(parts.path).strip("/")
    if parts.scheme in {"s3", "gs"} and bucket:
        return S3(bucket, key, fetcher) if parts.scheme == "s3" else GoogleStorage(bucket, key, fetcher)
    if parts.scheme == "https" or (parts.scheme == "http" and (on_loopback(address) or parts.fragment)):
        return Web(address.partition("#")[0], fetcher)
    msg = f"got the model {shown(address)!r}, expected a path, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or https://…"
    raise InputError(msg, resolve="correct --model; http:// needs #sha256=…")


def list_folder(key: str, list_keys: Callable[[str, int], dict[str, int]]) -> list[RemoteFile]:
    """Return the files of a bucket's folder, or the one file of that name.

    ``list_keys(prefix, least)`` returns the first keys with a prefix, in order, and their bytes: at least ``least`` if there are so many.
    """
    start = f"{key}/" if key else ""
    found = list_keys(start, MOST_FILES + 1)
    if len(found) > MOST_FILES:
        msg = f"more than {MOST_FILES} files are in {key!r}"
        raise InputError(msg, resolve="name only the model's folder")
    items = [RemoteFile(name[len(start) :], name, size) for name, size in found.items() if not name.endswith("/")]
    if items or not key:
        return items
    return [RemoteFile(key.rpartition("/")[2], key, size) for name, size in list_keys(key, 1).items() if name == key]


class S3:
    """A bucket of S3 or a compatible service."""

    def __init__(self, bucket: str, key: str, fetcher: Fetcher) -> None:
        """Send no request yet; raise ``MissingExtraError``."""
        try:
            import boto3  # an optional extra
            from botocore.config import Config
        except ImportError as error:
            msg = f"s3:// needs the package {error.name!r}"
            raise MissingExtraError(msg, resolve="pip install 'tightrope[aws]'") from error
        self._bucket, self._key, self._progress = bucket, key, fetcher.progress
        patience = Config(retries={"mode": "standard", "total_max_attempts": 6})
        self._client: Any = boto3.Session().client("s3", config=patience)

    def list_files(self) -> list[RemoteFile]:
        """Return the files of the folder."""
        return list_folder(self._key, self._list_keys)

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write a file; boto3 downloads its parts in parallel and retries."""
        done = 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            self._progress(item.name, done, item.size)

        with self._translate_errors():
            self._client.download_file(self._bucket, item.key, str(target), Callback=report)

    def _list_keys(self, start: str, least: int) -> dict[str, int]:
        """Return keys and bytes, page by page."""
        found: dict[str, int] = {}
        with self._translate_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
            for page in pages:
                found |= {item["Key"]: item["Size"] for item in page.get("Contents", ())}
                if len(found) >= least:
                    break
        return found

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise the library's errors as ``SourceError``."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            msg = f"s3://{self._bucket}/{self._key}: {' '.join(str(error).split())[:300]}"
            raise SourceError(msg, resolve=ACCESS_RESOLVE) from error


class GoogleStorage:
    """A bucket of Google Cloud Storage, by its JSON API."""

    def __init__(self, bucket: str, key: str, fetcher: Fetcher) -> None:
        """Send no request yet."""
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        host = emulator if "://" in emulator else f"http://{emulator}" if emulator else GOOGLE
        self._is_google, self._key, self._fetcher = not emulator, key, fetcher
        self._objects = f"{host.rstrip('/')}/storage/v1/b/{quote(bucket, safe='')}/o"

    def list_files(self) -> list[RemoteFile]:
        """Return the files of the folder."""
        return list_folder(self._key, self._list_keys)

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write a file; continue an interrupted download."""
        url = f"{self._objects}/{quote(item.key, safe='')}?alt=media"
        self._fetcher.download(url, item.name, {**UNCOMPRESSED, **self._headers()}).replace(target)

    def _list_keys(self, start: str, least: int) -> dict[str, int]:
        """Return keys and bytes, page by page."""
        found: dict[str, int] = {}
        query = {"prefix": start, "fields": "items(name,size),nextPageToken"}
        while True:
            url = f"{self._objects}?{urlencode(query)}"
            page: Any = self._fetcher.json(url, self._key, self._headers())
            try:
                found |= {item["name"]: int(item["size"]) for item in page.get("items", ())}
                token = str(page.get("nextPageToken", ""))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise reshaped(shown(url), page, "a list of objects") from None
            if not token or len(found) >= least:
                return found
            query["pageToken"] = token

    def _headers(self) -> Mapping[str, str]:
        """Return the authorisation headers."""
        if not self._is_google:
            return {}
        from tightrope.clouds.gcp.auth import headers_for  # an optional extra

        return headers_for(GOOGLE, READ_ONLY, "the bucket")


class Web:
    """One file of a web server."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        """Send no request yet."""
        self._url, self._fetcher = url, fetcher

    def list_files(self) -> list[RemoteFile]:
        """Return the one file, named after the end of the address."""
        name = unquote(urlsplit(self._url).path).rpartition("/")[2]
        return [RemoteFile(name or "model.onnx", self._url, None)]

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write the file; continue an interrupted download."""
        self._fetcher.download(item.key, item.name, UNCOMPRESSED).replace(target)
