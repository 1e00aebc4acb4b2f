"""The how-to page about the ledger says what its commands and its query really print, of a small ledger that is made here."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from tightrope.cli import app

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "read-the-ledger.md"
CONSOLE = re.compile(r"^```console\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
QUERY = re.compile(r"^```sql\n(?P<query>.*?)^```\n\n^```text\n(?P<answer>.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def shop(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve two tenants for two hours on two pools; the gateway is killed for ten minutes. The folder is the current one."""
    small, large = world.pool("small", 0.0765), world.pool("large", 0.526)
    ledger = world.ledger("gateway-1")
    meters = [world.meter(ledger, pool, capacity=4.0) for pool in (small, large)]
    for minute in range(110):
        tenant, tag = (("acme", "search"), ("acme", "mail"), ("bolt", ""))[minute % 3]
        world.serve(ledger, meters[0], small, 15.0, world.asked(ledger, tenant, tag=tag))
        world.serve(ledger, meters[1], large, 20.0, world.asked(ledger, tenant, tag=tag, traffic_class="report"))
        world.now_s += 25
        ledger.heartbeat()
        if minute == 60:
            world.kill(ledger)
            world.now_s += 600
            ledger = world.ledger("gateway-1")
            meters = [world.meter(ledger, pool, capacity=4.0) for pool in (small, large)]
    ledger.close()
    world.open.remove(ledger)
    monkeypatch.chdir(world.folder.parent)


def printed(command: str) -> str:
    """Return what a command prints."""
    done = CliRunner().invoke(app, command.split()[1:], env={"COLUMNS": "100", "NO_COLOR": "1"}, catch_exceptions=False)
    return "".join(f"{line.rstrip()}\n" for line in done.output.splitlines())


def as_text(query: str) -> str:
    """Return what a query answers as a table of text."""
    answer = duckdb.sql(query)
    rows = [answer.columns, *([str(cell) for cell in row] for row in answer.fetchall())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows)


def test_the_page_says_what_is_printed(shop: None) -> None:
    page = PAGE.read_text(encoding="utf-8")
    commands = 0
    for block in CONSOLE.finditer(page):
        said = block["body"]
        found = ""
        for line in said.splitlines():
            if line.startswith("$ "):
                commands += 1
                found += f"{line}\n{printed(line[2:])}"
        assert said == found
    queries = list(QUERY.finditer(page))
    for query in queries:
        assert query["answer"] == as_text(query["query"])
    assert (commands, len(queries)) == (5, 1)
