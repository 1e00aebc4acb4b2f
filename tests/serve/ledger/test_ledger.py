import json
import os
from pathlib import Path
from typing import Any

import pytest

from tightrope.base.errors import InputError
from tightrope.serve.ledger import journal
from tightrope.serve.ledger.check import check
from tightrope.serve.ledger.ledger import Ledger
from tightrope.serve.ledger.reader import LedgerReader
from tightrope.serve.records import Call, Caller, Reply
from tightrope.serve.refusals import Unavailable

CENT = 10_000_000


def test_a_request_is_in_the_file_before_the_answer_goes(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.serve(ledger, meter, pool, busy_s=60.0)
    start, machines, line = world.lines()
    assert (start["kind"], start["what"]) == ("start", "shop")
    assert (machines["meter"], machines["paid_nusd"]) == ("small", 0)
    assert line == {
        "kind": "request",
        "seq": 3,
        "at_ns": int((world.noon_s + 60) * 1e9),
        "id": "req-1",
        "compute_nusd": CENT // 2,
        "saved_nusd": 0,
        "status": 200,
        "tenant": "acme",
        "key": "key-1",
        "class": "chat",
        "tag": "team-a",
        "model": "minilm",
        "pool": "small",
        "variant": "minilm-small",
        "replica": "r1",
        "machine": "c7i.large",
        "offer": "on-demand",
        "cloud": "aws",
        "region": "us-east-1",
        "tokens_in": 7,
        "machine_ms": 30_000.0,
        "wait_ms": 0.0,
        "service_ms": 0.0,
        "total_ms": 60_000.0,
    }


def test_nothing_of_a_question_an_answer_or_a_key_is_written(world: Any) -> None:
    ledger = world.ledger()
    secret = "hush-5f2c"  # noqa: S105 - of the test
    call = Call(
        "req-1",
        Caller("acme", "key-1"),
        "chat",
        f"no such model {secret}",
        (secret,),
        ledger._clock(),
        body=f'{{"messages": "{secret}"}}'.encode(),
        parameters={"user": secret, "authorization": f"Bearer {secret}"},
        session=secret,
    )
    ledger.request(call, None, 404, ledger._clock())
    call.model = "minilm"
    ledger.request(call, Reply("small", "v", outputs=(secret.encode(),)), 200, ledger._clock())
    ledger.heartbeat()
    written = b"".join(path.read_bytes() for path in world.folder.rglob("*") if path.is_file())
    assert b"req-1" in written
    assert secret.encode() not in written


def test_what_a_client_chooses_itself_is_cut(world: Any) -> None:
    ledger = world.ledger()
    call = world.asked(ledger, tag="t" * 1000)
    call.identity = "i" * 1000
    ledger.request(call, None, 429, ledger._clock())
    line = world.lines()[-1]
    assert (len(line["tag"]), len(line["id"])) == (64, 64)


def test_the_small_models_part_of_a_cascade_is_a_line_of_its_own(world: Any) -> None:
    ledger = world.ledger()
    first = Reply("small", "v-small", compute_nusd=100)
    reply = Reply("large", "v-large", compute_nusd=900, tokens_nusd=7, escalated_from=first)
    ledger.request(world.asked(ledger), reply, 200, ledger._clock())
    large, small = world.lines()[-2:]
    assert [(line["kind"], line["pool"], line["compute_nusd"]) for line in (large, small)] == [
        ("request", "large", 900),
        ("escalated", "small", 100),
    ]
    assert large["id"] == small["id"]
    assert ledger.spent_this_month("acme") == reply.nusd == 1007
    (charge,) = world.total(since_s=world.now_s - 1).charges
    assert (charge.requests, charge.nusd) == (1, 1007)


@pytest.mark.parametrize("how", ["answered", "failed", "went"])
def test_an_attempt_that_came_to_nothing_is_charged_where_it_was_made_and_once(world: Any, how: str) -> None:
    ledger = world.ledger()
    pools = [world.pool("small"), world.pool("large")]
    meters = [world.meter(ledger, pool) for pool in pools]
    call = world.asked(ledger)
    use = meters[0].begin(ledger._clock())
    world.now_s += 60
    lost = Reply("small", "minilm-small", compute_nusd=meters[0].end(use, ledger._clock()), machine_s=use.machine_s)
    if how != "went":
        call.lost.append(lost)
    if how == "answered":
        world.serve(ledger, meters[1], pools[1], 60.0, call)
    else:
        ledger.request(call, None, 502, ledger._clock())
    if how == "went":  # and what ran for it ended later
        ledger.late(call, lost, 499, ledger._clock())
    ledger.heartbeat()
    spent = world.total(["pool"])
    charged = {charge.key[0]: (charge.requests, charge.compute_nusd) for charge in spent.charges}
    assert charged == {"small": (0, 5_000_000)} | ({"large": (1, 5_000_000)} if how == "answered" else {"": (1, 0)})
    assert spent.nusd == sum(row.paid_nusd or 0 for row in spent.machines) > 0
    assert ledger.spent_this_month("acme") == (10_000_000 if how == "answered" else 5_000_000)
    with LedgerReader(world.folder) as reader:
        assert check(reader) == []


def test_machines_cost_their_price_from_the_first_line_to_the_last(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.now_s += 12
    ledger.heartbeat()
    world.serve(ledger, meter, pool, busy_s=24.0)
    meter.resize(ledger._clock(), 3.0, 6.0)
    world.now_s += 24
    ledger.heartbeat()
    lines = [line for line in world.lines() if line["kind"] == "machines"]
    assert [(line["machines_e6"], line["paid_nusd"], line["used_nusd"], line["idle_nusd"]) for line in lines] == [
        (1_000_000, 0, 0, 0),
        (1_000_000, 2_000_000, 0, 2_000_000),
        (1_000_000, 4_000_000, 2_000_000, 2_000_000),
        (3_000_000, 0, 0, 0),  # so that it is known what there is where a kill comes next
        (3_000_000, 12_000_000, 0, 12_000_000),
    ]
    assert [line["to_ns"] for line in lines[:-1]] == [line["from_ns"] for line in lines[1:]]
    assert ledger.month_to_date("small") == 18_000_000


def test_machines_that_change_twice_at_one_instant_cost_what_the_last_change_says(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.now_s += 60
    for machines in (5.0, 4.0, 3.0):
        meter.resize(ledger._clock(), machines, machines)
    world.now_s += 60
    ledger.heartbeat()
    assert world.total().nusd == ledger.month_to_date("small") == 4 * CENT


def test_a_price_that_is_not_known_is_null_and_never_nothing(world: Any) -> None:
    pool, ledger = world.pool(usd_per_hour=None), world.ledger()
    world.serve(ledger, world.meter(ledger, pool), pool, busy_s=60.0)
    ledger.heartbeat()
    request, machines = world.lines()[-2:]
    assert request["compute_nusd"] is None
    assert [machines[name] for name in ("nusd_per_hour", "paid_nusd", "used_nusd", "idle_nusd")] == [None] * 4
    assert (request["machine_ms"], machines["used_s"]) == (30_000.0, 30.0)
    assert ledger.month_to_date("small") is None
    assert ledger.usd_per_1000_requests("chat") is None
    total = world.total()
    assert not total.complete
    assert total.charges[0].unpriced == 1
    assert (total.machines[0].paid_nusd, total.machines[0].idle_nusd) == (None, None)


def test_after_a_kill_the_time_until_it_is_back_is_paid_and_unmetered(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.now_s += 60
    ledger.heartbeat()
    world.serve(ledger, meter, pool, busy_s=4.0)
    world.kill(ledger)
    world.now_s += 7196
    again = world.ledger()
    world.meter(again, pool)
    world.now_s += 60
    again.heartbeat()
    (unmetered,) = [line for line in world.lines() if line.get("unmetered")]
    assert unmetered["paid_nusd"] == 7200 * CENT // 60
    assert unmetered["used_nusd"] == 2 * CENT // 60
    assert again.month_to_date("small") == 122 * CENT
    assert again.spent_this_month("acme") == 2 * CENT // 60
    assert [line["seq"] for line in world.lines()] == list(range(1, len(world.lines()) + 1))
    total = world.total()
    assert total.nusd == 122 * CENT
    (row,) = total.machines
    assert (row.paid_nusd, row.unmetered_nusd, row.other_nusd) == (122 * CENT, 7200 * CENT // 60 - 2 * CENT // 60, 0)
    assert world.total(until_s=world.noon_s + 3600).nusd == 60 * CENT


@pytest.mark.parametrize(("away_s", "minutes"), [(1800, 32), (7200, 2)])
def test_after_a_stop_machines_go_on_for_an_hour(world: Any, away_s: int, minutes: int) -> None:
    pool, ledger = world.pool(), world.ledger()
    world.meter(ledger, pool)
    world.now_s += 60
    ledger.close()
    world.open.remove(ledger)
    world.now_s += away_s
    again = world.ledger()
    world.meter(again, pool)
    world.now_s += 60
    again.heartbeat()
    assert again.month_to_date("small") == minutes * CENT
    assert world.total().nusd == minutes * CENT


def test_a_torn_line_is_passed_over_and_the_sequence_goes_on(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    world.serve(ledger, world.meter(ledger, pool), pool, busy_s=1.0)
    world.kill(ledger)
    (path,) = (world.folder / "one").glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:50])
    again = world.ledger()
    lines = path.read_bytes().splitlines()
    assert json.loads(lines[2])["seq"] == 3
    assert lines[3] == whole.splitlines()[-1][:50]
    assert json.loads(lines[4]) == {"kind": "start", "seq": 4, "at_ns": int(world.now_s * 1e9), "what": "shop"}
    assert again.spent_this_month("acme") > 0


def test_two_may_not_write_under_one_name(world: Any) -> None:
    world.ledger("one")
    world.ledger("two")
    with pytest.raises(InputError, match="another gateway on this machine"):
        world.ledger("one")


def test_machines_that_two_gateways_count_are_paid_once(world: Any) -> None:
    pool = world.pool(upstream=object())
    ledgers = [world.ledger("one"), world.ledger("two")]
    meters = [world.meter(ledger, pool) for ledger in ledgers]
    for ledger, meter in zip(ledgers, meters, strict=True):
        world.serve(ledger, meter, pool, busy_s=60.0)
    for _ in range(2):  # the second reads what the first has written only then
        for ledger in ledgers:
            ledger.heartbeat()
    assert [ledger.spent_this_month("acme") for ledger in ledgers] == [CENT, CENT]
    assert [ledger.month_to_date("small") for ledger in ledgers] == [2 * CENT, 2 * CENT]
    total = world.total()
    assert total.nusd == 2 * CENT
    assert total.charges[0].compute_nusd == CENT
    assert total.machines[0].idle_nusd == CENT
    assert total.machines[0].machine_hours == pytest.approx(2 / 60)


def test_each_gateways_own_machines_are_added(world: Any) -> None:
    pool = world.pool()
    ledgers = [world.ledger("one"), world.ledger("two")]
    for ledger in ledgers:
        world.meter(ledger, pool)
    world.now_s += 60
    for _ in range(2):
        for ledger in ledgers:
            ledger.heartbeat()
    assert [ledger.month_to_date("small") for ledger in ledgers] == [2 * CENT, 2 * CENT]
    assert world.total().nusd == 2 * CENT


def test_machines_of_several_pools_are_split_by_use(world: Any) -> None:
    pools, ledger = [world.pool("small"), world.pool("large")], world.ledger()
    meter = world.meter(ledger, pools[0])
    ledger._fleets.clear()
    ledger.add_machines("all", meter, pools)
    world.serve(ledger, meter, pools[0], busy_s=15.0)
    world.serve(ledger, meter, pools[1], busy_s=45.0)
    ledger.heartbeat()
    assert [ledger.month_to_date(name) for name in ("small", "large")] == [CENT // 4, CENT // 4 * 3]
    spread = world.total(("pool",), spread=True)
    assert [(charge.key, charge.nusd) for charge in spread.charges] == [(("large",), CENT // 4 * 3), (("small",), CENT // 4)]
    assert spread.nusd == CENT


def test_a_new_month_begins_at_nothing(world: Any) -> None:
    world.now_s = 1_793_491_140.0  # a minute before November
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.serve(ledger, meter, pool, busy_s=30.0)
    assert ledger.spent_this_month("acme") == CENT // 4
    world.now_s += 60
    ledger.heartbeat()
    assert ledger.spent_this_month("acme") == 0
    assert ledger.month_to_date("small") == CENT // 2


def test_the_price_of_a_thousand_requests_is_of_the_last_hour(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.serve(ledger, meter, pool, busy_s=600.0)
    assert ledger.usd_per_1000_requests("chat") == pytest.approx(50.0)
    world.now_s += 3600
    world.serve(ledger, meter, pool, busy_s=60.0)
    assert ledger.usd_per_1000_requests("chat") == pytest.approx(5.0)
    assert ledger.usd_per_1000_requests("other") is None


def test_a_notice_is_written_by_the_first_gateway_that_hears_it(world: Any) -> None:
    one, two = world.ledger("one"), world.ledger("two")
    assert one.notice("small", "r1", "event/7")
    assert not two.notice("small", "r1", "event/7")
    assert two.notice("small", "r1", "event/8")
    assert [line["id"] for line in world.lines("one") + world.lines("two") if line["kind"] == "notice"] == ["event/7", "event/8"]


def test_a_budget_that_is_used_up_is_written_once_a_month_by_whichever_gateway_sees_it_first(world: Any) -> None:
    one, two, pool = world.ledger("one"), world.ledger("two"), world.pool()
    world.serve(one, world.meter(one, pool), pool, 60.0)
    for ledger in (one, one, two):
        ledger.used_up("acme")
    one.used_up("other")
    assert [(row["tenant"], row.get("nusd", 0)) for row in world.lines("one") if row["kind"] == "budget"] == [
        ("acme", 5_000_000),
        ("other", 0),
    ]
    assert [row for row in world.lines("two") if row["kind"] == "budget"] == []
    world.now_s += 31 * 86_400
    two.used_up("acme")
    assert [row["what"] for row in world.lines("two") if row["kind"] == "budget"] == ["used up"]


def test_time_that_the_machine_slept_is_unmetered(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    slept = 0.0
    ledger._utc_ns = lambda: int((world.now_s + slept) * 1e9)
    world.meter(ledger, pool)
    world.now_s += 60
    slept = 3600.0
    ledger.heartbeat()
    world.now_s += 60
    ledger.heartbeat()
    (line,) = [line for line in world.lines() if line.get("unmetered")]
    assert line["paid_nusd"] == 60 * CENT
    assert ledger.month_to_date("small") == 62 * CENT


def test_of_a_longer_sleep_nothing_is_known(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    slept = 0.0
    ledger._utc_ns = lambda: int((world.now_s + slept) * 1e9)
    world.meter(ledger, pool)
    world.now_s += 60
    slept = 7200.0
    ledger.heartbeat()
    world.now_s += 60
    ledger.heartbeat()
    assert ledger.month_to_date("small") == 2 * CENT
    with LedgerReader(world.folder) as reader:
        (found,) = check(reader)
    assert found.what.startswith(
        "gateway 'one' did not count 'small' from 2026-10-21T12:01:00Z to 2026-10-21T14:01:00Z; it was stopped"
    )
    assert not found.fault


def test_a_clock_that_is_set_back_does_not_pay_machines_twice(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    world.meter(ledger, pool)
    world.now_s += 600
    ledger.close()
    world.open.remove(ledger)
    world.now_s -= 60
    again = world.ledger()
    world.meter(again, pool)
    world.now_s += 120
    again.heartbeat()
    assert again.month_to_date("small") == 12 * CENT
    with LedgerReader(world.folder) as reader:
        assert check(reader) == []


@pytest.mark.parametrize("ahead_s", [2 * 3600, 40 * 86_400], ids=["hours", "weeks"])
@pytest.mark.parametrize("restarted", [False, True], ids=["runs-on", "restarted"])
def test_a_clock_that_was_far_ahead_once_takes_nothing_from_what_was_spent(world: Any, ahead_s: int, restarted: bool) -> None:
    pool, ledger = world.pool(), world.ledger()
    meter = world.meter(ledger, pool)
    world.serve(ledger, meter, pool, 60.0)
    world.now_s, world.ahead_s = world.now_s + 10, ahead_s
    ledger.heartbeat()
    world.serve(ledger, meter, pool, 60.0)
    world.ahead_s = 0
    for _ in range(2):  # what was written ahead is there each time that it begins
        if restarted:
            world.close(ledger)
            ledger = world.ledger()
            meter = world.meter(ledger, pool)
        ledger.heartbeat()
        world.serve(ledger, meter, pool, 60.0)
    ledger.heartbeat()
    spent = ledger.spent_this_month("acme")
    assert spent == sum(charge.nusd for charge in world.total().charges) == 3 * 5_000_000
    assert ledger._journal.hour == "2026-10-21T12"
    assert world.total().nusd == 250 * CENT // 60
    two = world.ledger("two")
    two.heartbeat()
    assert two.spent_this_month("acme") == spent
    with LedgerReader(world.folder) as reader:
        assert reader.rows("SELECT count(*) - count(DISTINCT seq) FROM lines WHERE gateway = 'one'") == [(0,)]


def test_an_hour_that_was_written_while_the_clock_was_ahead_is_paid_once_when_it_comes(world: Any) -> None:
    pool, ledger = world.pool(), world.ledger()
    world.meter(ledger, pool)
    for ahead_s, passed_s in ((7200, 1800), *[(0, 2400)] * 4):  # it is set right after half an hour
        world.ahead_s = ahead_s
        ledger.heartbeat()
        world.now_s += passed_s
        ledger.heartbeat()
    assert world.total().nusd == ledger.month_to_date("small") == 190 * CENT


def test_a_great_fleet_of_dear_machines_is_written_down_too(world: Any) -> None:
    pool, ledger = world.pool(usd_per_hour=98.32), world.ledger()
    world.meter(ledger, pool, machines=5000.0)
    world.now_s += 3600
    ledger.heartbeat()
    assert ledger.month_to_date("small") == 5000 * 98_320_000_000
    assert world.total().nusd == 5000 * 98_320_000_000
    world.kill(ledger)
    again = world.ledger()
    again.add_pools([pool])
    again.heartbeat()
    assert again.month_to_date("small") == 5000 * 98_320_000_000


def test_gateways_of_earlier_months_are_forgotten_and_of_this_one_summed_once_a_heartbeat(world: Any) -> None:
    pool = world.pool()
    for name in ("old", "new"):
        if name == "new":
            world.now_s += 31 * 86_400
        ledger = world.ledger(name)
        world.serve(ledger, world.meter(ledger, pool), pool, 60.0)
        ledger.heartbeat()
        os.utime(world.folder / name / "checkpoint.json", (world.now_s, world.now_s))
    here = world.ledger("here")
    here.heartbeat()
    assert len(here._others.totals) == 1
    assert here.spent_this_month("acme") == 5_000_000
    world.now_s += 31 * 86_400
    assert here.spent_this_month("acme") == 0


def test_what_a_full_disk_does_not_take_waits_and_then_stops_answers(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, pool = world.ledger(), world.pool()
    meter = world.meter(ledger, pool)
    world.serve(ledger, meter, pool, 1.0)
    line = len(json.dumps(world.lines()[-1], separators=(",", ":"))) + 1
    write, room = os.write, 100

    def full(fd: int, data: bytes) -> int:
        nonlocal room
        taken = data[:room]
        room -= len(taken)
        if not taken:
            raise OSError(28, "No space left on device")
        return write(fd, taken)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "write", full)
        patch.setattr(journal, "MOST_HELD_BYTES", 4 * line)
        for _ in range(4):
            world.serve(ledger, meter, pool, 1.0)
        ledger.check_room()
        with pytest.raises(Unavailable):
            world.serve(ledger, meter, pool, 1.0)
        with pytest.raises(Unavailable):
            ledger.check_room()
        held = ledger._journal.held
        for _ in range(9):
            ledger.request(world.asked(ledger), None, 503, ledger._clock())  # a refusal costs nothing: memory does not grow by it
        assert ledger._journal.held == held
        meter.resize(ledger._clock(), 2.0, 2.0)  # machines come all the same, and are paid for once
        world.now_s += 10
    ledger.heartbeat()
    ledger.check_room()
    lines = world.lines()
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    spent = world.total()
    assert spent.nusd == sum(row.paid_nusd or 0 for row in spent.machines) > 0
    with LedgerReader(world.folder) as reader:
        assert check(reader) == []


def test_hours_that_no_file_could_be_begun_for_are_counted_all_the_same(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, pool = world.ledger(), world.pool()
    meter = world.meter(ledger, pool)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "open", full)
        for _ in range(4):
            world.now_s += 3600
            world.serve(ledger, meter, pool, 60.0)
    ledger.heartbeat()
    for hour in range(1, 5):
        spent = world.total(since_s=world.noon_s + 3600 * hour, until_s=world.noon_s + 3600 * (hour + 1))
        assert [charge.requests for charge in spent.charges] == [1]


def test_what_the_disk_never_takes_is_said_when_it_ends(
    world: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = world.ledger()
    world.open.remove(ledger)

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "write", full)
        ledger.request(world.asked(ledger), None, 429, ledger._clock())
        ledger.close()
    assert "2 lines of the ledger" in caplog.text
    ledger._journal.append(0, ())  # nothing of what comes later goes into a file that is another's by now


def test_what_a_gateway_spent_just_before_it_was_killed_counts_once_it_is_known_to_be_gone(world: Any) -> None:
    one, two = world.ledger("one"), world.ledger("two")
    pool = world.pool()
    meter = world.meter(one, pool)
    one.heartbeat()
    world.serve(one, meter, pool, 60.0)
    os.utime(world.folder / "one" / "checkpoint.json", (world.now_s, world.now_s))
    world.kill(one)
    two.heartbeat()
    assert two.spent_this_month("acme") == 0
    world.now_s += 70
    two.heartbeat()
    assert two.spent_this_month("acme") == 5_000_000


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the ledger cannot be written: Not a directory") as error:
        Ledger(tmp_path / "file" / "ledger", "shop")
    assert error.value.where is not None


def test_while_one_of_two_gateways_is_gone_the_other_counts(world: Any) -> None:
    pool = world.pool(upstream=object())
    gone, there = world.ledger("gone"), world.ledger("there")
    meters = [world.meter(ledger, pool) for ledger in (gone, there)]
    for ledger in (gone, there):
        ledger.heartbeat()
    world.serve(gone, meters[0], pool, busy_s=60.0)
    world.kill(gone)
    world.serve(there, meters[1], pool, busy_s=60.0)
    world.meter(world.ledger("gone"), pool)
    there.heartbeat()
    total = world.total()
    (row,) = total.machines
    assert (row.paid_nusd, row.requests_nusd, row.other_nusd) == (2 * CENT, CENT, 0)
    assert (row.idle_nusd, row.unmetered_nusd) == (CENT, 0)
    assert total.nusd == 2 * CENT
