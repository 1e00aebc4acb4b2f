"""Whether a ledger can be trusted: every line there, and each machine paid at its price for all of the time."""

from collections.abc import Iterator
from dataclasses import dataclass

from tightrope.serve.ledger.cost_report import total
from tightrope.serve.ledger.journal import utc
from tightrope.serve.ledger.meter import MACHINE_HOUR
from tightrope.serve.ledger.reader import LedgerReader
from tightrope.serve.ledger.rows import COSTS

GAPS = """
SELECT gateway, max(seq) - min(seq) + 1 - count(DISTINCT seq), count(seq) - count(DISTINCT seq)
FROM lines WHERE kind <> 'torn' GROUP BY gateway ORDER BY gateway
"""
TORN = """
SELECT gateway, count(*) FILTER (kind = 'torn') AS torn, count(*) FILTER (kind = 'start') - count(*) FILTER (kind = 'stop') AS killed
FROM lines GROUP BY gateway HAVING torn > 0 ORDER BY gateway
"""
BETWEEN = """
WITH machines AS (FROM lines WHERE kind = 'machines'),
line AS (SELECT *, lag(to_ns) OVER (PARTITION BY gateway, meter ORDER BY from_ns, to_ns, seq) AS before FROM machines)
SELECT gateway, meter, before, from_ns, EXISTS (FROM lines AS stop WHERE stop.kind = 'stop' AND stop.gateway = line.gateway
  AND stop.at_ns BETWEEN line.before AND line.from_ns) AS stopped
FROM line WHERE before <> from_ns ORDER BY from_ns
"""
PRICED = f"""
SELECT gateway, meter, seq, paid_nusd, nusd_per_hour::HUGEINT * machines_e6 * (to_ns - from_ns) // {MACHINE_HOUR} AS price_nusd
FROM lines WHERE kind = 'machines' AND (abs(paid_nusd - price_nusd) > 1
  OR used_nusd NOT BETWEEN 0 AND paid_nusd + 1 OR idle_nusd <> paid_nusd - used_nusd) ORDER BY gateway, seq
"""
"""Sums are rounded down to the nano-dollar from line to line, so that one line is up to one off."""
CHARGED = f"""
WITH machines AS (FROM lines WHERE kind = 'machines'),
homes AS (SELECT DISTINCT meter, unnest(pools) AS pool FROM machines),
used AS (SELECT meter, sum(used_nusd) AS used, max(to_ns) AS upto FROM machines GROUP BY meter),
charged AS (
  SELECT coalesce(meter, '') AS meter, sum(compute_nusd) AS charged, count(*) AS requests
  FROM (SELECT pool, compute_nusd, at_ns FROM lines WHERE {COSTS})
  LEFT JOIN homes USING (pool) LEFT JOIN used USING (meter) WHERE upto IS NULL OR at_ns <= upto GROUP BY ALL)
SELECT meter, charged, coalesce(used, 0) FROM charged LEFT JOIN used USING (meter) WHERE charged > coalesce(used, 0) + requests
ORDER BY meter
"""


ROUNDING_NUSD = 1000
"""Where times are cut, of all lines together."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, or (``fault`` is false) that one should know."""

    what: str
    fault: bool = True


def check(reader: LedgerReader) -> list[Finding]:
    """Return all that is found: lines that lack, machines that are not paid for all of the time or not at their price."""
    return [*_lines(reader), *_times(reader), *_prices(reader)]


def _lines(reader: LedgerReader) -> Iterator[Finding]:
    """Yield what is wrong with the sequence of lines."""
    for gateway, lacking, twice in reader.rows(GAPS):
        if lacking:
            yield Finding(f"lines that lack of gateway {gateway!r}: {lacking:,}")
        if twice:
            yield Finding(f"lines that are there twice of gateway {gateway!r}: {twice:,}")
    for gateway, torn, killed in reader.rows(TORN):
        said = f"torn lines of gateway {gateway!r}: {torn:,}; times that it was killed: {killed:,}"
        yield Finding(said, fault=torn > killed)


def _times(reader: LedgerReader) -> Iterator[Finding]:
    """Yield the times of which nobody wrote what machines cost, or that were written twice."""
    for gateway, meter, before_ns, from_ns, stopped in reader.rows(BETWEEN):
        times = f"from {utc(min(before_ns, from_ns))} to {utc(max(before_ns, from_ns))}"
        if from_ns < before_ns:
            yield Finding(f"gateway {gateway!r} wrote twice what {meter!r} cost {times}")
        else:
            said = "it was stopped: what its machines cost is in no sum" if stopped else "it was not stopped"
            yield Finding(f"gateway {gateway!r} did not count {meter!r} {times}; {said}", fault=not stopped)


def _prices(reader: LedgerReader) -> Iterator[Finding]:
    """Yield what is not paid at the price of the machines, and what was charged beyond it."""
    for gateway, meter, seq, paid, price in reader.rows(PRICED):
        yield Finding(
            f"gateway {gateway!r}, line {seq}: {meter!r} cost {paid} nano-dollars or was split otherwise, expected {price}"
        )
    for meter, charged, used in reader.rows(CHARGED):
        where = f"machines {meter!r}" if meter else "pools whose machines nobody counts"
        yield Finding(f"requests were charged {charged} nano-dollars for {where}, which were used for {used}")
    for row in total(reader, reader.begins_ns, reader.ends_ns).machines:
        if (row.idle_nusd or 0) < -ROUNDING_NUSD:
            more = -(row.idle_nusd or 0)
            what = f"gateways that share the machines {row.meter!r} let requests take {more} nano-dollars more than these cost"
            yield Finding(f"{what}; state what a replica bears (`concurrency`)")
    for (meter,) in reader.rows(
        "SELECT DISTINCT meter FROM lines WHERE kind = 'machines' AND paid_nusd IS NULL AND machines_e6 > 0"
    ):
        yield Finding(f"the price of {meter!r} is not known, for some of the time: what it cost is in no sum", fault=False)
