"""The other gateways of a ledger: what they wrote down of this month, read anew with each heartbeat."""

import contextlib
from pathlib import Path
from typing import TypeAlias

from tightrope.serve.ledger.journal import LOCK
from tightrope.serve.ledger.month_to_date import CHECKPOINT, Totals, read_totals

GONE_NS = 60 * 10**9
"""A gateway that has not written its totals for so long is gone: six heartbeats."""
Mark: TypeAlias = tuple[int, bool]
"""When totals were written, and whether lines that came after them were read too."""


class OtherGateways:
    """What all but one gateway of a folder spent; read in a thread, asked on the event loop."""

    def __init__(self, root: Path, own: Path) -> None:
        """Begin with nobody; ``own`` is the folder that is not looked at."""
        self._root, self._own = root, own
        self._known: dict[Path, tuple[Mark, Totals]] = {}
        self.totals: tuple[Totals, ...] = ()
        """Of those that wrote something this month."""
        self._spent: tuple[int, dict[str, int]] = 0, {}

    def folders(self) -> list[Path]:
        """Return the folders of all that ever wrote here."""
        return [path.parent for path in self._root.glob(f"*/{LOCK}") if path.parent != self._own]

    def read(self, now_ns: int, month_ns: int) -> None:
        """Read what was written since the last time; of a gateway that is gone, what came after its totals too.

        Who wrote nothing since the month began at ``month_ns`` is forgotten: pods have new names, so that there are ever more.
        """
        known: dict[Path, tuple[Mark, Totals]] = {}
        for folder in self.folders():
            with contextlib.suppress(OSError):  # gone, or not ours to read
                written = (folder / CHECKPOINT).stat().st_mtime_ns
                if written < month_ns:
                    continue
                mark = (written, now_ns - written > GONE_NS)
                before = self._known.get(folder)
                known[folder] = before if before is not None and before[0] == mark else (mark, _totals(folder, gone=mark[1]))
        self._known, self.totals = known, tuple(totals for _, totals in known.values())
        spent: dict[str, int] = {}
        for totals in self.totals:
            if totals.begins_ns == month_ns:
                for tenant, nusd in totals.tenants.items():
                    spent[tenant] = spent.get(tenant, 0) + nusd
        self._spent = month_ns, spent

    def spent(self, tenant: str, month_ns: int) -> int:
        """Return nano-dollars that a tenant's requests cost there in the month that began then."""
        month, spent = self._spent
        return spent.get(tenant, 0) if month == month_ns else 0


def _totals(folder: Path, *, gone: bool) -> Totals:
    """Return what a gateway wrote down, and what it wrote after it where it is gone."""
    totals = read_totals(folder)
    if gone:
        totals.read_on(folder)
    return totals
