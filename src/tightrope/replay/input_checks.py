"""What compiled code cannot look after: traffic that does not fit its fleet or itself is refused before it gets there."""

import numpy as np

from tightrope.base.records import IntArray, RequestEngine
from tightrope.replay.records import Fleet, Traffic


def check_traffic(fleet: Fleet, traffic: Traffic) -> None:
    """Refuse traffic with ``ValueError``: times that are no times, go back or are negative, unknown classes, other lengths."""
    count = len(traffic.time_s)
    for name in ("traffic_class", "input_tokens", "output_tokens", "key", "deadline_s"):
        column = getattr(traffic, name)
        _expect(column is None or len(column) == count, name, f"{0 if column is None else len(column)} values", f"{count}")
    if not count:
        return
    time_s, kinds = traffic.time_s, traffic.traffic_class
    _expect(bool(np.isfinite(time_s).all()), "time_s", "a time that is not finite", "seconds")
    _expect(bool((np.diff(time_s) >= 0.0).all()), "time_s", "times that go back", "them in order")
    _expect(bool(time_s[0] >= 0.0), "time_s", f"{time_s[0]:g} s", "0 s or later")
    _expect(
        traffic.after is None, "after", "requests that go on already", "those that came by themselves: the replay adds the others"
    )
    known = bool((kinds >= 0).all() and (kinds < len(fleet.classes)).all())
    _expect(known, "traffic_class", f"{kinds.min()} to {kinds.max()}", f"0 to {len(fleet.classes) - 1}, the fleet's classes")
    _check_blocks(traffic.block_start, traffic.blocks, count)


def _check_blocks(start: IntArray | None, blocks: IntArray | None, count: int) -> None:
    """Refuse prompts' blocks that are not where they are said to be."""
    if start is None or not len(start):
        return
    held = 0 if blocks is None else len(blocks)
    fits = len(start) == count + 1 and start[0] >= 0 and start[-1] <= held and bool((np.diff(start) >= 0).all())
    _expect(fits, "block_start", f"{len(start)} places up to {start[-1]}", f"{count + 1} ascending ones up to {held}")


def check_fleet(fleet: Fleet) -> None:
    """Refuse a fleet with ``ValueError`` whose tables are not of its size, or whose figures have no meaning."""
    shapes = (len(fleet.classes), len(fleet.groups), 168), (len(fleet.classes), len(fleet.pools))
    _expect(
        fleet.share.shape == shapes[0], "share", str(fleet.share.shape), f"[classes, groups, hours of the week] = {shapes[0]}"
    )
    _expect(fleet.allowed.shape == shapes[1], "allowed", str(fleet.allowed.shape), f"[classes, pools] = {shapes[1]}")
    for pool in fleet.pools:
        _expect(len(pool.schedule) == 168, f"pool {pool.name!r}: schedule", f"{len(pool.schedule)} hours", "168")
        for name in ("requests_per_s", "concurrency", "engines_per_machine"):
            value = getattr(pool, name)
            _expect(value > 0, f"pool {pool.name!r}: {name}", f"{value:g}", "more than 0")
        if isinstance(pool.engine, RequestEngine):
            _check_lengths(f"pool {pool.name!r}", pool.engine)
    names, followed = {item.name: item for item in fleet.classes}, [item.follows for item in fleet.classes if item.follows]
    _expect(len(set(followed)) == len(followed), "classes", "two classes that follow one", "one at most")
    for item in fleet.classes:
        leads = names.get(item.follows)
        sound = not item.follows or (leads is not None and not leads.follows and 0.0 <= item.follow_share <= 1.0)
        _expect(
            sound,
            f"class {item.name!r}: follows",
            f"{item.follow_share:g} of {item.follows!r}",
            "a share of a class that follows none",
        )
    entries = 1 if fleet.cache is None else fleet.cache.entries
    _expect(entries > 0, "cache.entries", f"{entries}", "1 or more, or no cache")
    _expect(fleet.scaling.sync_s > 0.0, "scaling.sync_s", f"{fleet.scaling.sync_s:g} s", "more than 0")
    _expect(fleet.scaling.metric_lag_s >= 0.0, "scaling.metric_lag_s", f"{fleet.scaling.metric_lag_s:g} s", "0 or more")


def _check_lengths(at: str, engine: RequestEngine) -> None:
    """Refuse times by length that are not a table of every batch at every length, or lengths that do not rise."""
    sizes = {len(row) for row in engine.service_by_length_s}
    _expect(
        sizes in ({len(engine.lengths)}, set()),
        f"{at}: service_by_length_s",
        f"rows of {sizes}",
        f"{len(engine.lengths)} lengths",
    )
    rows = engine.max_batch if engine.lengths else 0
    _expect(
        len(engine.service_by_length_s) == rows,
        f"{at}: service_by_length_s",
        f"{len(engine.service_by_length_s)} rows",
        f"{rows}",
    )
    rise = all(a < b for a, b in zip((0, *engine.lengths), engine.lengths, strict=False))
    _expect(rise, f"{at}: lengths", f"{engine.lengths}", "rising ones of 1 or more")


def _expect(holds: bool, what: str, got: str, expected: str) -> None:
    """Raise ``ValueError`` where something does not hold."""
    if not holds:
        msg = f"{what}: got {got}, expected {expected}"
        raise ValueError(msg)
