"""A server that speaks as AWS does, and a fetch from it."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.clouds import aws_server
from tests.clouds.aws.helpers import KEY, KNOWN, REGION, SECRET, TODAY
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import Catalogue, MachineType
from tightrope.clouds.aws import refresh
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.refresh import RefreshQuery


@pytest.fixture(autouse=True, scope="session")
def _service_models_read_once() -> Iterator[None]:
    """Keep botocore's descriptions of services, which each new client would parse again from megabytes of JSON."""
    loaders = pytest.importorskip("botocore.loaders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders.JSONFileLoader, "load_file", cache(loaders.JSONFileLoader.load_file))
        yield


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no credentials of whoever runs the tests be found."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def aws(loopback: Loopback) -> Loopback:
    """Return a server with one region's lists."""
    aws_server.serve_indexes(loopback)
    aws_server.serve_region(loopback)
    aws_server.serve_advisor(loopback)
    return loopback


@pytest.fixture
def fetch(aws: Loopback, tmp_path: Path) -> Callable[..., tuple[Catalogue, list[str]]]:
    """Return a function that fetches from the server, and what it told the user."""

    def fetch_once(form: str = "csv", regions: tuple[str, ...] = (REGION,), known: Mapping[str, MachineType] = KNOWN) -> Any:
        work = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        fetcher = Fetcher(work, sleep=lambda _: None)
        return refresh.fetch(RefreshQuery(regions, known, TODAY, aws.url), fetcher, form), fetcher.notes

    return fetch_once
