"""Where models lie: S3, Google Cloud Storage, and servers of files; each lists what is there and downloads one of them.

Credentials are those that the vendors' own libraries find (a pod's identity, variables, files); nothing of them is in a message or log.
``AWS_ENDPOINT_URL_S3`` and ``STORAGE_EMULATOR_HOST`` name stand-ins, as in these libraries.
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
WHO = "check the address, the credentials of this machine or pod, and what they may read"
AS_IT_IS = {"Accept-Encoding": "identity"}
"""A model is not packed again on its way: its digest is that of the file."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file."""

    name: str
    """Below the model's folder."""
    key: str
    """As its place knows it."""
    size: int | None
    """Bytes; None is not known before it comes."""


class Source(Protocol):
    """One kind of place."""

    def items(self) -> list[RemoteFile]:
        """Return the files that lie there, none where there is nothing; raise ``SourceError``."""
        ...

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write a file whole or not at all; raise ``SourceError``."""
        ...


def find_source(address: str, fetcher: Fetcher) -> Source:
    """Return the place that an address is of, which ``fetcher`` is to ask; raise ``InputError``."""
    parts = urlsplit(address)
    bucket, key = parts.netloc, unquote(parts.path).strip("/")
    if parts.scheme in {"s3", "gs"} and bucket:
        return S3(bucket, key, fetcher) if parts.scheme == "s3" else GoogleStorage(bucket, key, fetcher)
    if parts.scheme == "https" or (parts.scheme == "http" and (on_loopback(address) or parts.fragment)):
        return Web(address.partition("#")[0], fetcher)
    msg = f"got the model {shown(address)!r}, expected a path, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or https://…"
    raise InputError(msg, resolve="correct --model; http:// is taken with #sha256=… alone")


def below(key: str, listed: Callable[[str, int], dict[str, int]]) -> list[RemoteFile]:
    """Return the files of a bucket's folder, or the one that is called like it.

    ``listed`` returns the first keys with a beginning, in their order, so many at least where there are, each with its bytes.
    """
    start = f"{key}/" if key else ""
    found = listed(start, MOST_FILES + 1)
    if len(found) > MOST_FILES:
        msg = f"more than {MOST_FILES} files lie below {key!r}"
        raise InputError(msg, resolve="name the folder of the model alone")
    items = [RemoteFile(name[len(start) :], name, size) for name, size in found.items() if not name.endswith("/")]
    if items or not key:
        return items
    return [RemoteFile(key.rpartition("/")[2], key, size) for name, size in listed(key, 1).items() if name == key]


class S3:
    """A bucket of S3, or of what speaks like it."""

    def __init__(self, bucket: str, key: str, fetcher: Fetcher) -> None:
        """Ask nothing yet; raise ``MissingExtraError``."""
        try:
            import boto3  # an optional part of the installation
            from botocore.config import Config
        except ImportError as error:
            msg = f"s3:// needs the package {error.name!r}"
            raise MissingExtraError(msg, resolve="pip install 'tightrope[aws]'") from error
        self._bucket, self._key, self._progress = bucket, key, fetcher.progress
        patience = Config(retries={"mode": "standard", "total_max_attempts": 6})
        self._client: Any = boto3.Session().client("s3", config=patience)

    def items(self) -> list[RemoteFile]:
        """Return the files below the key."""
        return below(self._key, self._listed)

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write a file; boto3 asks for its parts side by side, and again for one that breaks off."""
        done = 0

        def came(count: int) -> None:
            nonlocal done
            done += count
            self._progress(item.name, done, item.size)

        with self._asked():
            self._client.download_file(self._bucket, item.key, str(target), Callback=came)

    def _listed(self, start: str, least: int) -> dict[str, int]:
        """Return keys and bytes, by pages."""
        found: dict[str, int] = {}
        with self._asked():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
            for page in pages:
                found |= {item["Key"]: item["Size"] for item in page.get("Contents", ())}
                if len(found) >= least:
                    break
        return found

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn the library's errors into ours."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            msg = f"s3://{self._bucket}/{self._key}: {' '.join(str(error).split())[:300]}"
            raise SourceError(msg, resolve=WHO) from error


class GoogleStorage:
    """A bucket of Google Cloud Storage, by its JSON API."""

    def __init__(self, bucket: str, key: str, fetcher: Fetcher) -> None:
        """Ask nothing yet."""
        stand_in = os.environ.get("STORAGE_EMULATOR_HOST", "")
        host = stand_in if "://" in stand_in else f"http://{stand_in}" if stand_in else GOOGLE
        self._is_google, self._key, self._fetcher = not stand_in, key, fetcher
        self._objects = f"{host.rstrip('/')}/storage/v1/b/{quote(bucket, safe='')}/o"

    def items(self) -> list[RemoteFile]:
        """Return the files below the key."""
        return below(self._key, self._listed)

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write a file, continued where it broke off."""
        url = f"{self._objects}/{quote(item.key, safe='')}?alt=media"
        self._fetcher.download(url, item.name, {**AS_IT_IS, **self._headers()}).replace(target)

    def _listed(self, start: str, least: int) -> dict[str, int]:
        """Return keys and bytes, by pages."""
        found: dict[str, int] = {}
        asked = {"prefix": start, "fields": "items(name,size),nextPageToken"}
        while True:
            url = f"{self._objects}?{urlencode(asked)}"
            page: Any = self._fetcher.json(url, self._key, self._headers())
            try:
                found |= {item["name"]: int(item["size"]) for item in page.get("items", ())}
                token = str(page.get("nextPageToken", ""))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise reshaped(shown(url), page, "a list of objects") from None
            if not token or len(found) >= least:
                return found
            asked["pageToken"] = token

    def _headers(self) -> Mapping[str, str]:
        """Return what says who asks."""
        if not self._is_google:
            return {}
        from tightrope.clouds.gcp.auth import headers_for  # an optional part

        return headers_for(GOOGLE, READ_ONLY, "the bucket")


class Web:
    """A server of files: one file."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        """Ask nothing yet."""
        self._url, self._fetcher = url, fetcher

    def items(self) -> list[RemoteFile]:
        """Return the one file, called as the address ends."""
        name = unquote(urlsplit(self._url).path).rpartition("/")[2]
        return [RemoteFile(name or "model.onnx", self._url, None)]

    def download(self, item: RemoteFile, target: Path) -> None:
        """Write it, continued where it broke off."""
        self._fetcher.download(item.key, item.name, AS_IT_IS).replace(target)
