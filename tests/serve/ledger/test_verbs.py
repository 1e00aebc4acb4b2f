import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from tightrope.base.errors import InputError
from tightrope.cli import app
from tightrope.serve.ledger.check import check
from tightrope.serve.ledger.reader import LedgerReader

CENT = 10_000_000


def run(*arguments: object) -> str:
    """Return what a verb prints; an error is raised as it is."""
    done = CliRunner().invoke(app, ["ledger", *map(str, arguments)], env={"COLUMNS": "100"}, catch_exceptions=False)
    if isinstance(done.exception, Exception):
        raise done.exception
    return str(done.stdout)


@pytest.fixture
def folder(world: Any) -> Path:
    """Return a ledger of two tenants, three hours, and a kill in the second."""
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.serve(ledger, meter, pool, 1800.0)
    world.serve(ledger, meter, pool, 600.0, world.asked(ledger, "bolt", tag="team-b"))
    world.now_s += 1200
    ledger.heartbeat()
    world.kill(ledger)
    world.now_s += 3600
    again = world.ledger()
    meter = world.meter(again, pool)
    world.serve(again, meter, pool, 3600.0)
    again.close()
    world.open.remove(again)
    return Path(world.folder)


def test_the_total_is_the_price_of_the_machines(folder: Path) -> None:
    said = json.loads(run("total", "--ledger", folder, "--by", "tenant", "--json"))
    assert said["usd"] == 1.8
    assert [(row["tenant"], row["requests"], row["usd"]) for row in said["charges"]] == [("acme", 2, 0.45), ("bolt", 1, 0.05)]
    (machines,) = said["machines"]
    assert machines | {"from": "", "to": ""} == {
        "machines": "small",
        "from": "",
        "to": "",
        "machine_hours": 3.0,
        "paid_usd": 1.8,
        "requests_usd": 0.5,
        "other_usd": 0.0,
        "idle_usd": 0.7,
        "unmetered_usd": 0.6,
    }


def test_idle_time_is_spread_by_use_where_that_is_asked_for(folder: Path) -> None:
    said = json.loads(run("total", "--ledger", folder, "--by", "tenant", "--idle", "spread", "--json"))
    assert [(row["tenant"], row["usd"]) for row in said["charges"]] == [("acme", 1.62), ("bolt", 0.18)]
    assert said["usd"] == 1.8


def test_hours_add_up_to_the_whole(folder: Path) -> None:
    said = json.loads(run("total", "--ledger", folder, "--by", "hour,class", "--json"))
    assert [(row["hour"], row["class"], row["usd"]) for row in said["charges"]] == [
        ("2026-10-21T12", "chat", 0.2),
        ("2026-10-21T14", "chat", 0.3),
    ]
    assert [row["paid_usd"] for row in said["machines"]] == [0.6, 0.6, 0.6]
    assert [row["unmetered_usd"] for row in said["machines"]] == [0.0, 0.6, 0.0]
    assert said["usd"] == 1.8


@pytest.mark.parametrize(
    ("since", "until", "usd"),
    [
        ("2026-10-21T12:30", "2026-10-21T13:30", 0.6),
        ("2026-10-21T12:20:00.5", "2026-10-21T12:20:01.5+00:00", 0.000166666),
        ("2026-10-21T15:30+02:00", "", 0.9),
        ("2026-10-21", "2026-10-21T12:06", 0.06),
    ],
)
def test_any_time_costs_what_the_machines_cost_in_it(folder: Path, since: str, until: str, usd: float) -> None:
    times = ["--from", since, *(["--to", until] if until else [])]
    assert json.loads(run("total", "--ledger", folder, *times, "--json"))["usd"] == usd


def test_the_sums_as_people_read_them(folder: Path) -> None:
    lines = [line.split() for line in run("total", "--ledger", folder, "--by", "tenant,tag").splitlines() if line]
    assert lines[0] == ["$1.8000", "from", "2026-10-21T12:00:00Z", "to", "2026-10-21T15:00:00Z"]
    assert lines[1:4] == [
        ["tenant", "tag", "requests", "tokens", "in", "tokens", "out", "machines", "in", "all"],
        ["acme", "team-a", "2", "14", "0", "$0.4500", "$0.4500"],
        ["bolt", "team-b", "1", "7", "0", "$0.0500", "$0.0500"],
    ]
    assert lines[5] == ["small", "3.00", "$1.8000", "$0.5000", "$0.7000", "$0.6000"]


