import threading
from typing import Any

import pytest

from tightrope.base.errors import InputError
from tightrope.serve.ledger.check import check
from tightrope.serve.ledger.journal import visiting
from tightrope.serve.ledger.read import Reader

CENT = 10_000_000


def busy_hours(world: Any, ledger: Any, meter: Any, pool: Any, hours: int = 2) -> None:
    """Serve a request each half hour."""
    for _ in range(2 * hours):
        world.serve(ledger, meter, pool, busy_s=900.0)
        world.now_s += 900
        ledger.heartbeat()


def names(world: Any, gateway: str = "one") -> list[str]:
    return sorted(path.name for path in (world.folder / gateway).glob("20*"))


def test_hours_that_ended_are_packed_and_say_the_same(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    busy_hours(world, ledger, meter, pool)
    before, spread = world.total(("hour", "tenant", "tag")), world.total(("pool",), spread=True)
    assert names(world) == ["2026-10-21T12.jsonl", "2026-10-21T13.jsonl", "2026-10-21T14.jsonl"]
    ledger.pack()
    assert names(world) == ["2026-10-21T12.parquet", "2026-10-21T13.parquet", "2026-10-21T14.jsonl"]
    assert world.total(("hour", "tenant", "tag")) == before
    assert world.total(("pool",), spread=True) == spread
    assert before.nusd == 120 * CENT
    with Reader(world.folder) as reader:
        assert check(reader) == []
        assert reader.rows("SELECT count(*) FROM lines WHERE tenant IS NULL OR pools IS NULL AND kind = 'machines'") == [(0,)]


def test_while_an_hour_is_there_twice_it_counts_once(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    busy_hours(world, ledger, world.meter(ledger, pool), pool)
    path = world.folder / "one" / "2026-10-21T12.jsonl"
    lines = path.read_bytes()
    ledger.pack()
    path.write_bytes(lines)
    assert world.total().nusd == 120 * CENT
    with Reader(world.folder) as reader:
        assert check(reader) == []
    ledger.pack()
    assert not path.exists()
    assert world.total().nusd == 120 * CENT


def test_packing_keeps_the_knowledge_of_a_torn_line(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    busy_hours(world, ledger, world.meter(ledger, pool), pool)
    with (world.folder / "one" / "2026-10-21T12.jsonl").open("ab") as file:
        file.write(b'{"kind":"reque')
    ledger.pack()
    with Reader(world.folder) as reader:
        assert reader.rows("SELECT kind, count(*) FROM lines WHERE kind = 'torn' GROUP BY kind") == [("torn", 1)]
        assert [finding.what for finding in check(reader)] == ["torn lines of gateway 'one': 1; times that it was killed: 1"]


@pytest.mark.parametrize("lost", [b"", b"{", None])
def test_totals_that_are_lost_are_read_from_packed_hours(world: Any, lost: bytes | None) -> None:
    pool, ledger = world.pool(), world.ledger()
    busy_hours(world, ledger, world.meter(ledger, pool), pool)
    ledger.pack()
    spent, cost, lines = ledger.spent_this_month("acme"), ledger.month_to_date("small"), ledger._journal.seq
    world.kill(ledger)
    checkpoint = world.folder / "one" / "checkpoint.json"
    if lost is None:
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(lost)
    again = world.ledger()
    again.add_pools([pool])
    assert again.month_to_date("small") is None  # not known before the first heartbeat
    again.heartbeat()
    assert (again.spent_this_month("acme"), again.month_to_date("small")) == (spent, cost)
    assert again._journal.seq == lines + 1


def test_hours_of_a_gateway_that_is_gone_are_packed_by_another(world: Any) -> None:
    pool, gone = world.pool(), world.ledger("gone")
    busy_hours(world, gone, world.meter(gone, pool), pool)
    world.serve(gone, gone._fleets[0].meter, pool, busy_s=60.0)  # after its last heartbeat
    world.kill(gone)
    before = world.total()
    world.ledger("one").pack()
    assert names(world, "gone") == [f"2026-10-21T{hour}.parquet" for hour in (12, 13, 14)]
    assert world.total() == before
    assert world.ledger("two").spent_this_month("acme") == 0  # it has not read the others yet
    world.open[-1].heartbeat()
    assert world.open[-1].spent_this_month("acme") == before.charges[0].nusd


def test_a_gateway_that_is_there_packs_its_own(world: Any) -> None:
    pool, other = world.pool(), world.ledger("other")
    busy_hours(world, other, world.meter(other, pool), pool)
    world.ledger("one").pack()
    assert all(name.endswith(".jsonl") for name in names(world, "other"))


def test_a_gateway_that_is_back_waits_until_another_has_packed(world: Any) -> None:
    world.kill(world.ledger("gone"))
    lines = world.lines("gone")
    began, let_go = threading.Event(), threading.Event()

    def pack() -> None:
        with visiting(world.folder / "gone") as gone:
            assert gone
            began.set()
            assert let_go.wait(30)

    packer = threading.Thread(target=pack)
    packer.start()
    assert began.wait(30)
    threading.Timer(0.1, let_go.set).start()
    world.ledger("gone")
    assert let_go.is_set()
    packer.join(30)
    assert [line["kind"] for line in world.lines("gone")] == [*(line["kind"] for line in lines), "start"]


def test_hours_older_than_is_kept_are_removed(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    busy_hours(world, ledger, world.meter(ledger, pool), pool)
    ledger.pack()
    world.now_s += 400 * 86400
    ledger.heartbeat()
    ledger.pack()
    assert [name for name in names(world) if name < "2027"] == ["2026-10-21T14.parquet"]


def test_an_hour_that_is_packed_while_it_is_read_is_said(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    busy_hours(world, ledger, world.meter(ledger, pool), pool)
    with Reader(world.folder) as reader:
        ledger.pack()
        with pytest.raises(InputError, match="the ledger can not be read"):
            reader.rows("SELECT count(*) FROM lines")


def test_an_hour_of_which_nothing_is_written_yet_is_read(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    busy_hours(world, ledger, world.meter(ledger, pool), pool)
    (world.folder / "one" / "2026-10-21T11.jsonl").touch()
    (world.folder / "one" / "2026-10-21T15.jsonl").touch()
    assert world.total().nusd == 120 * CENT
    ledger.pack()
    assert world.total().nusd == 120 * CENT
    assert names(world)[0] == "2026-10-21T12.parquet"
