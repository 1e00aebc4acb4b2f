import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from tightrope.base.errors import InputError
from tightrope.serve.ledger import journal
from tightrope.serve.ledger.check import check
from tightrope.serve.ledger.compaction import remove_empty
from tightrope.serve.ledger.journal import visiting
from tightrope.serve.ledger.reader import LedgerReader
from tightrope.serve.ledger.rows import Event

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
    with LedgerReader(world.folder) as reader:
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
    with LedgerReader(world.folder) as reader:
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
    with LedgerReader(world.folder) as reader:
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
    with LedgerReader(world.folder) as reader:
        ledger.pack()
        with pytest.raises(InputError, match="the ledger cannot be read"):
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


# ---------------------------------------------------------------------------------------------------------- folders of who is gone


def gone_for(world: Any, seconds: float) -> Any:
    """Spend something in a gateway that is killed; return one that is there so much later."""
    pool, gone = world.pool(), world.ledger("gone")
    busy_hours(world, gone, world.meter(gone, pool), pool)
    world.kill(gone)
    world.now_s += seconds
    return world.ledger("one")


def spent(ledger: Any) -> int:
    ledger.heartbeat()
    return ledger.spent_this_month("acme")


def test_the_folder_of_a_gateway_goes_when_nothing_is_kept_of_it(world: Any) -> None:
    there = gone_for(world, 399 * 86_400.0)
    there.pack()
    assert (world.folder / "gone").is_dir()
    world.now_s += 2 * 86_400.0
    there.pack()
    assert sorted(path.name for path in world.folder.iterdir()) == ["one"]
    there.pack()
    assert world.lines("one")[0]["kind"] == "start", "its own folder is never one of them"
    again = world.ledger("gone")
    assert [line["kind"] for line in world.lines("gone")] == ["start"]
    assert spent(again) == 0


def test_it_stays_while_its_totals_are_of_this_month(world: Any) -> None:
    there = gone_for(world, 2 * 86_400.0)
    there._kept_days = 1
    before = spent(there)
    assert before == 30 * CENT
    there.pack()
    assert names(world, "gone") == []
    assert spent(there) == before, "what it spent this month counts, though its hours are not kept"
    world.now_s += 9 * 86_400.0  # November
    there.heartbeat()
    there.pack()
    assert not (world.folder / "gone").exists()
    assert spent(there) == 0


def test_a_gateway_that_wrote_nothing_leaves_nothing(world: Any) -> None:
    (world.folder / "dead").mkdir(parents=True)
    (world.folder / "dead" / "lock").touch()
    (world.folder / "dead" / "checkpoint.json.part").touch()
    world.ledger("one").pack()
    assert not (world.folder / "dead").exists()


def test_a_folder_that_can_not_be_packed_keeps_no_other_from_it(
    world: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there = gone_for(world, 2 * 86_400.0)
    (world.folder / "broken" / "lock").mkdir(parents=True)
    monkeypatch.setattr(there._others, "folders", lambda: [world.folder / "broken", world.folder / "gone"])
    there.pack()
    assert {Path(name).suffix for name in names(world, "gone")} == {".parquet"}
    assert "broken could not be packed" in caplog.text


def test_what_is_not_the_ledgers_stays(world: Any) -> None:
    (world.folder / "dead").mkdir(parents=True)
    for name in ("lock", "notes.txt"):
        (world.folder / "dead" / name).touch()
    world.ledger("one").pack()
    assert sorted(path.name for path in (world.folder / "dead").iterdir()) == ["checkpoint.json", "lock", "notes.txt"]


def test_who_waits_for_a_folder_that_is_removed_has_it_anew(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there, took = gone_for(world, 401 * 86_400.0), journal.claimed
    removed: list[str] = []

    def claimed(fd: int, patience_s: float = 0.0) -> bool:
        if not removed:  # it has opened the lock, and does not have it yet
            removed.append("gone")
            there.pack()
            assert not (world.folder / "gone").exists()
        return took(fd, patience_s)

    monkeypatch.setattr(journal, "claimed", claimed)
    again = world.ledger("gone")
    assert removed
    assert [line["kind"] for line in world.lines("gone")] == ["start"]
    with visiting(world.folder / "gone") as gone:
        assert not gone, "it has the lock that is there"
    there.pack()
    assert journal.is_at(again._journal._claim, world.folder / "gone" / "lock")


def test_who_visits_a_folder_that_is_removed_leaves_the_new_one_alone(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there, other, took = gone_for(world, 401 * 86_400.0), world.ledger("two"), journal.claimed
    removed: list[str] = []

    def claimed(fd: int, patience_s: float = 0.0) -> bool:
        if not removed:
            removed.append("gone")
            there.pack()
            world.ledger("gone")
        return took(fd, patience_s)

    monkeypatch.setattr(journal, "claimed", claimed)
    with visiting(world.folder / "gone") as gone:
        assert removed
        assert not gone
    monkeypatch.undo()
    other.pack()
    assert [line["kind"] for line in world.lines("gone")] == ["start"], "its open hour is not packed"
    with visiting(world.folder / "never") as gone:
        assert not gone


def write_a_line(folder: Path, writing: threading.Lock) -> str:
    """Begin and end as a gateway, and take the line away again; return what went wrong."""
    found = journal.Journal(folder)
    alone = writing.acquire(blocking=False)
    found.append(0, [Event("start", 0, 0)])
    file = folder / f"{found.hour}.jsonl"
    there = file.exists()
    file.unlink(missing_ok=True)
    if alone:
        writing.release()
    found.close()
    return "" if alone and there else f"wrote alone: {alone}, its line is there: {there}"


def test_many_begin_and_remove_at_the_same_time(tmp_path: Path) -> None:
    folder, writing, wrong, done = tmp_path / "ledger" / "pod", threading.Lock(), set(), threading.Event()

    def begin() -> None:
        for _ in range(50):
            with contextlib.suppress(InputError):  # where the other one writes
                wrong.add(write_a_line(folder, writing))

    def remove() -> None:
        while not done.is_set():
            with visiting(folder) as gone:
                if gone:
                    remove_empty(folder)

    others, remover = [threading.Thread(target=begin) for _ in range(2)], threading.Thread(target=remove)
    for thread in (*others, remover):
        thread.start()
    for thread in others:
        thread.join(60)
    done.set()
    remover.join(60)
    assert wrong == {""}