def test_what_got_no_answer_is_counted_apart(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.serve(ledger, meter, pool, 60.0)
    for status in (429, 504):
        ledger.request(world.asked(ledger), None, status, ledger._clock())
    ledger.close()
    world.open.remove(ledger)
    (head, row, *_) = [line.split() for line in run("total", "--ledger", world.folder).splitlines()[2:] if line]
    assert head[:3] == ["requests", "no", "answer"]
    assert row[:2] == ["3", "2"]
    (said,) = json.loads(run("total", "--ledger", world.folder, "--json"))["charges"]
    assert (said["requests"], said["unanswered"]) == (3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "tenat"], "unknown column 'tenat'"),
        (["--from", "soon"], "--from is 'soon', expected a time"),
        (["--from", "2027-01-01"], "the ledger's end, 2026-10-21T15:00:00Z, is not after --from 2027-01-01"),
        (["--to", "2026-01-01"], "--to 2026-01-01 is not after its beginning, 2026-10-21T12:00:00Z"),
        (["--from", "2026-10-22", "--to", "2026-10-21"], "--to 2026-10-21 is not after --from 2026-10-22"),
    ],
)
def test_a_mistake_is_named(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run("total", "--ledger", folder, *arguments)


def test_where_no_ledger_is_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no ledger is here"):
        run("check", "--ledger", tmp_path)


# ------------------------------------------------------------------------------------------------------------------------- export


def test_the_exported_charges_add_up_to_the_total(folder: Path, tmp_path: Path) -> None:
    for form in ("parquet", "csv"):
        out = tmp_path / f"charges.{form}"
        assert run("export", "--ledger", folder, "--format", form, out) == f"wrote  {out}: 6 charges\n"
        table = duckdb.sql(f"FROM '{out}'")
        assert table.aggregate("sum(usd)::DECIMAL(18, 9)::VARCHAR").fetchall() == [("1.800000000",)]
        by_kind = table.aggregate("kind, sum(usd)::DOUBLE, count(*)").order("kind").fetchall()
        assert by_kind == [("idle", 0.7, 2), ("request", 0.5, 3), ("unmetered", 0.6, 1)]
    assert sorted(path.name for path in tmp_path.glob("charges*")) == ["charges.csv", "charges.parquet"]


def test_an_export_is_what_its_name_says_where_nothing_else_is_said(folder: Path, tmp_path: Path) -> None:
    run("export", "--ledger", folder, tmp_path / "charges.csv")
    assert len(list(csv.DictReader((tmp_path / "charges.csv").read_text().splitlines()))) == 6
    out = tmp_path / "charges.out"
    said = json.loads(run("export", "--ledger", folder, out, "--json"))
    assert said == {"wrote": str(out), "format": "parquet", "charges": 6}
    assert (tmp_path / "charges.out").read_bytes().startswith(b"PAR1")


def test_no_spreadsheet_takes_what_a_client_chose_for_a_formula(world: Any, tmp_path: Path) -> None:
    pool, ledger = world.pool(), world.ledger()
    world.serve(ledger, world.meter(ledger, pool), pool, 60.0, world.asked(ledger, tag="=1+1"))
    for form, tag in (("csv", "'=1+1"), ("parquet", "=1+1")):
        out = tmp_path / f"charges.{form}"
        run("export", "--ledger", world.folder, "--format", form, out)
        assert duckdb.sql(f"FROM '{out}'").filter("kind = 'request'").project("tag").fetchall() == [(tag,)]


def test_focus_states_every_cost_and_nothing_that_is_empty(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "focus.csv"
    run("export", "--ledger", folder, "--format", "focus", out)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert sum(round(float(row["EffectiveCost"]) * 1e9) for row in rows) == 180 * CENT
    mandatory = (
        "BilledCost BillingAccountId BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory ChargeDescription "
        "ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost PricingUnit ProviderName "
        "PublisherName ServiceCategory ServiceName"
    )
    assert not [(row, name) for row in rows for name in mandatory.split() if not row[name]]
    assert rows[0]["ChargeClass"] == ""
    first = next(row for row in rows if row["SubAccountId"] == "bolt")
    assert (first["ProviderName"], first["RegionId"], first["ResourceType"], first["SkuId"]) == (
        "AWS",
        "us-east-1",
        "c7i.large",
        "minilm",
    )
    assert (first["ChargePeriodStart"], first["ChargePeriodEnd"]) == ("2026-10-21T12:00:00Z", "2026-10-21T13:00:00Z")
    assert json.loads(first["Tags"]) == {"class": "chat", "tag": "team-b", "variant": "minilm-small"}


def test_focus_refuses_a_cost_that_is_not_known(world: Any, tmp_path: Path) -> None:
    pool, ledger = world.pool(usd_per_hour=None), world.ledger()
    world.serve(ledger, world.meter(ledger, pool), pool, 60.0)
    ledger.heartbeat()
    with pytest.raises(InputError, match="the price of 'small' is not known"):
        run("export", "--ledger", world.folder, "--format", "focus", tmp_path / "out" / "focus.csv")
    assert list((tmp_path / "out").iterdir()) == []
    run("export", "--ledger", world.folder, tmp_path / "charges.parquet")
    usd = duckdb.read_parquet(str(tmp_path / "charges.parquet")).project("kind, usd").order("kind").fetchall()
    assert usd == [("idle", None), ("other", None), ("request", None), ("unmetered", None)]


def test_an_export_that_can_not_be_written_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        run("export", "--ledger", folder, tmp_path / "file" / "charges.parquet")


# -------------------------------------------------------------------------------------------------------------------------- check


def test_a_whole_ledger_is_ok(folder: Path) -> None:
    assert run("check", "--ledger", folder).startswith("ok ")
    found = json.loads(run("check", "--ledger", folder, "--json"))
    assert (found["lines"] > 0, found["faults"]) == (True, [])


def test_a_fault_is_said_to_programs_too(folder: Path) -> None:
    said = faults(folder, lambda lines: [line for line in lines if line["seq"] != 2])
    done = CliRunner().invoke(app, ["ledger", "check", "--ledger", str(folder), "--json"])
    assert isinstance(done.exception, InputError)
    assert json.loads(done.stdout)["faults"] == said


def faults(folder: Path, edit: Any) -> list[str]:
    """Return what is found once the lines of the ledger were changed."""
    for path in folder.glob("*/*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(line) + "\n" for line in edit(lines)))
    with LedgerReader(folder) as reader:
        return [finding.what for finding in check(reader) if finding.fault]


def test_a_line_that_lacks_is_found(folder: Path) -> None:
    (found,) = faults(folder, lambda lines: [line for line in lines if line["seq"] != 2])
    assert found == "lines that lack of gateway 'one': 1"


def test_a_line_that_is_there_twice_is_found(folder: Path) -> None:
    (found,) = faults(folder, lambda lines: lines + [line for line in lines if line["seq"] == 1])
    assert found == "lines that are there twice of gateway 'one': 1"


def test_time_that_nobody_paid_is_found(folder: Path) -> None:
    found = faults(folder, lambda lines: [line for line in lines if not line.get("unmetered")])
    assert found[-1] == (
        "gateway 'one' did not count 'small' from 2026-10-21T13:00:00Z to 2026-10-21T14:00:00Z; it was not stopped"
    )


def test_another_price_is_found(folder: Path) -> None:
    def dearer(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [line | ({"nusd_per_hour": 7 * CENT} if line["kind"] == "machines" else {}) for line in lines]

    assert "'small' cost 600000000 nano-dollars or was split otherwise, expected 70000000" in faults(folder, dearer)[0]


def test_requests_that_are_charged_more_than_was_used_are_found(folder: Path) -> None:
    def dearer(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [line | ({"compute_nusd": 2 * line["compute_nusd"]} if line["kind"] == "request" else {}) for line in lines]

    assert faults(folder, dearer) == [
        "requests were charged 1000000000 nano-dollars for machines 'small', which were used for 500000000"
    ]


def test_gateways_that_let_requests_take_more_than_there_is_are_found(world: Any) -> None:
    pool = world.pool(upstream=object())
    ledgers = [world.ledger("one"), world.ledger("two")]
    meters = [world.meter(ledger, pool, capacity=0.0) for ledger in ledgers]
    uses = [meter.begin(0.0) for meter in meters]
    world.now_s += 60
    for ledger, meter, use in zip(ledgers, meters, uses, strict=True):
        meter.end(use, ledger._clock())
        ledger.heartbeat()
    with LedgerReader(world.folder) as reader:
        (found,) = check(reader)
    assert found.what.startswith("gateways that share the machines 'small' let requests take 10000000 nano-dollars more")
    assert found.fault


def test_torn_lines_are_forgiven_as_often_as_it_was_killed(folder: Path) -> None:
    (path,) = folder.glob("*/*T12.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"reque')
    assert "note  torn lines of gateway 'one': 1; times that it was killed: 1" in run("check", "--ledger", folder)
    path.write_bytes(whole + b'{"kind":"reque\n{"kind":"reque')
    with pytest.raises(InputError, match=r"faults in 13 lines: 1\n  torn lines of gateway 'one': 2"):
        run("check", "--ledger", folder)
