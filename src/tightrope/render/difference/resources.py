"""The difference of two plans: every line of both bills belongs to one resource, so that the differences add up to that of the totals."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tightrope.base.plan import BillLine, Plan, Pool
from tightrope.render import formats

Change = Literal["new", "gone", "changed", "same"]
CENT_USD = 0.005


@dataclass(frozen=True, slots=True)
class Resource:
    """One pool, or one other thing that is paid for, in both plans."""

    name: str
    change: Change
    what: tuple[str, ...]
    """What of it differs, in words."""
    old_usd_per_month: float
    new_usd_per_month: float

    @property
    def more_usd_per_month(self) -> float:
        """What the new plan pays more for it; negative where it pays less."""
        return self.new_usd_per_month - self.old_usd_per_month


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """What a month costs more under the new plan, and where."""

    old: str
    new: str
    """The workloads' names."""
    old_usd_per_month: float
    new_usd_per_month: float
    old_status: str
    new_status: str
    resources: tuple[Resource, ...]
    """Those that differ first, by the size of the difference."""

    @property
    def more_usd_per_month(self) -> float:
        """What the new plan costs more; negative where it costs less."""
        return self.new_usd_per_month - self.old_usd_per_month


def find_difference(old: Plan, new: Plan) -> PlanDifference:
    """Return what changes from one plan to another; the resources' differences add up to that of the monthly costs."""
    before, after = _costs(old.cost_lines), _costs(new.cost_lines)
    named = {pool.name: pool for pool in old.pools}, {pool.name: pool for pool in new.pools}
    names = list(dict.fromkeys([*named[1], *named[0], *after, *before]))
    found = [_resource(name, named[0].get(name), named[1].get(name), before.get(name), after.get(name)) for name in names]
    shown = [item for item in found if is_paid(item) or item.name in named[0] or item.name in named[1]]
    shown.sort(key=lambda item: (item.change == "same", -abs(item.more_usd_per_month), item.name))
    return PlanDifference(
        old.workload, new.workload, old.monthly_cost_usd, new.monthly_cost_usd, old.status, new.status, tuple(shown)
    )


def is_paid(item: Resource) -> bool:
    """Return whether anything is paid for a resource under either plan."""
    return bool(item.old_usd_per_month or item.new_usd_per_month)


def _costs(lines: Iterable[BillLine]) -> dict[str, float]:
    """Return resource → dollars a month: a pool's lines together, any other line by its offer and driver."""
    found: dict[str, float] = {}
    for line in lines:
        name = line.pool or (f"{line.offer} ({line.driver})" if line.offer else line.driver)
        found[name] = found.get(name, 0.0) + line.usd
    return found


def _resource(name: str, old: Pool | None, new: Pool | None, before: float | None, after: float | None) -> Resource:
    """Return one resource; a bill without a line of it pays nothing for it."""
    what = _what(old, new)
    usd = before or 0.0, after or 0.0
    if old is None and before is None:
        change: Change = "new"
    elif new is None and after is None:
        change = "gone"
    else:
        change = "changed" if what or abs(usd[1] - usd[0]) >= CENT_USD else "same"
    return Resource(name, change, what, *usd)


def _what(old: Pool | None, new: Pool | None) -> tuple[str, ...]:
    """Return what differs between a pool and itself, or what a new or a gone one is."""
    if old is None or new is None:
        pool = old or new
        if pool is None:
            return ()
        machines = f"{pool.machine} {pool.offer}" if pool.serving.metered else f"{_mean(pool)} × {pool.machine} {pool.offer}"
        return (f"{machines}, {pool.cloud} {pool.region}",)
    pairs = [
        ("", old.machine, new.machine),
        ("", old.offer, new.offer),
        ("", f"{old.cloud} {old.region}", f"{new.cloud} {new.region}"),
        ("", old.variant, new.variant),
        ("replicas ", formats.replicas(old), formats.replicas(new)),
        ("machines on average ", _mean(old), _mean(new)),
        *([("$ an hour ", f"{old.node.usd_per_hour:.5g}", f"{new.node.usd_per_hour:.5g}")] if old.node and new.node else []),
    ]
    return tuple(f"{label}{was} → {now}" for label, was, now in pairs if was != now)


def _mean(pool: Pool) -> str:
    """Return the machines of the mean hour, in a word."""
    return "by request" if pool.serving.metered else f"{sum(pool.schedule) / max(len(pool.schedule), 1):.3g}"
