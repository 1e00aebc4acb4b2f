"""A real process that answers as fast as it can, killed in the midst of it, again and again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tightrope.serve.ledger.check import check
from tightrope.serve.ledger.cost_report import total
from tightrope.serve.ledger.reader import LedgerReader

WRITER = """
import os, sys, time
from pathlib import Path
from tightrope.serve.ledger import ledger as module
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.records import Call, Caller, Reply
from tightrope.serve.config.settings import ServedPool

module.HEARTBEAT_S = module.SYNC_S = 0.02
pool = ServedPool("small", "minilm", "v", usd_per_hour=36.0)
ledger = module.Ledger(Path(sys.argv[1]), "shop", gateway="one")
meter = MachineMeter(36.0, 1.0)
ledger.add_machines("small", meter, [pool])
ledger.start()
number = int(sys.argv[2])
while True:
    use = meter.begin(time.monotonic())
    call = Call(str(number), Caller("acme"), "embed", "minilm", ("x",), time.monotonic(), "chat")
    reply = Reply("small", "v", compute_nusd=meter.end(use, time.monotonic()))
    ledger.request(call, reply, 200, time.monotonic())
    os.write(1, b"%d\\n" % number)  # the answer
    number += 1
"""
ROUNDS = 4


def answered_until_killed(folder: Path, first: int, after_answers: int) -> int:
    """Return how many answers a process had given when it was killed, in the midst of giving more."""
    command = [sys.executable, "-c", WRITER, str(folder), str(first)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603 - the test's own
    assert process.stdout is not None
    read = b""
    deadline = time.monotonic() + 60
    while read.count(b"\n") < after_answers and time.monotonic() < deadline:
        read += os.read(process.stdout.fileno(), 65536)
    os.kill(process.pid, signal.SIGKILL)
    read += process.stdout.read()
    process.stdout.close()
    process.wait(timeout=30)
    whole = read[: read.rindex(b"\n")]
    return len(whole.splitlines())


def test_no_answered_request_is_lost_and_every_machine_second_is_paid(tmp_path: Path) -> None:
    answered = []
    for number in range(ROUNDS):
        first = sum(answered)
        answered.append(answered_until_killed(tmp_path, first, after_answers=500 + 700 * number))
        with LedgerReader(tmp_path) as reader:
            kept = {int(identity) for (identity,) in reader.rows("SELECT id FROM lines WHERE kind = 'request'")}
        assert kept >= set(range(first, first + answered[-1]))
    with LedgerReader(tmp_path) as reader:
        assert [finding for finding in check(reader) if finding.fault] == []
        starts = reader.rows("SELECT count(*) FROM lines WHERE kind = 'start'")[0][0]
        begins_ns, ends_ns = reader.rows("SELECT min(from_ns), max(to_ns) FROM lines WHERE kind = 'machines'")[0]
        assert starts == ROUNDS
        for part in range(1, 8):  # also of times that begin and end while no process was there
            from_ns, to_ns = (
                begins_ns + (ends_ns - begins_ns) * (part - 1) // 9,
                begins_ns + (ends_ns - begins_ns) * (part + 1) // 9,
            )
            assert total(reader, from_ns, to_ns).nusd == 36 * (to_ns - from_ns) // 3600
