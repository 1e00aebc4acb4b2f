"""Queues to test with: one in SQLite, and one in a PostgreSQL server of the tests' own."""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for queue_bench.py, which the tests of this folder share

USER = "postgres"
"""The server refuses to run as root."""


def program(name: str) -> str | None:
    """Return a program of the server, which Debian keeps off the path."""
    return shutil.which(name) or next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Lend the URL of a private server that listens on nothing but a socket in a folder of its own."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no initdb: install PostgreSQL's server (Debian: postgresql)")
    user = USER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="tightrope-pg-"))
    try:
        if user:
            shutil.chown(folder, user)

        def run(*command: str) -> None:
            done = subprocess.run(  # noqa: S603 - the server's own programs
                command, user=user, cwd=folder, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr

        data, options = str(folder / "data"), f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run(initdb, "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        run(pg_ctl, "-D", data, "-w", "-t", "30", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql:///postgres?host={folder}&user={USER}"
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a queue is that is empty, once for each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    make: Callable[[], str] = request.getfixturevalue("new_database")
    return make()


@pytest.fixture
def new_database(postgres: str) -> Callable[[], str]:
    """Return what makes an empty place for a queue on the server."""

    async def make() -> str:
        name = f"jobs_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(postgres)
        try:
            await connection.execute(f"CREATE SCHEMA {name}")
        finally:
            await connection.close()
        return f"{postgres}&search_path={name}"

    return lambda: asyncio.run(make())
